//! A lake with an overlay that is cut anew: the copy is that of a fresh ingest of the same registry, cut anew.

use std::num::NonZeroU64;

use super::*;
use crate::pipeline::copy::tests::cut::assert_as_ingested;
use crate::pipeline::{CopyOptions, CopySummary, copy};
use crate::store::Step;

pub(super) async fn cut(from: &Store, to: &Store, rows: u64) -> CopySummary {
    let options = CopyOptions { rows_per_partition: NonZeroU64::new(rows), ..CopyOptions::default() };
    Box::pin(copy(from, to, &options, Arc::default(), CancellationToken::new())).await.unwrap()
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
        edit(&server, 0, &all[20]);
        apply(&server, &to, &[all[20].clone()].into()).await.unwrap();
        apply(&server, &lake.store, &[all[20].clone()].into()).await.unwrap();
        edit(&server, 0, &all[21]);
        apply(&server, &to, &[all[21].clone()].into()).await.unwrap();
        apply(&server, &lake.store, &[all[21].clone()].into()).await.unwrap();
        cut(&lake.store, &to, rows).await;
        assert_cut_of_fresh(&server, &to, rows, &format!("{after} after a follower of the copy")).await;
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
