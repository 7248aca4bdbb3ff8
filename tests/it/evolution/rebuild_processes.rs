//! Processes that rebuild one lake: killed, interrupted, two at once, and one beside an ingest.
//!
//! A partition that a process on another machine holds keeps a rebuild waiting, so it cannot end before a test has acted
//! on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use all_docs::sample::{Fault, FaultScript};
use all_docs::table::TableKind;
use all_docs::version::FORMAT_VERSION;
use arrow::array::AsArray;

use super::{OldLake, json, registry_of_server, rows, stems};
use crate::lock::leave;
use crate::support::{all_docs, never, stderr};

/// The progress of a rebuild at which a test acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// It stages a shard.
    Staging,
    /// It commits a partition, or has done so.
    Committing,
    /// It has committed all partitions but the held one, for which it waits.
    Waiting,
}

const MOMENTS: [Moment; 3] = [Moment::Staging, Moment::Committing, Moment::Waiting];

/// An old lake, one of whose partitions a process on another machine holds.
struct HeldLake {
    lake: OldLake,
    stems: Vec<String>,
    held: String,
}

impl HeldLake {
    fn new() -> HeldLake {
        let lake = OldLake::kept();
        let stems = stems(&lake.origin());
        let held = stems[1].clone();
        leave(&lease(&lake, &held), 3_600);
        HeldLake { lake, stems, held }
    }

    /// Lets go of the held partition.
    fn release(&self) {
        fs::remove_file(lease(&self.lake, &self.held)).unwrap();
    }

    fn is_committed(&self, stem: &str) -> bool {
        json(&self.lake.origin().join(format!("manifest/{stem}.json")))["format_version"] == FORMAT_VERSION
    }

    /// Returns the partitions whose commit has begun and not ended.
    fn intents(&self) -> Vec<&String> {
        let has_intent = |stem: &&String| self.lake.origin().join(format!("staging/{stem}/commit.json")).exists();
        self.stems.iter().filter(has_intent).collect()
    }

    fn staged_shards(&self) -> usize {
        let files = self.stems.iter().flat_map(|stem| entries(&self.lake.origin().join("staging").join(stem)));
        files.filter(|path| path.extension().is_some_and(|suffix| suffix == "staged")).count()
    }

    fn has_come(&self, moment: Moment) -> bool {
        let committed = || self.stems.iter().filter(|stem| self.is_committed(stem)).count();
        match moment {
            Moment::Staging => self.staged_shards() > 0 || committed() > 0,
            Moment::Committing => !self.intents().is_empty() || committed() > 0,
            Moment::Waiting => committed() == self.stems.len() - 1,
        }
    }

