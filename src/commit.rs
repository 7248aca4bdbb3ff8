//! Commit: moves a partition's staged shards to their places, then writes its manifest.
//!
//! The order makes a commit safe. First the new shards are durable in staging; then the *intent*, which holds the new
//! manifest, is durable there too; then each shard is moved into place by one atomic put; then the manifest is written;
//! then staging is removed. A process that dies before the intent has changed no table. If it dies after the intent,
//! [`recover`] rolls the commit forward, without a request to the registry. Not here: the contents of the shards.

use std::time::Duration;

use crate::error::{Doing, Result};
use crate::lake::{CommitIntent, Manifest, OriginLayout, Partition};
use crate::store::Store;
use crate::table::TableKind;

/// Moves the staged shards of `moved` to their places and writes `manifest`, which names them and the shards that stay.
pub async fn commit(store: &Store, layout: &OriginLayout, manifest: &Manifest, moved: &[TableKind]) -> Result<()> {
    let partition = &manifest.partition;
    let doing = || format!("committing the partition {partition} of {}", layout.name());
    let tables = moved.iter().map(|table| table.as_str().to_owned()).collect();
    let intent = CommitIntent { manifest: manifest.clone(), moved: Some(tables) };
    store.put_record(&layout.commit_intent(partition), &intent).await.doing(doing)?;
    tracing::debug!(origin = layout.name(), partition = partition.file_stem(), tables = moved.len(), "a commit begins");
    roll_forward(store, layout, &intent).await.doing(doing)
}

/// Finishes every interrupted commit of an origin. Returns their number.
pub async fn recover_all(store: &Store, layout: &OriginLayout) -> Result<usize> {
    let mut recovered = 0;
    for path in store.list(&layout.staging()).await? {
        if layout.is_commit_intent(&path)
            && let Some(intent) = store.read_record::<CommitIntent>(&path).await?
        {
            recovered += usize::from(recover(store, layout, &intent.manifest.partition).await?);
        }
    }
    Ok(recovered)
}

