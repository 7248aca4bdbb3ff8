//! The faults of the system that this one replaces. Each has a test by name; the numbers are those of its list.

use all_docs::npm::Representation;
use all_docs::pipeline::PartitionMode;
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};
use all_docs::table::TableKind;
use arrow::array::AsArray;

use crate::support::{Env, lake_bytes, run};

fn world_of(names: &[&str]) -> World {
    let mut world = World::new();
    world.add_names(names);
    world
}

/// 1: a range with more than 10,000 rows was cut silently.
#[tokio::test(flavor = "multi_thread")]
async fn fault_1_a_range_of_more_than_a_page_is_listed_to_its_end() {
    let mut world = World::new();
    let names: Vec<String> = (0..25_000).map(|n| format!("many-{n:05}")).collect();
    world.add_names(&names);
    let env = Env::new(world);
    let mut options = env.options(&["m", "n"]);
    options.selection = all_docs::diff::Selection::None;
    let summary = run(options).await.unwrap();
    assert_eq!(summary.counts.rows_scanned, 25_000);
    assert_eq!(summary.scan.missing_rows, Some(0));
    assert_eq!(env.names(TableKind::Docs), names);
}

/// 2: N pivots made N-1 ranges, so names before the first and after the last pivot were never seen.
#[tokio::test(flavor = "multi_thread")]
async fn fault_2_names_outside_the_outermost_pivots_are_seen() {
    let env = Env::new(world_of(&["!first", "-", "m", "zzz", "~last", "\u{10000}"]));
    env.ingest(&["a", "n"]).await;
    assert_eq!(env.names(TableKind::Docs), ["!first", "-", "m", "zzz", "~last", "\u{10000}"]);
    assert_eq!(env.names(TableKind::Packages).len(), 6);
}

/// 3: a name equal to a pivot appeared in two ranges.
#[tokio::test(flavor = "multi_thread")]
async fn fault_3_a_name_equal_to_a_pivot_is_listed_once() {
    let env = Env::new(world_of(&["a", "b", "c"]));
    let summary = env.ingest(&["a", "b", "c"]).await;
    assert_eq!(summary.counts.rows_scanned, 3);
    for table in [TableKind::Docs, TableKind::Packuments, TableKind::Packages] {
        assert_eq!(env.names(table), ["a", "b", "c"], "{table}");
    }
}

/// 4: an entry with an ETag counted as valid for ever, and `--refresh` did nothing.
#[tokio::test(flavor = "multi_thread")]
async fn fault_4_an_upstream_change_is_seen_and_a_refresh_revalidates() {
    let env = Env::new(world_of(&["a", "b", "c"]));
    env.ingest(&["b"]).await;
    env.packuments_asked();
    env.server.world().publish("b", "9.9.9");
    env.ingest(&["b"]).await;
    assert_eq!(env.packuments_asked(), ["b"]);
    let versions = env.texts(TableKind::Versions, "version");
    assert!(versions.contains(&Some("9.9.9".to_owned())), "{versions:?}");

    let before = lake_bytes(&env.lake());
    let mut options = env.options(&["b"]);
    options.refresh = true;
    let summary = run(options).await.unwrap();
    assert_eq!(summary.counts.packuments_not_modified, 3);
    assert_eq!(summary.counts.document_bytes, 0, "a document that did not change costs no body");
    let requests = env.server.requests();
    let conditional = requests.iter().filter(|request| request.if_none_match.is_some()).count();
    assert_eq!(conditional, 3);
    assert_eq!(lake_bytes(&env.lake()), before);
}

/// 5: the first 429 ended the run and dropped received responses; `Retry-After` was ignored.
#[tokio::test(flavor = "multi_thread")]
async fn fault_5_a_refusal_delays_the_run_and_loses_nothing() {
    let env = Env::new(World::seeded(7, 60));
    let quiet = Env::new(World::seeded(7, 60));
    let refusal = Fault::any(Action::too_many_requests("0")).every(5).times(12);
    env.server.set_faults(FaultScript::of([refusal]));
    let summary = env.ingest(&["m"]).await;
    assert!(summary.counts.packuments_failed == 0, "{:?}", summary.counts);
    quiet.ingest(&["m"]).await;
    crate::support::assert_same_lake(&env.lake(), &quiet.lake());
}

