//! Tests a commit into a bucket whose process dies before each of its steps. The next process has the scratch folder of
//! the dead one, or has not. It ends the commit or discards it, and leaves no upload and no staged shard.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::tests::{Alone, PARTITION, layout, manifest_of, stage};
use super::*;
use crate::error::ErrorKind;
use crate::store::{Failure, MemoryBucket, PART_LENGTH, Reached, Step};

/// The documents are too large for one put.
const LARGE_BYTES: usize = PART_LENGTH + 1;
const TABLES: [TableKind; 5] =
    [TableKind::Docs, TableKind::Packuments, TableKind::Packages, TableKind::Versions, TableKind::Outcomes];

/// A partition before a commit and after it.
struct Scene {
    old: BTreeMap<TableKind, String>,
    new: BTreeMap<TableKind, String>,
    before: Bytes,
    after: Manifest,
}

/// A bucket, and the store of the process that commits into it.
struct Lake {
    bucket: Arc<MemoryBucket>,
    store: Store,
}

impl Scene {
    fn new(is_large: bool) -> Scene {
        let texts = |age: &str| {
            let text = |table| match table {
                TableKind::Packuments if is_large => (table, age.repeat(LARGE_BYTES / age.len() + 1)),
                _ => (table, format!("{age} {table}")),
            };
            TABLES.into_iter().map(text).collect::<BTreeMap<_, _>>()
        };
        let manifest =
            |texts: &BTreeMap<_, String>| manifest_of(texts.iter().map(|(table, text)| (*table, text.as_str())));
        let (old, new) = (texts("old"), texts("new"));
        let before = Manifest { written_at: "earlier".to_owned(), ..manifest(&old) };
        Scene { before: before.to_json().unwrap().into(), after: manifest(&new), old, new }
    }

    fn answers() -> String {
        layout().staged_answers(&PARTITION, 0, 0)
    }

    /// Returns the partition with the old shards, and the new ones staged.
    async fn lake(&self) -> Lake {
        let bucket = Arc::new(MemoryBucket::new());
        let store = Store::of_memory(&bucket);
        store.put(&layout().manifest(&PARTITION), self.before.clone()).await.unwrap();
        store.put(&Scene::answers(), "kept").await.unwrap();
        for table in TABLES {
            store.put(&layout().shard(table, &PARTITION), self.old[&table].clone()).await.unwrap();
            stage(&store, table, &self.new[&table]).unwrap();
        }
        store.take_reached();
        Lake { bucket, store }
    }

    async fn commit(&self, store: &Store) -> Result<()> {
        let change = Change { manifest: self.after.clone(), moved: TABLES.to_vec(), base: Some(self.before.clone()) };
        commit(store, &layout(), &Alone, &change).await
    }

    /// Settles the partition, and makes again what is missing.
    async fn settle(&self, store: &Store) -> Result<Settled> {
        match settle(store, &layout(), &PARTITION, &Alone).await? {
            Settled::Lacking(lacking) => {
                let tables = lacking.tables().clone();
                for table in &tables {
                    assert!([TableKind::Packages, TableKind::Versions].contains(table), "{table} cannot be made again");
                    stage(store, *table, &self.new[table])?;
                }
                let rebuilt = lacking.manifest().clone();
                complete(store, &layout(), &Alone, *lacking, rebuilt, &tables).await?;
                Ok(Settled::Completed)
            }
            settled => Ok(settled),
        }
    }

    /// Returns whether every shard in the bucket is the new one, and the manifest too. Each is the old one or the new one.
    async fn is_new(&self, lake: &Lake, after: &str) -> bool {
        let reader = Store::of_memory(&lake.bucket);
        let mut is_new = true;
        for table in TABLES {
            let shards = reader.list(&layout().table(table)).await.unwrap();
            assert_eq!(shards, [layout().shard(table, &PARTITION)], "after a death before {after}");
            let shard = reader.get(&shards[0]).await.unwrap().unwrap();
            let is_old_shard = shard == self.old[&table].as_bytes();
            assert!(is_old_shard || shard == self.new[&table].as_bytes(), "{table} after a death before {after}");
            is_new &= !is_old_shard;
        }
        is_new
    }

    /// Asserts that the partition is wholly old or wholly new, and that nothing is left.
    async fn assert_settled(&self, lake: &Lake, store: &Store, settled: &Settled, after: &str) {
        let is_new = self.is_new(lake, after).await;
        let manifest = read_manifest(store, &layout(), &PARTITION).await.unwrap().unwrap();
        match settled {
            Settled::Completed => assert!(is_new && manifest == self.after, "after a death before {after}"),
            _ => {
                for table in TABLES {
                    let shard = store.get(&layout().shard(table, &PARTITION)).await.unwrap().unwrap();
                    assert!(is_new || shard == self.old[&table].as_bytes(), "{table} after a death before {after}");
                }
                assert_eq!(manifest == self.after, is_new, "after a death before {after}");
            }
        }
        let staged = store.list(&layout().staging()).await.unwrap();
        assert_eq!(staged, [Scene::answers()], "after a death before {after}");
    }
}

/// Returns whether a process that dies here has begun an upload that no record names yet.
fn is_unrecorded(reached: &Reached) -> bool {
    reached.step == Step::Put && reached.path == layout().commit_intent(&PARTITION)
}