/// Clears up a partition after a dead process: removes puts that it had begun, and rolls its interrupted commit
/// forward. Returns whether there was one. The caller holds the lease of the partition.
pub async fn settle(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<bool> {
    store.sweep_put(&layout.manifest(partition)).await?;
    store.sweep(&layout.partition_staging(partition), Duration::ZERO).await?;
    let is_recovered = recover(store, layout, partition).await?;
    // No intent names them any more, and the next one must not move them.
    let earlier = TableKind::ALL.map(|table| layout.earlier_staged_shard(table, partition));
    for path in store.list(&layout.partition_staging(partition)).await?.iter().filter(|path| earlier.contains(path)) {
        store.delete(path).await?;
    }
    Ok(is_recovered)
}

/// Finishes the interrupted commit of a partition. Returns whether there was one.
pub async fn recover(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<bool> {
    let intent: Option<CommitIntent> = store.read_record(&layout.commit_intent(partition)).await?;
    let Some(intent) = intent else { return Ok(false) };
    tracing::info!(
        origin = layout.name(),
        partition = partition.file_stem(),
        "an interrupted commit is rolled forward"
    );
    roll_forward(store, layout, &intent)
        .await
        .doing(|| format!("rolling forward the interrupted commit of {partition}"))?;
    Ok(true)
}

async fn roll_forward(store: &Store, layout: &OriginLayout, intent: &CommitIntent) -> Result<()> {
    let manifest = &intent.manifest;
    let partition = &manifest.partition;
    for table in TableKind::in_order_of_promotion().filter(|table| intent.moves(*table)) {
        // A shard that is no longer staged was moved before the process died.
        let shard = layout.shard(table, partition);
        let is_moved = store.promote(&layout.staged_shard(table, partition), &shard).await?;
        let is_moved = is_moved || store.promote(&layout.earlier_staged_shard(table, partition), &shard).await?;
        tracing::trace!(shard, is_moved, "a shard of a commit");
    }
    store.put_record(&layout.manifest(partition), manifest).await?;
    tracing::debug!(origin = layout.name(), partition = partition.file_stem(), "a commit is complete");
    clear_staging(store, layout, partition).await
}

/// Removes everything that a commit has moved or no longer needs, or that no commit will move. Staged answers stay: the commit may have been about
/// other names, and the code that requested the answers removes them.
pub async fn clear_staging(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<()> {
    let folder = layout.partition_staging(partition);
    let staged = store.list(&folder).await?;
    if !staged.iter().any(|path| layout.parse_staged_answers(path).is_some()) {
        return store.delete_folder(&folder).await;
    }
    for path in staged.iter().filter(|path| layout.parse_staged_answers(path).is_none()) {
        store.delete(path).await?;
    }
    Ok(())
}

/// Reads the manifest of a partition; returns `None` if it was never committed.
pub async fn read_manifest(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<Option<Manifest>> {
    store.read_record(&layout.manifest(partition)).await
}

/// Reads every manifest of an origin, in the order of their file names.
pub async fn read_manifests(store: &Store, layout: &OriginLayout) -> Result<Vec<Manifest>> {
    let manifests = store.read_records::<Manifest>(&layout.manifests()).await?;
    Ok(manifests.into_iter().map(|(_, manifest)| manifest).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::ErrorKind;
    use crate::lake::{Layout, ShardMeta};
    use crate::version::FORMAT_VERSION;

    fn manifest(tables: &[TableKind]) -> Manifest {
        let meta =
            ShardMeta { rows: 1, size_bytes: 3, sha256: String::new(), schema_version: 1, tool_version: String::new() };
        Manifest {
            format_version: FORMAT_VERSION,
            tool_version: "0".to_owned(),
            partition: Partition::ALL,
            written_at: "2026-01-01T00:00:00Z".to_owned(),
            shards: tables.iter().map(|table| (table.to_string(), meta.clone())).collect(),
            oversize_limit_bytes: None,
            listed_at_us: None,
            outcomes: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn a_commit_moves_what_is_staged_and_keeps_the_rest() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        store.put(&layout.shard(TableKind::Versions, &Partition::ALL), "old").await.unwrap();
        store.put(&layout.staged_shard(TableKind::Docs, &Partition::ALL), "new").await.unwrap();
        // A process that died during a build left this shard; its bytes cannot be checked.
        store.put(&layout.staged_shard(TableKind::Versions, &Partition::ALL), "half").await.unwrap();
        let manifest = manifest(&[TableKind::Docs, TableKind::Versions]);
        commit(&store, &layout, &manifest, &[TableKind::Docs]).await.unwrap();
        assert_eq!(
            store.list("").await.unwrap(),
            ["npm/docs/0-z.parquet", "npm/manifest/0-z.json", "npm/versions/0-z.parquet"]
        );
        for (table, expected) in [(TableKind::Docs, "new"), (TableKind::Versions, "old")] {
            assert_eq!(store.get(&layout.shard(table, &Partition::ALL)).await.unwrap().unwrap(), expected);
        }
        assert_eq!(read_manifests(&store, &layout).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn answers_that_are_staged_outlive_a_commit_that_may_be_about_other_names() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let answers = layout.staged_answers(&Partition::ALL, 0, 3);
        store.put(&answers, "of an earlier run").await.unwrap();
        store.put(&layout.staged_shard(TableKind::Docs, &Partition::ALL), "new").await.unwrap();
        commit(&store, &layout, &manifest(&[TableKind::Docs]), &[TableKind::Docs]).await.unwrap();
        assert_eq!(store.list(&layout.staging()).await.unwrap(), [answers]);
    }

    #[tokio::test]
    async fn a_commit_that_died_anywhere_after_its_intent_is_rolled_forward() {
        let tables = [TableKind::Packages, TableKind::Outcomes, TableKind::Docs];
        for moved_before_death in 0..=tables.len() {
            let (store, layout) = (Store::memory(), Layout::origin("npm"));
            for (index, table) in tables.into_iter().enumerate() {
                store.put(&layout.shard(table, &Partition::ALL), "old").await.unwrap();
                let staged = layout.staged_shard(table, &Partition::ALL);
                store.put(&staged, "new").await.unwrap();
                if index < moved_before_death {
                    store.promote(&staged, &layout.shard(table, &Partition::ALL)).await.unwrap();
                }
            }
            // In format 1 an intent was only the manifest.
            let (manifest, path) = (manifest(&tables), layout.commit_intent(&Partition::ALL));
            let moved = Some(tables.map(|table| table.as_str().to_owned()).to_vec());
            match moved_before_death % 2 {
                0 => store.put_record(&path, &manifest).await.unwrap(),
                _ => store.put_record(&path, &CommitIntent { manifest, moved }).await.unwrap(),
            }
            assert_eq!(recover_all(&store, &layout).await.unwrap(), 1);
            for table in tables {
                let shard = store.get(&layout.shard(table, &Partition::ALL)).await.unwrap().unwrap();
                assert_eq!(shard, "new", "{table} after {moved_before_death} moves");
            }
            assert!(store.list("npm/staging").await.unwrap().is_empty());
            assert!(!recover(&store, &layout, &Partition::ALL).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_commit_that_an_earlier_version_began_is_rolled_forward_and_its_leftovers_are_never_moved() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let earlier = |table| layout.earlier_staged_shard(table, &Partition::ALL);
        let shard = async |table| store.get(&layout.shard(table, &Partition::ALL)).await.unwrap().unwrap();
        for table in [TableKind::Docs, TableKind::Versions] {
            store.put(&layout.shard(table, &Partition::ALL), "old").await.unwrap();
            store.put(&earlier(table), "staged").await.unwrap();
        }
        // It died during a build: `versions` belongs to no commit.
        let moved = Some(vec![TableKind::Docs.to_string()]);
        let intent = CommitIntent { manifest: manifest(&[TableKind::Docs, TableKind::Versions]), moved };
        store.put_record(&layout.commit_intent(&Partition::ALL), &intent).await.unwrap();
        store.put(&layout.staged_answers(&Partition::ALL, 0, 0), "kept").await.unwrap();
        assert!(settle(&store, &layout, &Partition::ALL).await.unwrap());
        assert_eq!((shard(TableKind::Docs).await, shard(TableKind::Versions).await), ("staged".into(), "old".into()));

        // A build of an earlier version died before its intent. This version commits, and dies after its last move.
        store.put(&earlier(TableKind::Versions), "half").await.unwrap();
        assert!(!settle(&store, &layout, &Partition::ALL).await.unwrap());
        store.put(&layout.shard(TableKind::Versions, &Partition::ALL), "new").await.unwrap();
        let moved = Some(vec![TableKind::Versions.to_string()]);
        let intent = CommitIntent { manifest: manifest(&[TableKind::Docs, TableKind::Versions]), moved };
        store.put_record(&layout.commit_intent(&Partition::ALL), &intent).await.unwrap();
        assert!(settle(&store, &layout, &Partition::ALL).await.unwrap());
        assert_eq!(shard(TableKind::Versions).await, "new");
        assert_eq!(store.list(&layout.staging()).await.unwrap(), [layout.staged_answers(&Partition::ALL, 0, 0)]);
    }

    #[tokio::test]
    async fn a_manifest_of_a_newer_version_is_refused() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let mut newer = manifest(&[]);
        newer.format_version += 1;
        store.put_record(&layout.manifest(&Partition::ALL), &newer).await.unwrap();
        let error = read_manifest(&store, &layout, &Partition::ALL).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake);
    }
}
