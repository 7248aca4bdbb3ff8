//! Tests of commits and of their recovery, on a disk and in memory.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write;

use super::*;
use crate::error::{Context, ErrorKind};
use crate::lake::{Layout, ShardMeta};
use crate::version::FORMAT_VERSION;

/// The right of a process that nobody disturbs.
pub(super) struct Alone;

impl Right for Alone {
    async fn confirm(&self) -> Result<()> {
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

pub(super) const PARTITION: Partition = Partition::ALL;

pub(super) fn layout() -> OriginLayout {
    Layout::origin("npm")
}

/// Returns the text of the new shard of a table.
fn text_of(table: TableKind) -> String {
    format!("new {table}")
}

/// Returns a manifest whose shards have these texts.
pub(super) fn manifest_of<'a>(shards: impl IntoIterator<Item = (TableKind, &'a str)>) -> Manifest {
    let meta = |text: &str| ShardMeta {
        rows: 1,
        size_bytes: text.len() as u64,
        sha256: format!("{:x}", Sha256::digest(text)),
        schema_version: 1,
        tool_version: String::new(),
    };
    Manifest {
        format_version: FORMAT_VERSION,
        tool_version: "0".to_owned(),
        partition: PARTITION,
        written_at: "2026-01-01T00:00:00Z".to_owned(),
        shards: shards.into_iter().map(|(table, text)| (table.to_string(), meta(text))).collect(),
        oversize_limit_bytes: None,
        documents_form: None,
        cut_from: None,
        unfilled: Vec::new(),
        removed: Vec::new(),
        listed_at_us: None,
        outcomes: BTreeMap::new(),
    }
}

fn manifest(tables: &[TableKind]) -> Manifest {
    let texts: Vec<_> = tables.iter().map(|table| (*table, text_of(*table))).collect();
    manifest_of(texts.iter().map(|(table, text)| (*table, text.as_str())))
}

fn intent(manifest: Manifest, moved: &[TableKind], base: Option<&Bytes>) -> CommitIntent {
    let moved = Some(moved.iter().map(ToString::to_string).collect());
    CommitIntent { manifest, moved, base_sha256: Some(sha256(base)), uploads: BTreeMap::new(), events: None }
}

