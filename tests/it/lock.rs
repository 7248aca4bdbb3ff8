//! Two processes on one lake: the second says who works there, and never do both write.

use std::process::{Child, Stdio};
use std::time::Duration;

use all_docs::error::ErrorKind;
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};

use crate::support::{Env, all_docs, assert_same_lake, origin_folder, run, run_binary, stderr, stdout};

/// A registry whose documents come so slowly that a run is still under way when it is looked at.
fn slow_registry(seed: u64, before_headers_ms: u64) -> Env {
    let env = Env::new(World::seeded(seed, 60));
    let action = Action::Slow { before_headers_ms, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, action)]));
    env
}

fn pages_asked(env: &Env) -> usize {
    env.server.requests().iter().filter(|request| request.path.contains("_all_docs")).count()
}

/// Waits until a run has asked for documents, so that it holds the lock: before them it asks for the root and for four
/// pages at most.
async fn wait_until_asked(env: &Env) {
    while env.server.request_count() < 8 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn spawn(env: &Env) -> Child {
    env.ingest_command(&["m"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_says_who_works_there_and_changes_nothing() {
    let env = slow_registry(61, 60_000);
    let mut first = spawn(&env);
    wait_until_asked(&env).await;
    let lock = origin_folder(&env.lake()).join("lock.json");
    let held = std::fs::read(&lock).unwrap();
    let listed_by = pages_asked(&env);
    // At a gate that both share, its first request would wait until the slow answers of the first one have come.
    let apart = tempfile::tempdir().unwrap();
    let second = env.ingest_command(&["m"]).env("ALL_DOCS_RUNTIME_DIR", apart.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(4), "{}", stderr(&second));
    let told = stderr(&second);
    assert!(told.contains(&format!("process {}", first.id())), "{told}");
    assert!(told.contains("since") && told.contains("hint:"), "{told}");
    assert_eq!(pages_asked(&env), listed_by, "it listed nothing");
    let repair = run_binary(env.folder.path(), &["verify"]);
    assert!(stdout(&repair).contains("is at work"), "{}", stdout(&repair));
    let status = run_binary(env.folder.path(), &["status"]);
    assert_eq!(status.status.code(), Some(0), "reading needs no lock");
    assert_eq!(std::fs::read(&lock).unwrap(), held);

    // Killed, it gives back nothing; the next one sees that it is dead, and does not wait for the lock to lapse.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(lock.exists());
    env.server.set_faults(FaultScript::default());
    let next = env.ingest_command(&["m"]).output().unwrap();
    assert!(matches!(next.status.code(), Some(0 | 6)), "{}", stderr(&next));
    assert!(!lock.exists(), "a run that ends gives its lock back");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_library_runs_one_works_and_the_lake_is_that_of_one() {
    let env = Env::new(World::seeded(62, 80));
    let runs = [run(env.options(&["m"])), run(env.options(&["c", "t"]))];
    let ended = futures::future::join_all(runs).await;
    let refused: Vec<_> = ended.iter().filter_map(|run| run.as_ref().err()).collect();
    assert!(refused.len() <= 1, "{refused:?}");
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::Lake);
        assert!(error.message().contains("another process works on"), "{error}");
    }
    let quiet = Env::new(World::seeded(62, 80));
    let pivots: &[&str] = if ended[0].is_ok() { &["m"] } else { &["c", "t"] };
    quiet.ingest(pivots).await;
    if ended.iter().all(Result::is_ok) {
        // One began after the other had ended: it kept that one's partitions.
        return;
    }
    assert_same_lake(&env.lake(), &quiet.lake());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lock_is_taken_away_stops_before_it_commits() {
    let env = slow_registry(63, 1_000);
    let task = tokio::spawn(run(env.options(&["m"])));
    wait_until_asked(&env).await;
    std::fs::remove_file(env.lake().join("sample/lock.json")).unwrap();
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake);
    assert!(error.message().contains("no longer holds the lock"), "{error}");
    assert!(!env.lake().join("sample/manifest").exists(), "it committed without its lock");
}

#[test]
fn a_lock_of_another_machine_holds_until_it_lapses() {
    let env = Env::new(World::seeded(64, 20));
    let output = env.ingest_command(&[]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let lock = origin_folder(&env.lake()).join("lock.json");
    let leave = |expires_in_s: i64| {
        let now_s = jiff::Timestamp::now().as_second();
        let record = serde_json::json!({
            "holder": "x", "purpose": "ingest", "tool_version": "0.1.0", "host": "far-away", "process_id": 1,
            "process_place": null, "since_s": now_s - 100, "expires_at_s": now_s + expires_in_s,
        });
        std::fs::write(&lock, record.to_string()).unwrap();
    };
    leave(3_600);
    let output = env.ingest_command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("far-away"), "{}", stderr(&output));
    let query = all_docs(env.folder.path()).args(["status"]).output().unwrap();
    assert_eq!(query.status.code(), Some(0));
    leave(-1);
    let output = env.ingest_command(&[]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
}
