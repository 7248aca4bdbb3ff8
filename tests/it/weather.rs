//! A registry with many faults: it refuses, cuts, stalls and changes, and the lake ends as without them.

use std::path::Path;
use std::process::Stdio;

use all_docs::sample::{Action, Fault, FaultScript, Framing, RecordedRequest, World};
use all_docs::table::TableKind;
use arrow::array::AsArray;
use arrow::datatypes::Int32Type;

use crate::support::{Env, assert_same_lake, read_table, run, run_binary, same_name, stderr, texts};
use crate::survival::wait_for_documents;

const PIVOTS: [&str; 2] = ["g", "p"];

/// Returns a script in which three responses in ten are faults: refused, out of order, cut, of the CDN, or late.
fn bad_weather(seed: u64) -> FaultScript {
    let cut = Action::CutBody { at_byte: 100, framing: Framing::ContentLength };
    let slow = Action::Slow { before_headers_ms: 20, between_chunks_ms: 1, chunk_bytes: 4_096 };
    let actions =
        [Action::too_many_requests("0"), Action::status(503), cut, Action::HtmlWith200, Action::status(403), slow];
    let mut script = FaultScript::of(actions.map(|action| Fault::any(action).probability(0.06)));
    script.seed = seed;
    script
}

/// Returns the documented example script.
fn example() -> FaultScript {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/faults.toml");
    FaultScript::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// Returns the rows of `outcomes`, column by column, without attempts and times.
fn outcomes(lake: &Path) -> Vec<Vec<Option<String>>> {
    let rows = read_table(lake, TableKind::Outcomes);
    let mut columns: Vec<_> =
        ["name", "outcome", "rev", "etag", "last_modified", "detail"].map(|column| texts(&rows, column)).into();
    let statuses = rows.iter().flat_map(|batch| {
        batch.column_by_name("http_status").unwrap().as_primitive::<Int32Type>().iter().collect::<Vec<_>>()
    });
    // A document that changed after it was listed is requested once more by its tag, and has not changed since.
    columns.push(statuses.map(|status| status.map(|status| status.to_string().replace("304", "200"))).collect());
    columns
}

/// Runs the binary while the registry plays the first script and its documents change. Runs it once more in the second
/// script, because the next run requests documents that changed after they were listed. Then compares with a registry
/// without faults. Returns the requests of the first run.
async fn assert_weather_leaves_no_trace(env: &Env, weather: [FaultScript; 2]) -> Vec<RecordedRequest> {
    let [first, second] = weather;
    env.server.set_faults(first);
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    let mut child = env.ingest_command(&PIVOTS).arg("--quiet").stderr(Stdio::piped()).spawn().unwrap();
    wait_for_documents(env, &mut child, 40).await;
    for name in names.iter().step_by(20) {
        env.server.world().publish(name, "88.0.0");
    }
    env.server.world().publish("zzz-new", "1.0.0");
    env.server.world().delete(&names[5]);
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let requests = env.server.requests();
    env.server.set_faults(second);
    let output = env.ingest_command(&PIVOTS).arg("--quiet").output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));

    env.server.set_faults(FaultScript::default());
    let mut options = env.options(&PIVOTS);
    let quiet = env.folder.path().join("quiet");
    options.store = all_docs::store::Store::open(quiet.to_str().unwrap()).unwrap();
    run(options).await.unwrap();
    same_name(env);
    assert_same_lake(&env.lake(), &quiet);
    for (ours, theirs) in outcomes(&env.lake()).into_iter().zip(outcomes(&quiet)) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(run_binary(env.folder.path(), &["verify", "--lake", quiet.to_str().unwrap()]).status.code(), Some(0));
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_weather_a_ban_and_changes_under_way_end_in_the_bytes_of_a_quiet_registry() {
    let env = Env::new(World::seeded(71, 150));
    let banned = FaultScript { ban_seconds: Some(0.5), ..bad_weather(4) };
    let requests = assert_weather_leaves_no_trace(&env, [banned, bad_weather(5)]).await;
    assert!(requests.iter().filter(|request| request.faulty).count() > 40);
}

/// The example's script as it is, and a ban as long as npm's.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes two minutes; .ci/run has a step for it"]
async fn a_ban_of_a_minute_and_the_weather_of_the_example_end_in_the_bytes_of_a_quiet_registry() {
    let env = Env::new(World::seeded(73, 400));
    let banned = FaultScript { ban_seconds: Some(60.0), ..example() };
    let weather = banned.faults.iter().filter_map(|fault| fault.when.probability).sum::<f64>();
    assert!(weather > 0.299, "the example has only {weather} faults a request");
    let requests = assert_weather_leaves_no_trace(&env, [banned, example()]).await;
    let in_the_ban = requests.iter().take_while(|request| request.status == 429).count();
    // The pause doubles each time.
    assert!((2..=20).contains(&in_the_ban), "{in_the_ban} requests were sent into the ban");
    let faulty = requests.iter().skip(in_the_ban).filter(|request| request.faulty).count();
    eprintln!(
        "{in_the_ban} requests were sent into the ban; of {} more, {faulty} were faulty",
        requests.len() - in_the_ban
    );
    assert!(faulty * 5 > requests.len() - in_the_ban, "{faulty} of {} answers were faulty", requests.len());
}
