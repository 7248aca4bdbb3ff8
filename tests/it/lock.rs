//! Several processes on one lake: they share the work, one of them writes each partition, and the others take over a
//! dead one's partitions.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use all_docs::error::ErrorKind;
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};

use crate::support::{Env, all_docs, assert_same_lake, origin_folder, run, run_binary, same_name, stderr, stdout};

/// Makes a registry whose documents are so slow that a run is still under way when the test looks.
fn slow_registry(seed: u64, before_headers_ms: u64) -> Env {
    let env = Env::new(World::seeded(seed, 60));
    let action = Action::Slow { before_headers_ms, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, action)]));
    env
}

/// Waits until a run holds the leases of both partitions.
async fn wait_until_at_work(env: &Env) {
    while leases(env).len() < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn spawn(env: &Env) -> Child {
    env.ingest_command(&["m"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Returns the files of the leases of partitions.
fn leases(env: &Env) -> Vec<PathBuf> {
    // The binary names the origin after the address of the registry.
    let folders = std::fs::read_dir(env.lake()).into_iter().flatten().map(|entry| entry.unwrap().path().join("leases"));
    let entries = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "json")).collect()
}

/// Writes a lease or lock of a process on another machine.
pub fn leave(path: &Path, expires_in_s: i64) {
    let now_s = jiff::Timestamp::now().as_second();
    let record = serde_json::json!({
        "holder": "x", "purpose": "ingest", "tool_version": "0.1.0", "host": "far-away", "process_id": 1,
        "process_place": null, "since_s": now_s - 100, "expires_at_s": now_s + expires_in_s,
    });
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, record.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_process_takes_over_from_a_killed_one() {
    let env = slow_registry(61, 60_000);
    let mut first = spawn(&env);
    wait_until_at_work(&env).await;
    let proof = run_binary(env.folder.path(), &["verify"]);
    assert!(stdout(&proof).contains("is at work"), "{}", stdout(&proof));
    let status = run_binary(env.folder.path(), &["status"]);
    assert!(stdout(&status).contains(&format!("process {}", first.id())), "{}", stdout(&status));
    let clear = run_binary(env.folder.path(), &["cache", "clear", "--yes"]);
    assert_eq!(clear.status.code(), Some(4), "{}", stderr(&clear));
    assert!(stderr(&clear).contains(&format!("process {}", first.id())), "{}", stderr(&clear));

    // The second one finds all partitions held; it ends when the first one is dead and it has done them itself.
    // At a gate that both share, its requests would wait until the slow responses to the first one have come.
    let apart = tempfile::tempdir().unwrap();
    let mut second = env.ingest_command(&["m"]);
    second.env("ALL_DOCS_RUNTIME_DIR", apart.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let second = second.spawn().unwrap();
    let asked_by_first = env.server.request_count();
    while env.server.request_count() < asked_by_first + 4 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    env.server.set_faults(FaultScript::default());
    first.kill().unwrap();
    first.wait().unwrap();
    let second = second.wait_with_output().unwrap();
    assert!(matches!(second.status.code(), Some(0 | 6)), "{}", stderr(&second));
    assert!(leases(&env).is_empty(), "a run that ends gives its leases back");
    let quiet = Env::new(World::seeded(61, 60));
    quiet.ingest(&["m"]).await;
    same_name(&env);
    assert_same_lake(&env.lake(), &quiet.lake());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_share_a_lake_and_ask_for_each_document_once() {
    let pivots: Vec<String> = ('b'..'y').map(String::from).collect();
    let pivots: Vec<&str> = pivots.iter().map(String::as_str).collect();
    let (env, quiet) = (Env::new(World::seeded(62, 300)), Env::new(World::seeded(62, 300)));
    let alone = quiet.ingest(&pivots).await;
    let summaries =
        futures::future::join_all([run(env.options(&pivots)), run(env.options(&pivots)), run(env.options(&pivots))]);
    let summaries: Vec<_> = summaries.await.into_iter().map(Result::unwrap).collect();
    assert_same_lake(&env.lake(), &quiet.lake());
    // A request that a busy machine repeats is still one document.
    let asked: u64 = summaries.iter().map(|each| each.counts.packuments_done).sum();
    assert_eq!(asked, alone.counts.packuments_done);
    let written: u64 =
        summaries.iter().map(|each| each.counts.partitions_done - each.counts.partitions_unchanged).sum();
    assert_eq!(written, pivots.len() as u64 + 1, "each partition was written by one run");
    for summary in &summaries {
        assert_eq!(summary.counts.partitions_done, summary.counts.partitions_total);
        assert_eq!(summary.state.partitions_committed, pivots.len() as u64 + 1);
        assert_eq!(summary.state, summaries[0].state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lease_is_taken_away_stops_before_it_commits() {
    let env = slow_registry(63, 1_000);
    let task = tokio::spawn(run(env.options(&["m"])));
    wait_until_at_work(&env).await;
    for lease in leases(&env) {
        std::fs::remove_file(lease).unwrap();
    }
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake);
    assert!(error.message().contains("no longer holds the lock"), "{error}");
    assert!(!env.lake().join("sample/manifest").exists(), "it committed without its lease");
}

#[test]
fn a_lock_of_the_whole_origin_holds_until_it_lapses() {
    let env = Env::new(World::seeded(64, 20));
    let output = env.ingest_command(&[]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let lock = origin_folder(&env.lake()).join("lock.json");
    leave(&lock, 3_600);
    let output = env.ingest_command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("far-away"), "{}", stderr(&output));
    let status = all_docs(env.folder.path()).args(["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(0), "reading needs no lock");
    leave(&lock, -1);
    let output = env.ingest_command(&[]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_another_machine_holds_is_done_when_its_lease_lapses() {
    let (env, quiet) = (Env::new(World::seeded(65, 40)), Env::new(World::seeded(65, 40)));
    quiet.ingest(&["m"]).await;
    let held = env.lake().join("sample/leases/0-6d.json");
    leave(&held, 3_600);
    std::fs::write(env.lake().join("all-docs.json"), std::fs::read(quiet.lake().join("all-docs.json")).unwrap())
        .unwrap();
    let task = tokio::spawn(run(env.options(&["m"])));
    let free = env.lake().join("sample/manifest/6d-z.json");
    while !free.exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!env.lake().join("sample/manifest/0-6d.json").exists(), "another one holds it");
    leave(&held, -1);
    let summary = task.await.unwrap().unwrap();
    assert_eq!(summary.others.processes, ["process 1 on far-away"]);
    assert_same_lake(&env.lake(), &quiet.lake());
}