async fn shard(store: &Store, table: TableKind) -> String {
    let bytes = store.get(&layout().shard(table, &PARTITION)).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn settled(store: &Store) -> Settled {
    settle(store, &layout(), &PARTITION, &Alone).await.unwrap()
}

pub(super) fn stage(store: &Store, table: TableKind, text: &str) -> Result<()> {
    let mut staged = store.stage(&layout().staged_shard(table, &PARTITION))?;
    staged.write_all(text.as_bytes()).or_error(ErrorKind::Lake, || "cannot stage a shard".to_owned())?;
    staged.finish()
}

#[tokio::test]
async fn a_commit_moves_what_is_staged_and_keeps_the_rest() {
    let (store, layout) = (Store::memory(), layout());
    store.put(&layout.shard(TableKind::Versions, &PARTITION), "old").await.unwrap();
    stage(&store, TableKind::Docs, &text_of(TableKind::Docs)).unwrap();
    // A process that died during a build left this shard; its bytes cannot be checked.
    stage(&store, TableKind::Versions, "half").unwrap();
    let manifest = manifest(&[TableKind::Docs, TableKind::Versions]);
    let change = Change { manifest, moved: vec![TableKind::Docs], base: None };
    commit(&store, &layout, &Alone, &change).await.unwrap();
    assert_eq!(
        store.list("").await.unwrap(),
        ["npm/docs/0-z.parquet", "npm/manifest/0-z.json", "npm/versions/0-z.parquet"]
    );
    assert_eq!(shard(&store, TableKind::Docs).await, "new docs");
    assert_eq!(shard(&store, TableKind::Versions).await, "old");
    assert_eq!(read_manifests(&store, &layout).await.unwrap().len(), 1);
}

#[tokio::test]
async fn answers_that_are_staged_outlive_a_commit_that_may_be_about_other_names() {
    let (store, layout) = (Store::memory(), layout());
    let answers = layout.staged_answers(&PARTITION, 0, 3);
    store.put(&answers, "of an earlier run").await.unwrap();
    stage(&store, TableKind::Docs, &text_of(TableKind::Docs)).unwrap();
    let change = Change { manifest: manifest(&[TableKind::Docs]), moved: vec![TableKind::Docs], base: None };
    commit(&store, &layout, &Alone, &change).await.unwrap();
    assert_eq!(store.list(&layout.staging()).await.unwrap(), [answers]);
}

#[tokio::test]
async fn a_commit_that_died_anywhere_after_its_intent_is_rolled_forward() {
    let tables = [TableKind::Packages, TableKind::Outcomes, TableKind::Docs];
    for moved_before_death in 0..=tables.len() {
        let (store, layout) = (Store::memory(), layout());
        for (index, table) in tables.into_iter().enumerate() {
            store.put(&layout.shard(table, &PARTITION), "old").await.unwrap();
            stage(&store, table, &text_of(table)).unwrap();
            if index < moved_before_death {
                let staged = layout.staged_shard(table, &PARTITION);
                store.promote(&staged, &layout.shard(table, &PARTITION)).await.unwrap();
            }
        }
        // In format 1 an intent was only the manifest.
        let (manifest, path) = (manifest(&tables), layout.commit_intent(&PARTITION));
        match moved_before_death % 2 {
            0 => store.put_record(&path, &manifest).await.unwrap(),
            _ => store.put_record(&path, &intent(manifest, &tables, None)).await.unwrap(),
        }
        assert_eq!(interrupted(&store, &layout).await.unwrap(), [PARTITION]);
        assert!(matches!(settled(&store).await, Settled::Completed));
        for table in tables {
            assert_eq!(shard(&store, table).await, text_of(table), "after {moved_before_death} moves");
        }
        assert!(store.list("npm/staging").await.unwrap().is_empty());
        assert!(matches!(settled(&store).await, Settled::Nothing));
    }
}

#[tokio::test]
async fn a_commit_that_an_earlier_version_began_is_rolled_forward_and_its_leftovers_are_never_moved() {
    let (store, layout) = (Store::memory(), layout());
    let earlier = |table| layout.earlier_staged_shard(table, &PARTITION);
    for table in [TableKind::Docs, TableKind::Versions] {
        store.put(&layout.shard(table, &PARTITION), "old").await.unwrap();
    }
    store.put(&earlier(TableKind::Docs), text_of(TableKind::Docs)).await.unwrap();
    // It died during a build: `versions` belongs to no commit.
    store.put(&earlier(TableKind::Versions), "half").await.unwrap();
    let new = manifest(&[TableKind::Docs, TableKind::Versions]);
    let path = layout.commit_intent(&PARTITION);
    let by_earlier = CommitIntent { base_sha256: None, ..intent(new.clone(), &[TableKind::Docs], None) };
    store.put_record(&path, &by_earlier).await.unwrap();
    store.put(&layout.staged_answers(&PARTITION, 0, 0), "kept").await.unwrap();
    assert!(matches!(settled(&store).await, Settled::Completed));
    assert_eq!(
        (shard(&store, TableKind::Docs).await, shard(&store, TableKind::Versions).await.as_str()),
        (text_of(TableKind::Docs), "old")
    );

    // A build of an earlier version died before its intent. This version commits, and dies after its last move.
    store.put(&earlier(TableKind::Versions), "half").await.unwrap();
    assert!(matches!(settled(&store).await, Settled::Nothing));
    assert_eq!(store.list(&layout.staging()).await.unwrap(), [layout.staged_answers(&PARTITION, 0, 0)]);
    let base = store.get(&layout.manifest(&PARTITION)).await.unwrap();
    let next = Manifest { written_at: "2026-01-02T00:00:00Z".to_owned(), ..new };
    store.put(&layout.shard(TableKind::Versions, &PARTITION), text_of(TableKind::Versions)).await.unwrap();
    store.put(&earlier(TableKind::Versions), "half").await.unwrap();
    store.put_record(&path, &intent(next, &[TableKind::Versions], base.as_ref())).await.unwrap();
    assert!(matches!(settled(&store).await, Settled::Completed));
    assert_eq!(shard(&store, TableKind::Versions).await, text_of(TableKind::Versions));
    assert_eq!(store.list(&layout.staging()).await.unwrap(), [layout.staged_answers(&PARTITION, 0, 0)]);
}

#[tokio::test]
async fn a_commit_without_its_documents_is_discarded_and_one_without_other_tables_lacks_them() {
    let tables = [TableKind::Packuments, TableKind::Packages, TableKind::Outcomes, TableKind::Docs];
    for lost in tables {
        let (store, layout) = (Store::memory(), layout());
        for table in tables {
            store.put(&layout.shard(table, &PARTITION), "old").await.unwrap();
            // A file of another build is not the staged shard.
            stage(&store, table, &if table == lost { "half".to_owned() } else { text_of(table) }).unwrap();
        }
        let answers = layout.staged_answers(&PARTITION, 0, 0);
        store.put(&answers, "kept").await.unwrap();
        let record = intent(manifest(&tables), &tables, None);
        store.put_record(&layout.commit_intent(&PARTITION), &record).await.unwrap();
        match settled(&store).await {
            Settled::Lacking(lacking) => {
                assert_eq!((lost, lacking.tables().iter().copied().collect()), (TableKind::Packages, vec![lost]));
                let rebuilt = Manifest {
                    written_at: "later".to_owned(),
                    ..manifest_of(tables.map(|table| match table {
                        TableKind::Packuments => (table, "new packuments"),
                        TableKind::Packages => (table, "made again"),
                        TableKind::Outcomes => (table, "new outcomes"),
                        _ => (table, "new docs"),
                    }))
                };
                stage(&store, lost, "made again").unwrap();
                let made = lacking.tables().clone();
                complete(&store, &layout, &Alone, *lacking, rebuilt.clone(), &made).await.unwrap();
                assert_eq!(read_manifest(&store, &layout, &PARTITION).await.unwrap(), Some(rebuilt));
                assert_eq!(shard(&store, lost).await, "made again");
                assert_eq!(shard(&store, TableKind::Docs).await, "new docs");
            }
            Settled::Discarded => {
                assert_ne!(lost, TableKind::Packages);
                assert!(read_manifest(&store, &layout, &PARTITION).await.unwrap().is_none());
                for table in tables {
                    assert_eq!(shard(&store, table).await, "old", "{lost} is lost");
                }
            }
            _ => panic!("the commit is not complete without {lost}"),
        }
        assert_eq!(store.list(&layout.staging()).await.unwrap(), [answers], "{lost} is lost");
    }
}

#[tokio::test]
async fn a_process_whose_manifest_is_no_longer_there_writes_nothing_more() {
    let (store, layout) = (Store::memory(), layout());
    let path = layout.manifest(&PARTITION);
    let others = manifest_of([(TableKind::Docs, "theirs")]);
    let base = Bytes::from(manifest_of([]).to_json().unwrap());
    for base in [None, Some(base)] {
        store.put_record(&path, &others).await.unwrap();
        stage(&store, TableKind::Docs, &text_of(TableKind::Docs)).unwrap();
        let moved = vec![TableKind::Docs];
        let change = Change { manifest: manifest(&moved), moved, base };
        let error = commit(&store, &layout, &Alone, &change).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake);
        assert!(error.message().contains("another process has committed"), "{error:?}");
        assert_eq!(read_manifest(&store, &layout, &PARTITION).await.unwrap(), Some(others.clone()));
        // The next process that takes the lease removes its intent, and moves nothing.
        stage(&store, TableKind::Docs, &text_of(TableKind::Docs)).unwrap();
        assert!(matches!(settled(&store).await, Settled::Discarded));
        assert!(store.list(&layout.staging()).await.unwrap().is_empty());
        assert_eq!(read_manifest(&store, &layout, &PARTITION).await.unwrap(), Some(others.clone()));
    }

    // Another process has begun a commit.
    let theirs = intent(others.clone(), &[TableKind::Docs], None);
    store.put_record(&layout.commit_intent(&PARTITION), &theirs).await.unwrap();
    stage(&store, TableKind::Docs, &text_of(TableKind::Docs)).unwrap();
    let base = store.get(&path).await.unwrap();
    let change = Change { manifest: manifest(&[TableKind::Docs]), moved: vec![TableKind::Docs], base };
    let error = commit(&store, &layout, &Alone, &change).await.unwrap_err();
    assert!(error.message().contains("another process has committed"), "{error:?}");
    let found: Option<CommitIntent> = store.read_record(&layout.commit_intent(&PARTITION)).await.unwrap();
    assert_eq!(found, Some(theirs));
}

