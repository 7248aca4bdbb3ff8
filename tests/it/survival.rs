//! Failures of servers, disks and people during an ingest.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use all_docs::error::ErrorKind;
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};
use all_docs::table::TableKind;

use crate::support::{Env, assert_same_lake, origin_folder, run, run_binary, same_name, stderr, stdout};

const PIVOTS: [&str; 2] = ["g", "p"];

pub fn documents_asked(env: &Env) -> usize {
    env.server.requests().iter().filter(|request| request.package.is_some()).count()
}

pub async fn wait_for_documents(env: &Env, child: &mut Child, count: usize) {
    while documents_asked(env) < count && child.try_wait().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Delays each document by this much, and the last one without end. So a run cannot end before the test has acted on
/// it, however busy the machine is.
fn slow_and_never_at_an_end(env: &Env, before_headers_ms: u64) -> FaultScript {
    let slow = |before_headers_ms| Action::Slow { before_headers_ms, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    let last = env.server.world().names().last().unwrap().to_owned();
    FaultScript::of([Fault::packument(&last, slow(60_000)), Fault::on(Kind::Packument, slow(before_headers_ms))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_again_and_again_repeats_little_and_ends_in_the_same_bytes() {
    const PACKAGES: usize = 500;
    const KILLS: usize = 6;
    /// As the bounds of a run say.
    const MOST_REPEATED_A_KILL: usize = 256;
    let env = Env::new(World::seeded(72, PACKAGES));
    for kill in 0..KILLS {
        let mut child = env.ingest_command(&PIVOTS).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = documents_asked(&env);
        wait_for_documents(&env, &mut child, before + 20 + fastrand::usize(..100)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let asked = env.server.requests();
        let mut names: Vec<&String> = asked.iter().filter_map(|request| request.package.as_ref()).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        let repeated = all - names.len();
        assert!(repeated <= (kill + 1) * MOST_REPEATED_A_KILL, "{repeated} requests were repeated");
    }
    let output = env.ingest_command(&PIVOTS).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let mut asked = env.packuments_asked();
    let all = asked.len();
    asked.dedup();
    eprintln!("{} of {PACKAGES} requests were repeated after {KILLS} kills", all - asked.len());
    assert!(all - asked.len() <= KILLS * MOST_REPEATED_A_KILL);
    let quiet = Env::new(World::seeded(72, PACKAGES));
    quiet.ingest(&PIVOTS).await;
    same_name(&env);
    assert_same_lake(&env.lake(), &quiet.lake());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_cleanly_and_the_next_run_repeats_nothing_that_was_staged() {
    let env = Env::new(World::seeded(73, 400));
    env.server.set_faults(slow_and_never_at_an_end(&env, 5));
    let mut child = env.ingest_command(&PIVOTS).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_documents(&env, &mut child, 150).await;
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted"), "{}", stderr(&output));
    let origin = origin_folder(&env.lake());
    assert!(!origin.join("lock.json").exists() && !origin.join("staging/run.json").exists());

    let status = run_binary(env.folder.path(), &["status"]);
    assert_eq!(status.status.code(), Some(0));
    assert!(stdout(&status).contains("in staging"), "{}", stdout(&status));
    assert!(!stdout(&status).contains("died") && !stdout(&status).contains("is running"), "{}", stdout(&status));
    assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(0), "what is there is sound");

    let first = env.packuments_asked();
    env.server.set_faults(FaultScript::default());
    let output = env.ingest_command(&PIVOTS).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    // Arrived documents were staged when the run ended; requests in flight were not.
    let repeated = env.packuments_asked().iter().filter(|name| first.contains(name)).count();
    assert!(repeated <= 144, "{repeated} of {} requests were repeated", first.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_stops_the_run_and_reports_the_rest() {
    let env = Env::new(World::seeded(74, 120));
    let budget = |requests: &str| env.ingest_command(&PIVOTS).args(["--monthly-budget", requests]).output().unwrap();
    let output = budget("60");
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("budget of 60 requests") && told.contains("remained to be requested"), "{told}");
    assert_eq!(env.server.request_count(), 60);
    let requests: serde_json::Value =
        serde_json::from_slice(&fs::read(env.lake().join("requests.json")).unwrap()).unwrap();
    let counted = requests["hosts"].as_object().unwrap().values().next().unwrap()["requests"].as_u64();
    assert_eq!(counted, Some(60));
    let output = budget("60");
    assert_eq!(output.status.code(), Some(5), "the count is the lake's");
    assert_eq!(env.server.request_count(), 60);
    let output = budget("1000");
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let mut asked = env.packuments_asked();
    let all = asked.len();
    asked.dedup();
    assert_eq!((asked.len(), all), (120, 120), "what was in flight when the budget was spent is not asked for again");
    assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(0));
}

#[test]
fn refused_credentials_stop_the_run_at_once() {
    for action in [Action::Unauthorized401, Action::status(401)] {
        let env = Env::new(World::seeded(75, 200));
        env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, action)]));
        let output = env.ingest_command(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains(".npmrc"), "{}", stderr(&output));
        assert!(env.packuments_asked().len() < 200, "it goes on");
        assert!(!origin_folder(&env.lake()).join("outcomes").exists(), "it is no fact about a package");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_lacks_many_names_is_refused_and_harms_nothing() {
    let env = Env::new(World::seeded(76, 400));
    let ingest = |flags: &[&str]| env.ingest_command(&PIVOTS).args(flags).output().unwrap();
    assert!(matches!(ingest(&[]).status.code(), Some(0 | 6)));
    let kept = crate::support::lake_bytes(&env.lake());
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    for name in &names[100..220] {
        env.server.world().delete(name);
    }
    let output = ingest(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("lacks 120 of the 400 names"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--accept-removals"), "{}", stderr(&output));
    let mut now = crate::support::lake_bytes(&env.lake());
    now.retain(|name, _| !name.contains("/staging/"));
    assert_eq!(now, kept);
    let output = ingest(&["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("suspicious"), "{}", stderr(&output));
    let output = ingest(&["--accept-removals"]);
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    same_name(&env);
    assert_eq!(env.names(TableKind::Docs).len(), 280);
}

#[test]
fn a_listing_that_lacks_names_by_the_registrys_own_count_is_not_complete() {
    let mut world = World::new();
    world.add_names(["a", "b"]);
    let rows: Vec<String> = ["a", "b"]
        .map(|name| {
            format!(r#"{{"id":"{name}","key":"{name}","value":{{"rev":"{}"}}}}"#, world.revision(name).unwrap())
        })
        .into();
    let env = Env::new(world);
    for (total_rows, code) in [(2, 0), (3_000, 6), (2, 0)] {
        let body = format!(r#"{{"total_rows":{total_rows},"offset":0,"rows":[{}]}}"#, rows.join(","));
        env.server.set_faults(FaultScript::of([Fault::on(Kind::Page, Action::Body(body))]));
        let output = env.ingest_command(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("2,998 more names than it listed"), code == 6, "{}", stderr(&output));
    }
}

#[test]
fn a_name_without_a_document_is_reported_by_each_run() {
    let env = Env::new(World::seeded(80, 30));
    let name = env.server.world().names().nth(7).unwrap().to_owned();
    env.server.world().block(&name);
    for run in 0..3 {
        let output = env.ingest_command(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "run {run}: {}", stderr(&output));
        assert!(stderr(&output).contains("not every name has its document: 1 "), "{}", stderr(&output));
    }
    assert_eq!(env.packuments_asked().iter().filter(|asked| **asked == name).count(), 1);
    let output = env.ingest_command(&[]).args(["--packuments", "none"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "no document is wanted: {}", stderr(&output));
}

/// A name that is always refused is a failure of its own, and delays no other.
#[test]
fn a_name_that_is_always_refused_is_given_up_and_the_run_continues() {
    let env = Env::new(World::seeded(82, 120));
    let name = env.server.world().names().nth(40).unwrap().to_owned();
    env.server.set_faults(FaultScript::of([Fault::packument(&name, Action::status(403))]));
    let output = env.ingest_command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    same_name(&env);
    let outcomes = env.texts(TableKind::Outcomes, "outcome");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.as_deref() == Some("blocked")).count(), 1);
    assert_eq!(outcomes.len(), 120);
    assert_eq!(env.packuments_asked().iter().filter(|asked| **asked == name).count(), 12);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_works_during_the_first_request() {
    let env = Env::new(World::seeded(83, 10));
    let never = Action::Slow { before_headers_ms: 60_000, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::any(never)]));
    for command in [env.ingest_command(&PIVOTS), {
        let mut pivots = crate::support::all_docs(env.folder.path());
        pivots.args(["pivots", "--count", "3", "--origin", env.server.url()]);
        pivots
    }] {
        let mut command = command;
        let asked_before = env.server.request_count();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while env.server.request_count() == asked_before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}

#[test]
fn a_page_that_is_denied_once_is_requested_again() {
    for code in [404, 403] {
        let env = Env::new(World::seeded(84, 20));
        let denied = Action::Status { code, retry_after: None, body: Some("{\"error\":\"no\"}".to_owned()) };
        env.server.set_faults(FaultScript::of([Fault::on(Kind::Page, denied).times(1)]));
        let output = env.ingest_command(&PIVOTS).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
        same_name(&env);
        assert_eq!(env.names(TableKind::Docs).len(), 20);
    }
}

#[test]
fn requests_of_a_dry_run_count_in_the_month() {
    let env = Env::new(World::seeded(81, 20));
    let ingest = |flags: &[&str]| env.ingest_command(&PIVOTS).args(flags).output().unwrap();
    ingest(&["--dry-run"]);
    assert!(!env.lake().exists(), "a dry run makes no lake");
    let before = env.server.request_count();
    ingest(&[]);
    ingest(&["--dry-run"]);
    let text = fs::read(env.lake().join("requests.json")).unwrap();
    let requests: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let counted = requests["hosts"].as_object().unwrap().values().next().unwrap()["requests"].as_u64().unwrap();
    assert_eq!(counted, env.server.request_count() - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_vanishes_during_a_run_is_an_error_and_not_created_again() {
    let env = Env::new(World::seeded(77, 200));
    env.server.set_faults(slow_and_never_at_an_end(&env, 10));
    let mut child = env.ingest_command(&PIVOTS).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_documents(&env, &mut child, 30).await;
    while env.lake().exists() {
        // A file may be put into a folder while it is being emptied.
        let _ = fs::remove_dir_all(env.lake());
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    // The first write after that is chance: one into the root, one beside a file of its own, or the lock.
    assert!(stderr(&output).contains("it was deleted, or "), "{}", stderr(&output));
    assert!(!env.lake().exists(), "it was created again");
}

/// Runs the binary with a limit on the size of files, in blocks of 512 bytes: to it, this looks like a full disk.
#[cfg(unix)]
fn with_file_limit(env: &Env, blocks: u32) -> Output {
    let ingest = env.ingest_command(&PIVOTS);
    let mut command = Command::new("sh");
    command
        .current_dir(env.folder.path())
        .args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
    command.arg(ingest.get_program()).args(ingest.get_args()).output().unwrap()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_lake_error_and_a_rerun_resumes() {
    let quiet = Env::new(World::seeded(78, 120));
    quiet.ingest(&PIVOTS).await;
    for blocks in [4, 40] {
        let env = Env::new(World::seeded(78, 120));
        let output = with_file_limit(&env, blocks);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        assert!(stderr(&output).contains("because"), "{}", stderr(&output));
        assert!(stderr(&output).contains("hint: no file may grow so large here"), "{}", stderr(&output));
        for table in TableKind::ALL {
            assert!(!origin_folder(&env.lake()).join(table.as_str()).exists(), "{table} has a shard");
        }
        let output = env.ingest_command(&PIVOTS).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
        same_name(&env);
        assert_same_lake(&env.lake(), &quiet.lake());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_during_a_run_reports_its_progress() {
    let env = Env::new(World::seeded(79, 60));
    env.ingest(&PIVOTS).await;
    let name = env.server.world().names().last().unwrap().to_owned();
    env.server.world().publish(&name, "9.9.9");
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, Action::Unauthorized401)]));
    let error = run(env.options(&PIVOTS)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    // Partitions run side by side, so either of the other two may end before the refusal or not. The one document was
    // requested, and its partition is not committed.
    let reports = (0..3).map(|done| {
        format!("while {done} of 3 partitions were done, and 0 packuments of others remained to be requested")
    });
    assert!(reports.into_iter().any(|report| error.report().contains(&report)), "{}", error.report());
}
