//! A process that dies: its fetched documents are not requested again, and a rerun ends in the bytes of an undisturbed
//! one.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use all_docs::diff::Selection;
use all_docs::lake::{Layout, Partition};
use all_docs::npm::PackageName;
use all_docs::pipeline::{IngestSummary, Progress, ingest};
use all_docs::sample::{Fault, FaultScript, World};
use all_docs::table::TableKind;
use tokio_util::sync::CancellationToken;

use crate::support::{Env, ORIGIN, all_docs, assert_same_lake, never, run, run_binary, same_name, stderr};

const PACKAGES: usize = 400;
/// The requests that a killed process may have sent in vain: requests in flight, responses between network and disk,
/// and segments that were not full, over all partitions under way.
const MOST_REPEATED: usize = 256;

fn pivots() -> Vec<&'static str> {
    vec!["@m", "b", "e", "k", "p", "t"]
}

/// Stops the run after `packuments` responses.
async fn stop_after(env: &Env, pivots: &[&str], packuments: u64) -> IngestSummary {
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let watch = {
        let (progress, stop) = (Arc::clone(&progress), stop.clone());
        tokio::spawn(async move {
            while progress.snapshot().packuments_done < packuments {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        })
    };
    let summary = ingest(env.options(pivots), progress, stop).await.unwrap();
    watch.abort();
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_keeps_what_it_fetched_and_the_next_one_ends_in_the_same_bytes() {
    let quiet = Env::new(World::seeded(21, PACKAGES));
    quiet.ingest(&pivots()).await;
    for packuments in [1, 150, 390] {
        let env = Env::new(World::seeded(21, PACKAGES));
        let summary = stop_after(&env, &pivots(), packuments).await;
        let first = env.packuments_asked();
        let rerun = run(env.options(&pivots())).await.unwrap();
        assert!(!rerun.interrupted);
        let repeated = env.packuments_asked().iter().filter(|name| first.contains(name)).count();
        assert!(repeated <= MOST_REPEATED, "{repeated} of {} requests were repeated", first.len());
        assert_same_lake(&env.lake(), &quiet.lake());
        if summary.interrupted {
            assert!(first.len() < PACKAGES + 10);
        }
    }
}

/// A command about one name, or about names alone, may run between a stopped run and the one that continues it.
#[tokio::test(flavor = "multi_thread")]
async fn fetched_documents_outlive_a_run_that_wants_fewer() {
    let quiet = Env::new(World::seeded(24, PACKAGES));
    quiet.ingest(&[]).await;
    let one = quiet.server.world().names().nth(3).unwrap().to_owned();
    for selection in [Selection::None, Selection::Names([PackageName::from(one.as_str())].into())] {
        let env = Env::new(World::seeded(24, PACKAGES));
        let last = env.server.world().names().last().unwrap().to_owned();
        env.server.set_faults(FaultScript::of([Fault::packument(&last, never())]));
        stop_after(&env, &[], PACKAGES as u64 - 1).await;
        env.server.set_faults(FaultScript::default());
        env.packuments_asked();
        let mut between = env.options(&[]);
        between.selection = selection;
        run(between).await.unwrap();
        run(env.options(&[])).await.unwrap();
        let asked = env.packuments_asked();
        assert!(asked.len() < 50, "{} documents were asked for again", asked.len());
        assert_same_lake(&env.lake(), &quiet.lake());
        assert_eq!(env.store().list(&Layout::origin(ORIGIN).staging()).await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_files_of_an_unchanged_partition_are_removed() {
    let env = Env::new(World::seeded(23, 20));
    env.ingest(&[]).await;
    let (store, layout) = (env.store(), Layout::origin(ORIGIN));
    store.put(&layout.staged_answers(&Partition::ALL, 0, 0), "of a run that died").await.unwrap();
    env.ingest(&[]).await;
    assert_eq!(store.list(&layout.staging()).await.unwrap(), Vec::<String>::new());
}

/// Kills the real process with SIGKILL after this many requests for documents, then runs it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_resumed_by_the_next_one() {
    let quiet = Env::new(World::seeded(22, PACKAGES));
    quiet.ingest(&pivots()).await;
    let file = quiet.folder.path().join("pivots.json");
    std::fs::write(&file, serde_json::to_string(&pivots()).unwrap()).unwrap();
    let mut kills = 0;
    for requests in [3, 130, 260, 399] {
        let env = Env::new(World::seeded(22, PACKAGES));
        let command = |env: &Env| {
            let mut command = all_docs(env.folder.path());
            command.args(["ingest", "--quiet", "--partitions", "exact", "--origin", env.server.url(), "--lake"]);
            command.arg(env.lake()).arg("--pivots").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let mut child = command(&env).spawn().unwrap();
        let asked = || env.server.requests().iter().filter(|request| request.package.is_some()).count();
        while asked() < requests && child.try_wait().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let first = env.packuments_asked();
        let status = command(&env).status().unwrap();
        assert!(matches!(status.code(), Some(0 | 6)), "{status}");
        let repeated = env.packuments_asked().iter().filter(|name| first.contains(name)).count();
        assert!(repeated <= MOST_REPEATED, "{repeated} of {} requests were repeated", first.len());
        same_name(&env);
        assert_same_lake(&env.lake(), &quiet.lake());
        assert_eq!(env.names(TableKind::Docs), quiet.names(TableKind::Docs));
    }
    assert!(kills > 0, "no process was alive when it should be killed");
}

/// The progress of a partition's commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Commit {
    /// Its last shard is staged.
    Staged,
    /// Its intent exists, and this many shards have left staging for their places.
    Moved(usize),
}

/// Returns the progress of the commits of a lake that are under way.
fn commits(lake: &Path) -> Vec<Commit> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let mut commits = Vec::new();
    for staging in below(lake).iter().map(|origin| origin.join("staging")) {
        for files in below(&staging).iter().map(|partition| below(partition)) {
            let has = |name: &str| files.iter().any(|file| file.ends_with(name));
            let staged = files.iter().filter(|file| file.extension().is_some_and(|suffix| suffix == "staged")).count();
            if has("commit.json") {
                commits.push(Commit::Moved(TableKind::ALL.len().saturating_sub(staged)));
            } else if has("docs.staged") {
                commits.push(Commit::Staged);
            }
        }
    }
    commits
}

/// Kills a process when a commit has reached a moment. Returns the commits that it died in, none where it ended before.
fn kill_in_a_commit(child: &mut Child, lake: &Path, moment: Commit) -> Vec<Commit> {
    while child.try_wait().unwrap().is_none() {
        if commits(lake).iter().any(|commit| *commit >= moment) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    commits(lake)
}

/// The place of a kill is chance: it is sent when a file is seen, and that file may be gone when it arrives. So the
/// test repeats until enough processes have died within a commit, some of them between two moves.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_within_a_commit_is_rolled_forward_by_the_next_one() {
    const MOST_TRIES: usize = 40;
    let quiet = Env::new(World::seeded(25, 60));
    quiet.ingest(&pivots()).await;
    let moments = [Commit::Staged, Commit::Moved(0), Commit::Moved(1), Commit::Moved(6), Commit::Moved(11)];
    let (mut within, mut between_moves) = (0, 0);
    for number in 0..MOST_TRIES {
        let env = Env::new(World::seeded(25, 60));
        let mut child = env.ingest_command(&pivots()).stderr(Stdio::null()).spawn().unwrap();
        let died_in = kill_in_a_commit(&mut child, &env.lake(), moments[number % moments.len()]);
        let cut = died_in.iter().filter(|commit| **commit >= Commit::Moved(0)).count();
        within += usize::from(cut > 0);
        between_moves += usize::from(died_in.iter().any(|commit| matches!(commit, Commit::Moved(1..=11))));

        let rerun = env.ingest_command(&pivots()).output().unwrap();
        assert!(matches!(rerun.status.code(), Some(0 | 6)), "{}", stderr(&rerun));
        let told = format!("{cut} commits that an earlier run left half done");
        assert_eq!(stderr(&rerun).contains(&told), cut > 0, "{died_in:?}: {}", stderr(&rerun));
        let proof = run_binary(env.folder.path(), &["verify"]);
        assert_eq!(proof.status.code(), Some(0), "{died_in:?}: {}", stderr(&proof));
        same_name(&env);
        assert_same_lake(&env.lake(), &quiet.lake());
        if number + 1 >= moments.len() && within >= 3 && between_moves >= 2 {
            break;
        }
    }
    eprintln!("{within} kills within a commit, {between_moves} of them between two moves");
    assert!(within >= 3 && between_moves >= 2, "{within} kills landed within a commit, {between_moves} between moves");
}