/// A right that ends at one of its checks, counted from 0.
struct Ending {
    at: usize,
    checks: std::sync::atomic::AtomicUsize,
}

impl Ending {
    fn ask(&self) -> Result<()> {
        let number = self.checks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number >= self.at { Err(Error::lake("the lease is lost")) } else { Ok(()) }
    }
}

impl Right for Ending {
    async fn confirm(&self) -> Result<()> {
        self.ask()
    }

    fn check(&self) -> Result<()> {
        self.ask()
    }
}

#[tokio::test]
async fn a_process_that_loses_its_right_amid_a_commit_stops_there_and_the_next_one_ends_it() {
    let tables = [TableKind::Packuments, TableKind::Packages, TableKind::Outcomes, TableKind::Docs];
    let mut stops = 0;
    for at in 0.. {
        let (store, layout) = (Store::memory(), layout());
        for table in tables {
            stage(&store, table, &text_of(table)).unwrap();
        }
        let change = Change { manifest: manifest(&tables), moved: tables.to_vec(), base: None };
        let right = Ending { at, checks: 0.into() };
        let Err(error) = commit(&store, &layout, &right, &change).await else { break };
        assert_eq!(error.message(), "the lease is lost");
        stops += 1;
        assert!(read_manifest(&store, &layout, &PARTITION).await.unwrap().is_none());
        match settled(&store).await {
            // It had not begun.
            Settled::Nothing => assert_eq!(at, 0),
            Settled::Completed => {
                for table in tables {
                    assert_eq!(shard(&store, table).await, text_of(table));
                }
            }
            _ => panic!("nothing was lost"),
        }
        assert!(store.list(&layout.staging()).await.unwrap().is_empty());
    }
    // Before the intent, after it, before each move, and before the manifest.
    assert_eq!(stops, 3 + tables.len());
}

#[tokio::test]
async fn a_manifest_of_a_newer_version_is_refused() {
    let (store, layout) = (Store::memory(), layout());
    let mut newer = manifest(&[]);
    newer.format_version += 1;
    store.put_record(&layout.manifest(&PARTITION), &newer).await.unwrap();
    let error = read_manifest(&store, &layout, &PARTITION).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake);
}