#[tokio::test]
async fn after_a_death_at_any_step_of_a_commit_the_next_process_ends_or_discards_it() {
    let scene = Scene::new(true);
    let quiet = scene.lake().await;
    scene.commit(&quiet.store).await.unwrap();
    assert!(scene.is_new(&quiet, "none").await);
    let steps = quiet.store.take_reached();
    for kind in [Step::BeginUpload, Step::PutPart, Step::CompleteUpload, Step::Put, Step::Delete] {
        assert!(steps.iter().any(|reached| reached.step == kind), "a commit has no {kind:?}");
    }
    let (mut completed, mut discarded) = (0, 0);
    for step in &steps {
        for has_scratch in [true, false] {
            let lake = scene.lake().await;
            let error = scene.commit(&lake.store.failing_before(step, Failure::Death)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Lake);
            scene.is_new(&lake, &step.to_string()).await;
            let next = if has_scratch { lake.store.clone() } else { Store::of_memory(&lake.bucket) };
            let settled = scene.settle(&next).await.unwrap();
            let after = format!("{step}, {}", if has_scratch { "scratch kept" } else { "scratch lost" });
            scene.assert_settled(&lake, &next, &settled, &after).await;
            assert_eq!(lake.bucket.open_uploads(), usize::from(is_unrecorded(step)), "after a death before {after}");
            completed += usize::from(matches!(settled, Settled::Completed));
            discarded += usize::from(matches!(settled, Settled::Discarded));
            assert!(!has_scratch || !matches!(settled, Settled::Discarded), "after a death before {after}");
        }
    }
    assert!(completed >= 15 && discarded >= 3, "{completed} were completed, {discarded} discarded");
}

#[tokio::test]
async fn after_a_death_at_any_step_of_a_recovery_the_next_one_ends_the_same() {
    let shard = |table| layout().shard(table, &PARTITION);
    let moments = [
        (Step::PutPart, shard(TableKind::Packuments)),
        (Step::Put, shard(TableKind::Versions)),
        (Step::Put, shard(TableKind::Docs)),
        (Step::Put, layout().manifest(&PARTITION)),
    ];
    let mut deaths = 0;
    for (step, path) in moments {
        let scene = Scene::new(step == Step::PutPart);
        for has_scratch in [true, false] {
            for number in 1.. {
                let lake = scene.lake().await;
                let such = path.clone();
                let is_such = move |reached: &Reached| reached.step == step && reached.path == such;
                scene.commit(&lake.store.failing_at_such(is_such, 0, Failure::Death)).await.unwrap_err();
                let mut next = if has_scratch { lake.store.clone() } else { Store::of_memory(&lake.bucket) };
                let dying = next.failing_at(number, Failure::Death);
                let died = scene.settle(&dying).await;
                let Some(at) = dying.failed_at() else {
                    died.unwrap();
                    break;
                };
                let after = format!("{step:?} of {path}, then {at}");
                // The second process takes its scratch folder with it, if the first one did.
                drop((dying, died));
                if !has_scratch {
                    next = Store::of_memory(&lake.bucket);
                }
                let settled = scene.settle(&next).await.unwrap();
                scene.assert_settled(&lake, &next, &settled, &after).await;
                let is_unrecorded = is_unrecorded(&at) && step == Step::PutPart;
                assert_eq!(lake.bucket.open_uploads(), usize::from(is_unrecorded), "after {after}");
                deaths += 1;
            }
        }
    }
    assert!(deaths > 60, "only {deaths} recoveries died");
}

#[tokio::test]
async fn an_upload_of_a_process_that_stands_still_is_aborted_and_cannot_replace_a_newer_shard() {
    let scene = Scene::new(true);
    let lake = scene.lake().await;
    // A process stands still before it completes its upload; here it has died, and its upload is completed afterwards.
    let is_last = |reached: &Reached| reached.step == Step::CompleteUpload;
    scene.commit(&lake.store.failing_at_such(is_last, 0, Failure::Death)).await.unwrap_err();
    let found: CommitIntent = lake.store.read_record(&layout().commit_intent(&PARTITION)).await.unwrap().unwrap();
    let upload = UploadId(found.uploads[TableKind::Packuments.as_str()].clone());
    let others = Store::of_memory(&lake.bucket);
    assert!(matches!(scene.settle(&others).await.unwrap(), Settled::Discarded));
    let (staged, shard) =
        (layout().staged_shard(TableKind::Packuments, &PARTITION), layout().shard(TableKind::Packuments, &PARTITION));
    let error = lake.store.promote_upload(&staged, &shard, Some(&upload)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
    assert!(!scene.is_new(&lake, "none").await);
    assert_eq!(lake.bucket.open_uploads(), 0);
}

#[tokio::test]
async fn a_stale_scratch_folder_hides_no_copy_of_a_shard() {
    let scene = Scene::new(true);
    let lake = scene.lake().await;
    let at_docs =
        |reached: &Reached| reached.step == Step::Put && reached.path == layout().shard(TableKind::Docs, &PARTITION);
    scene.commit(&lake.store.failing_at_such(at_docs, 0, Failure::Death)).await.unwrap_err();
    // A build of another process on this machine died long ago.
    let stale = Store::of_memory(&lake.bucket);
    for table in TABLES {
        stage(&stale, table, "half").unwrap();
    }
    let settled = scene.settle(&stale).await.unwrap();
    assert!(matches!(settled, Settled::Completed));
    scene.assert_settled(&lake, &stale, &settled, "the move of docs").await;
    // The one that died comes back with its scratch.
    assert!(matches!(scene.settle(&lake.store).await.unwrap(), Settled::Nothing));
    scene.assert_settled(&lake, &lake.store, &settled, "the move of docs").await;
}