    /// Waits until a process, which goes on, has come so far.
    fn wait_for(&self, moment: Moment, child: &mut Child) {
        while !self.has_come(moment) {
            assert!(child.try_wait().unwrap().is_none(), "it ended although a partition is held");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Rebuilds the rest. Fails the test unless that is exactly what is not committed.
    async fn assert_continued(&self, after: &str) {
        let committed = self.stems.iter().filter(|stem| self.is_committed(stem) || self.intents().contains(stem));
        let (committed, intents) = (committed.count(), self.intents().len());
        self.release();
        let summary = summary_of(rebuild(&self.lake).spawn().unwrap());
        assert_eq!(summary["partitions_current"], committed, "{after}: {summary}");
        assert_eq!(summary["partitions_rebuilt"], self.stems.len() - committed, "{after}: {summary}");
        assert_eq!(summary["commits_recovered"], intents, "{after}: {summary}");
        assert_nothing_left(&self.lake);
        self.lake.assert_as_fresh().await;
    }
}

fn lease(lake: &OldLake, stem: &str) -> PathBuf {
    lake.origin().join(format!("leases/{stem}.json"))
}

/// Returns what is in a folder; nothing if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn rebuild(lake: &OldLake) -> Command {
    let mut command = all_docs(lake.env.folder.path());
    command.args(["rebuild", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for a rebuild that must succeed, and returns its summary.
fn summary_of(child: Child) -> serde_json::Value {
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// Returns the purposes of the runs that report their status, by process.
fn runs(lake: &OldLake) -> BTreeMap<u64, String> {
    let status: serde_json::Value = serde_json::from_str(&lake.must(&["status", "--json"])).unwrap();
    let runs = status[0]["runs"].as_array().unwrap().iter();
    runs.map(|run| (run["process_id"].as_u64().unwrap(), run["purpose"].as_str().unwrap().to_owned())).collect()
}

/// Fails the test if a lease, a status or a staged file is left, or if the lake is not sound.
fn assert_nothing_left(lake: &OldLake) {
    let folders = ["leases", "staging"].map(|folder| lake.origin().join(folder));
    let left: Vec<PathBuf> = folders.iter().flat_map(|folder| entries(folder)).collect();
    // A killed process may have begun to put its lease; such files are removed when they are a minute old.
    let left: Vec<PathBuf> =
        left.into_iter().filter(|path| !path.to_str().unwrap().contains("/leases/.put-")).collect();
    assert!(left.is_empty(), "{left:?}");
    let (code, told) = lake.run(&["verify", "--quiet"]);
    assert_eq!(code, Some(0), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_is_continued_by_the_next_one() {
    for moment in MOMENTS {
        let held = HeldLake::new();
        let mut child = rebuild(&held.lake).spawn().unwrap();
        held.wait_for(moment, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        held.assert_continued(&format!("killed when {moment:?}")).await;
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_rebuild_cleanly_and_the_next_one_continues() {
    for moment in MOMENTS {
        let held = HeldLake::new();
        // The summary for people, which says how to go on.
        let mut child = all_docs(held.lake.env.folder.path()).arg("rebuild").stderr(Stdio::piped()).spawn().unwrap();
        held.wait_for(moment, &mut child);
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{moment:?}: {}", stderr(&output));
        let told = stderr(&output);
        assert!(told.contains("interrupted") && told.contains("the same command resumes"), "{moment:?}: {told}");
        assert_eq!(entries(&held.lake.origin().join("leases")), [lease(&held.lake, &held.held)], "{moment:?}");
        assert_eq!(held.intents(), Vec::<&String>::new(), "{moment:?}: a commit that has begun is ended");
        assert_eq!(runs(&held.lake), BTreeMap::new(), "{moment:?}");
        held.assert_continued(&format!("interrupted when {moment:?}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rebuilds_share_a_lake_and_make_each_partition_once() {
    let held = HeldLake::new();
    let children = [rebuild(&held.lake).spawn().unwrap(), rebuild(&held.lake).spawn().unwrap()];
    // Neither can end while the partition is held, so both are at work when it is released.
    let expected = children.iter().map(|child| (u64::from(child.id()), "rebuild".to_owned())).collect();
    while runs(&held.lake) != expected {
        std::thread::sleep(Duration::from_millis(1));
    }
    held.release();
    let summaries = children.map(summary_of);
    let sum = |member: &str| summaries.iter().map(|summary| summary[member].as_u64().unwrap()).sum::<u64>();
    let partitions = held.stems.len() as u64;
    assert_eq!((sum("partitions_rebuilt"), sum("partitions_current")), (partitions, partitions), "{summaries:?}");
    assert_nothing_left(&held.lake);
    held.lake.assert_as_fresh().await;
}

/// An ingest holds the partition of a document that never comes. It has rebuilt the tables with old columns there. The
/// rebuild does the other partitions, and that one when the ingest has ended.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_beside_an_ingest_waits_for_the_partition_that_it_holds() {
    let held = HeldLake::new();
    held.release();
    let lake = &held.lake;
    let packages = rows(&lake.origin(), TableKind::Packages);
    let mut names = packages.column_by_name("name").unwrap().as_string::<i32>().iter().flatten();
    let name = names.find(|name| name.starts_with('a')).unwrap();
    let own = &held.stems[lake.boundaries.iter().filter(|boundary| boundary.as_str() <= name).count()];
    lake.env.server.world().publish(name, "99.0.0");
    let (_, others) = registry_of_server(&lake.env);
    let faults = std::iter::once(Fault::packument(name, never())).chain(others.faults.clone());
    lake.env.server.set_faults(FaultScript::of(faults));
    let registry = lake.registry();
    let update = ["packument", "fetch", name, "--origin", &registry];
    let mut ingest = all_docs(lake.env.folder.path());
    let mut ingest = ingest.args(update).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // An ingest rebuilds an old partition before it requests the documents of the partition.
    while !held.is_committed(own) {
        assert!(ingest.try_wait().unwrap().is_none(), "it ended although a document is missing");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut rebuilding = rebuild(lake).spawn().unwrap();
    while !held.stems.iter().all(|stem| held.is_committed(stem)) {
        assert!(rebuilding.try_wait().unwrap().is_none(), "it ended although a partition is held");
        std::thread::sleep(Duration::from_millis(1));
    }
    let expected = [(u64::from(ingest.id()), "ingest".to_owned()), (u64::from(rebuilding.id()), "rebuild".to_owned())];
    assert_eq!(runs(lake), BTreeMap::from(expected));
    let told = lake.must(&["status"]);
    assert!(told.contains("ingest is running") && told.contains("rebuild is running"), "{told}");
    interrupt(&ingest);
    let output = ingest.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let summary = summary_of(rebuilding);
    assert_eq!(summary["partitions_rebuilt"], held.stems.len(), "{summary}");

    lake.env.server.set_faults(others);
    lake.must(&update);
    assert_nothing_left(lake);
    lake.assert_as_fresh().await;
}
