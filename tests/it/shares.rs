//! Shares: processes that divide an ingest by the partitions, without telling each other.

use std::num::NonZeroU64;
use std::process::Stdio;

use all_docs::pipeline::{IngestOptions, PartitionMode, Scope, Share};
use all_docs::sample::{Kind, World};
use all_docs::table::TableKind;

use crate::support::{Env, all_docs, assert_same_lake, run, same_name, stderr};

fn world() -> World {
    World::seeded(65, 300)
}

fn options(env: &Env, scope: Scope) -> IngestOptions {
    let rows_per_partition = NonZeroU64::new(20).unwrap();
    IngestOptions { pivots: None, scope, partitions: PartitionMode::Derived { rows_per_partition }, ..env.options(&[]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_of_a_new_lake_are_together_one_ingest() {
    let env = Env::new(world());
    let share = |place| run(options(&env, Scope::Share(Share::new(place, 3).unwrap())));
    let summaries: Vec<_> =
        futures::future::join_all((0..3).map(share)).await.into_iter().map(Result::unwrap).collect();
    let partitions = summaries[0].state.partitions_total;
    assert!(partitions > 10, "{partitions}");
    let done: u64 = summaries.iter().map(|summary| summary.counts.partitions_done).sum();
    assert_eq!(done, partitions, "each partition is in one share");
    let most = summaries.iter().map(|summary| summary.counts.partitions_done).max().unwrap();
    assert!(most <= partitions.div_ceil(3), "{most} of {partitions}");
    let asked: u64 = summaries.iter().map(|summary| summary.counts.packuments_done).sum();
    let pages = env.server.requests().into_iter().filter(|request| request.kind == Kind::Page).count();

    // A first run looks for the partitions, which takes a few requests each, and a second one lists them all.
    let alone = Env::new(world());
    let count_pages = || alone.server.requests().into_iter().filter(|request| request.kind == Kind::Page).count();
    let first = run(options(&alone, Scope::Share(Share::new(0, 1_000).unwrap()))).await.unwrap();
    let looking = count_pages();
    let rest = run(options(&alone, Scope::All)).await.unwrap();
    let listing = count_pages() - looking;
    assert_same_lake(&env.lake(), &alone.lake());
    assert_eq!(asked, first.counts.packuments_done + rest.counts.packuments_done, "each document was requested once");
    assert!(pages <= listing + looking, "{pages} pages, {listing} to list and {looking} to look for partitions");
}

#[test]
fn tasks_of_a_job_take_their_shares() {
    let env = Env::new(world());
    let task = |index: &str, count: &str| {
        let mut command = all_docs(env.folder.path());
        command.args(["ingest", "--partition-rows", "50", "--origin", env.server.url()]);
        command.env("CLOUD_RUN_TASK_INDEX", index).env("CLOUD_RUN_TASK_COUNT", count);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let tasks = ["0", "1"].map(|index| task(index, "2")).map(|task| task.wait_with_output().unwrap());
    for (number, output) in (1..).zip(&tasks) {
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(output));
        assert!(stderr(output).contains(&format!("share {number}/2")), "{}", stderr(output));
    }
    let wrong = task("2", "2").wait_with_output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));

    let alone = Env::new(world());
    same_name(&env);
    let mut command = all_docs(alone.folder.path());
    command.args(["ingest", "--partition-rows", "50", "--share", "1/1", "--origin", alone.server.url()]);
    let output = command.output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    assert!(!stderr(&output).contains("share"), "{}", stderr(&output));
    same_name(&alone);
    let names = |env: &Env| {
        let mut names = env.names(TableKind::Packuments);
        names.sort();
        names
    };
    assert_eq!(names(&env), names(&alone));
}