/// 6: attempts were counted twice, 401 did not stop the run, 404 counted as fetched.
#[tokio::test(flavor = "multi_thread")]
async fn fault_6_attempts_are_counted_once_and_refused_credentials_stop_the_run() {
    let env = Env::new(world_of(&["a", "b", "c"]));
    env.server.set_faults(FaultScript::of([
        Fault::packument("a", Action::status(503)).times(2),
        Fault::packument(
            "b",
            Action::Status { code: 404, retry_after: None, body: Some("{\"error\":\"not found\"}".to_owned()) },
        ),
    ]));
    let summary = env.ingest(&[]).await;
    assert!(!summary.is_complete());
    assert_eq!(
        env.texts(TableKind::Outcomes, "outcome"),
        ["present", "not_found", "present"].map(|o| Some(o.to_owned()))
    );
    let batches = env.table(TableKind::Outcomes);
    let attempts = batches[0].column_by_name("attempts").unwrap().as_primitive::<arrow::datatypes::Int32Type>();
    assert_eq!(attempts.values().to_vec(), [3, 1, 1]);
    assert_eq!(env.names(TableKind::Packages), ["a", "c"]);

    let denied = Env::new(world_of(&["a", "b", "c"]));
    denied.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, Action::status(401))]));
    let error = run(denied.options(&[])).await.unwrap_err();
    assert_eq!(error.kind(), all_docs::error::ErrorKind::Denied, "{error:?}");
}

/// 7: `kill -9` lost the items in progress, and the checkpoint was one file, rewritten whole and not atomically.
#[tokio::test(flavor = "multi_thread")]
async fn fault_7_a_killed_run_forgets_nothing_and_each_partition_is_its_own_checkpoint() {
    use crate::support::{all_docs, assert_same_lake, origin_folder};
    let env = Env::new(World::seeded(33, 240));
    let ingest = || env.ingest_command(&["d", "k", "r"]);
    let slow = |times| {
        let action = Action::Slow { before_headers_ms: 60_000, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
        FaultScript::of([Fault::packument(times, action)])
    };
    // The last name never arrives, so the run is killed while others are in progress and some are committed.
    let last = env.server.world().names().last().unwrap().to_owned();
    env.server.set_faults(slow(&last));
    let mut child = ingest().stderr(std::process::Stdio::null()).spawn().unwrap();
    let manifests = || {
        let folder = env.lake().exists().then(|| std::fs::read_dir(env.lake()).unwrap());
        let origin = folder.and_then(|mut entries| entries.find_map(|e| e.ok().filter(|e| e.path().is_dir())));
        origin.and_then(|origin| std::fs::read_dir(origin.path().join("manifest")).ok()).map_or(0, Iterator::count)
    };
    while manifests() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let folder = origin_folder(&env.lake()).join("manifest");
    let checkpoints = |folder: &std::path::Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut read: Vec<_> = entries
            .filter(|path| path.extension().is_some_and(|suffix| suffix == "json"))
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        read.sort();
        read
    };
    let before = checkpoints(&folder);
    env.server.set_faults(FaultScript::default());
    assert!(matches!(ingest().output().unwrap().status.code(), Some(0 | 6)));
    let after = checkpoints(&folder);
    assert!(before.iter().all(|kept| after.contains(kept)), "a partition that was done is left alone");
    assert_eq!(after.len(), 4);
    let quiet = Env::new(World::seeded(33, 240));
    quiet.ingest(&["d", "k", "r"]).await;
    assert!(all_docs(env.folder.path()).args(["verify", "--quiet"]).output().unwrap().status.success());
    std::fs::rename(origin_folder(&env.lake()), env.lake().join("sample")).unwrap();
    assert_same_lake(&env.lake(), &quiet.lake());
}

/// 8: a bloom filter on keys made a process miss entries that it did not write itself.
#[tokio::test(flavor = "multi_thread")]
async fn fault_8_another_process_fetches_nothing_that_the_lake_holds() {
    let env = Env::new(World::seeded(3, 120));
    env.ingest(&["c", "p"]).await;
    let before = lake_bytes(&env.lake());
    env.packuments_asked();
    env.ingest(&["c", "p"]).await;
    assert_eq!(env.packuments_asked(), Vec::<String>::new());
    assert_eq!(lake_bytes(&env.lake()), before, "an unchanged registry rewrites no shard");
}

