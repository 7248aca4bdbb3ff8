//! A lake with an overlay that is cut anew: the copy is that of a fresh ingest of the same registry, cut anew.

use std::num::NonZeroU64;

use super::*;
use crate::lake::FollowRecord;
use crate::pipeline::copy::tests::cut::assert_as_ingested;
use crate::pipeline::{CopyOptions, CopySummary, copy};
use crate::store::Step;

pub(super) async fn cut(from: &Store, to: &Store, rows: u64) -> CopySummary {
    try_cut(from, to, rows).await.unwrap()
}

async fn try_cut(from: &Store, to: &Store, rows: u64) -> Result<CopySummary> {
    let options = CopyOptions { rows_per_partition: NonZeroU64::new(rows), ..CopyOptions::default() };
    Box::pin(copy(from, to, &options, Arc::default(), CancellationToken::new())).await
}

/// Asserts that `to`, which was cut into partitions of `rows` rows, is a fresh ingest that is cut so.
pub(super) async fn assert_cut_of_fresh(server: &SampleServer, to: &Store, rows: u64, after: &str) {
    let expected = Store::memory();
    cut(&fresh(server).await.store, &expected, rows).await;
    assert_as_ingested(to, &expected, after).await;
    assert_same_rows(to, &expected, after).await;
    let left = to.list(&layout().overlay_folder()).await.unwrap();
    assert!(left.is_empty(), "{left:?} {after}");
}

/// Publishes, unpublishes, deletes and adds some names, each kind in a commit of its own.
async fn follow(server: &SampleServer, store: &Store, all: &[String]) {
    for (kind, place) in [(0, 0), (5, 5), (7, 23), (4, 9), (6, 17), (0, 1), (5, 23)] {
        edit(server, kind, &all[place]);
        apply(server, store, &[all[place].clone(), format!("{}-new", all[place])].into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_with_an_overlay_is_cut_as_a_fresh_ingest_is() {
    for (backend, rows) in [(Backend::Disk, 3), (Backend::Memory, 7), (Backend::Disk, 1_000)] {
        let (server, lake) = filled(backend, 24).await;
        let all = names(&server);
        follow(&server, &lake.store, &all).await;
        let to = backend.lake(&BTreeMap::new()).await.store;
        let first = cut(&lake.store, &to, rows).await;
        let after = format!("in partitions of {rows} rows");
        assert_cut_of_fresh(&server, &to, rows, &after).await;
        let again = cut(&lake.store, &to, rows).await;
        assert_eq!((again.partitions_copied, again.partitions_current), (0, first.partitions_total), "{after}");

        // A merge replaces deltas, and no row.
        assert!(tend(&server, &lake.store, NEVER).await.unwrap().merges > 0);
        assert_eq!(cut(&lake.store, &to, rows).await.shards_copied, 0, "{after}");

        // An ingest takes in what the overlay has of a partition, and changes it. The deltas have older rows of it then.
        edit(&server, 0, &all[0]);
        run(&server, &lake.store, &PIVOTS).await.unwrap();
        assert_eq!(record(&lake.store).await.folded.len(), 1);
        let update = cut(&lake.store, &to, rows).await;
        assert!(rows == 1_000 || update.partitions_copied < first.partitions_copied, "{update:?}");
        assert_cut_of_fresh(&server, &to, rows, &format!("{after} after an ingest")).await;

        // A follower of the copy changes that. The next copy replaces its changes.
        let quiet = lake.store.contents().await;
        edit(&server, 0, &all[20]);
        apply(&server, &to, &[all[20].clone()].into()).await.unwrap();
        to.put_record(&layout().follow(), &FollowRecord::empty()).await.unwrap();
        let Attempt::Taken(follower) = Lease::of_stem(&to, &layout(), "follow", "follow").await.unwrap() else {
            panic!("nobody follows it");
        };
        let refused = try_cut(&lake.store, &to, rows).await.unwrap_err();
        assert!(refused.report().contains("follows sample in") && record(&to).await.deltas.len() == 1, "{refused:?}");
        follower.end().await.unwrap();
        assert_eq!(cut(&lake.store, &to, rows).await.partitions_copied, 0, "{after}");
        assert_eq!(to.get(&layout().follow()).await.unwrap(), None, "it knows no place of these contents");
        let expected = Store::memory();
        cut(&backend.lake(&quiet).await.store, &expected, rows).await;
        assert_as_ingested(&to, &expected, &format!("{after} after a follower of the copy")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_delta_is_not_cut() {
    for backend in [Backend::Disk, Backend::Memory] {
        let (server, lake) = filled(backend, 12).await;
        let all = names(&server);
        edit(&server, 0, &all[3]);
        apply(&server, &lake.store, &[all[3].clone()].into()).await.unwrap();
        let delta = record(&lake.store).await.deltas.remove(0);
        let shard = delta.layout(&layout()).shard(TableKind::DistTags, &Delta::PARTITION);
        let mut bytes = lake.store.get(&shard).await.unwrap().unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        lake.store.put(&shard, bytes).await.unwrap();
        let refused = try_cut(&lake.store, &Store::memory(), 5).await.unwrap_err();
        let report = refused.report();
        assert!(report.contains(&shard) && report.contains("all-docs verify --repair"), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_cuts_at_once_each_has_the_same_partitions_or_is_refused() {
    // One of the same size has found its partitions and stores them; one of another size has stored them.
    for (of_first, rows, part) in [(5, 5, "/partitions.json"), (1_000, 9, "/leases/")] {
        let (server, lake) = filled(Backend::Disk, 24).await;
        let all = names(&server);
        let to = Backend::Disk.lake(&BTreeMap::new()).await.store;
        let slow = super::beside::standing_at(&to, move |reached| reached.path.contains(part));
        let first = Box::pin(try_cut(&lake.store, &slow, of_first));
        let beside = slow.meanwhile(async {
            let mut added = BTreeSet::new();
            for name in all.iter().take(6) {
                edit(&server, 7, name);
                added.insert(format!("{name}-new"));
            }
            apply(&server, &lake.store, &added).await.unwrap();
            cut(&lake.store, &to, rows).await;
        });
        let (first, ()) = tokio::join!(first, beside);
        if of_first == rows {
            first.unwrap();
        } else {
            let report = first.unwrap_err().report();
            assert!(report.contains("other partitions meanwhile"), "{report}");
        }
        assert_cut_of_fresh(&server, &to, rows, &format!("after two cuts into {rows} rows")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_beside_a_fold_and_an_ingest_has_the_newer_rows() {
    let (server, lake) = filled(Backend::Disk, 24).await;
    let all = names(&server);
    follow(&server, &lake.store, &all).await;
    let to = Backend::Disk.lake(&BTreeMap::new()).await.store;
    // It has read the overlay and the manifests, and some of the base.
    let is_begun = |reached: &Reached| {
        reached.step == Step::Write && reached.path.contains("/staging/") && reached.path.contains("versions")
    };
    let cutting = super::beside::standing_at(&to, is_begun);
    let cut = Box::pin(cut(&lake.store, &cutting, 1_000));
    let beside = cutting.meanwhile(async {
        fold_everything(&lake.store).await;
        assert_eq!((record(&lake.store).await.deltas, record(&lake.store).await.folded.len()), (Vec::new(), 0));
        edit(&server, 0, &all[0]);
        run(&server, &lake.store, &PIVOTS).await.unwrap();
    });
    tokio::join!(cut, beside);
    assert_cut_of_fresh(&server, &to, 1_000, "beside a fold").await;
}