/// 9: the original bytes of a document were lost.
#[tokio::test(flavor = "multi_thread")]
async fn fault_9_a_document_is_kept_byte_for_byte() {
    let odd =
        "{ \"name\":\"a\",\t\"_id\":\"a\",\n \"_rev\":\"1-x\", \"big\":1e400, \"dup\":1,\"dup\":2, \"s\":\"\\ud800\" }";
    let mut world = world_of(&["b"]);
    world.put_raw("a", "1-x", odd.to_owned());
    let env = Env::new(world);
    env.ingest(&[]).await;
    assert_eq!(env.texts(TableKind::Packuments, "json")[0].as_deref(), Some(odd));
    let served = env.server.world().document("b").unwrap();
    assert_eq!(env.texts(TableKind::Packuments, "json")[1].as_deref().map(str::as_bytes), Some(served.as_ref()));
}

/// 10: a token was sent to any host that `--registry` named.
#[test]
fn fault_10_a_token_goes_to_the_host_that_it_is_for_and_nowhere_else() {
    let (env, unrelated) = (Env::new(world_of(&["a", "b"])), Env::new(world_of(&["a", "b"])));
    let own_host = env.server.url().strip_prefix("http://").unwrap();
    std::fs::write(env.folder.path().join(".npmrc"), format!("//{own_host}/:_authToken=secret-of-ours\n")).unwrap();
    let ingest = |flags: &[&str]| {
        let mut command = env.ingest_command(&[]);
        command.env("NPM_TOKEN", "secret-of-npm").args(flags).output().unwrap()
    };
    assert_eq!(ingest(&["--registry", unrelated.server.url()]).status.code(), Some(0));
    let sent = |env: &Env| -> Vec<Option<String>> {
        env.server.requests().into_iter().map(|request| request.authorization).collect()
    };
    assert!(sent(&unrelated).len() >= 2 && sent(&unrelated).iter().all(Option::is_none), "{:?}", sent(&unrelated));
    assert!(sent(&env).iter().all(|sent| sent.as_deref() == Some("Bearer secret-of-ours")), "{:?}", sent(&env));
}

/// 11: filters failed silently (`name=lodash` gave nothing, `a && b` everything), and unknown JSON crashed.
#[cfg(feature = "query")]
#[tokio::test(flavor = "multi_thread")]
async fn fault_11_a_filter_filters_or_says_what_is_wrong_and_no_json_crashes() {
    use crate::support::{run_binary, stderr, stdout};
    let mut world = world_of(&["lodash", "lodash.map", "react"]);
    world.put_raw("shape", "1-x", r#"{"name":"shape","versions":[1,{"a":null}],"time":7,"dist-tags":"x"}"#.to_owned());
    let env = Env::new(world);
    env.ingest(&[]).await;
    let ask = |filter: &str| {
        let statement = format!("select name from packages where {filter} order by name");
        run_binary(env.folder.path(), &["query", &statement, "--format", "csv"])
    };
    let names = |filter: &str| stdout(&ask(filter)).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names("name='lodash'"), ["lodash"]);
    assert_eq!(names("name like 'lodash%' and name <> 'lodash'"), ["lodash.map"]);
    assert_eq!(names("name = 'react' or name = 'lodash'"), ["lodash", "react"]);
    for wrong in ["name=lodash", "name = 'a' && name = 'b'", "nmae = 'lodash'"] {
        let output = ask(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", stdout(&output));
        assert!(!stderr(&output).is_empty());
    }
    assert_eq!(names("name = 'shape'"), ["shape"]);
}

/// 12: its mock registry invented rows from the request's start key, so its tests could not see 1 to 3.
#[tokio::test(flavor = "multi_thread")]
async fn fault_12_the_sample_registry_lists_what_it_holds_and_nothing_else() {
    let env = Env::new(world_of(&["a", "b", "c"]));
    let mut options = env.options(&["0", "aa", "bb", "x"]);
    options.partitions = PartitionMode::Exact;
    options.representation = Representation::Abbreviated;
    run(options).await.unwrap();
    assert_eq!(env.names(TableKind::Docs), ["a", "b", "c"]);
    let listed: Vec<_> = env.server.world().names().map(str::to_owned).collect();
    assert_eq!(listed, ["a", "b", "c"]);
}
