//! Commit: moves a partition's staged shards to their places, then writes its manifest.
//!
//! The order makes a commit safe. First the new shards are durable in staging, or in the scratch folder of a process
//! whose lake is in a bucket; then the *intent*, which holds the new manifest, is durable in staging; then each shard is
//! moved into place by one atomic put; then the manifest replaces the one that the build began from; then staging is
//! removed. A process that dies before the intent has changed no table. If it dies after the intent, [`settle`] ends the
//! commit, without a request to the registry. Not here: the contents of the shards.
//!
//! `packuments` is moved first, alone. If a scratch folder is lost before that, no table has changed, and the staged
//! answers are still there. If it is lost after that, the tables of documents can be made again from `packuments`, and
//! copies of `outcomes` and `docs` are in staging. Both are moved last, because the next ingest compares with them.

#[cfg(test)]
mod bucket_tests;
mod recovery;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

pub use self::recovery::{Lacking, Settled, abort_all_uploads, complete, interrupted, settle};
use crate::error::{Doing, Error, Result};
use crate::lake::{CommitIntent, Manifest, OriginLayout, Partition, Record};
use crate::store::{Store, StoredRecord, UploadId};
use crate::table::TableKind;

/// Tables whose shards are moved at once, between `packuments` and `outcomes`. In a far store each waits for a response.
const MOVED_AT_ONCE: usize = 6;
/// The tables that cannot be made again from `packuments`. They are moved last, in this order.
const MOVED_LAST: [TableKind; 2] = [TableKind::Outcomes, TableKind::Docs];

/// The right of a process to write a partition.
pub trait Right: Sync {
    /// Fails with [`crate::error::ErrorKind::Lake`] if another process has the right now. Asks the store.
    fn confirm(&self) -> impl Future<Output = Result<()>> + Send;

    /// Fails with [`crate::error::ErrorKind::Lake`] if the right has ended by the clock of this process. Asks nobody.
    fn check(&self) -> Result<()>;
}

/// The result of a build, to be committed.
#[derive(Debug, Clone)]
pub struct Change {
    /// The new manifest. It names the staged shards, and the shards that stay.
    pub manifest: Manifest,
    /// The tables of the staged shards.
    pub moved: Vec<TableKind>,
    /// The text of the manifest that the build began from; `None` if there was none.
    pub base: Option<Bytes>,
}

/// Moves the staged shards of a partition to their places, and replaces its manifest.
///
/// Fails with [`crate::error::ErrorKind::Lake`], and writes nothing more, if this process has no right to write the
/// partition any longer, or if its manifest is not [`Change::base`].
pub async fn commit(store: &Store, layout: &OriginLayout, right: &impl Right, change: &Change) -> Result<()> {
    let partition = &change.manifest.partition;
    begin_and_finish(store, layout, right, change)
        .await
        .doing(|| format!("committing the partition {partition} of {}", layout.name()))
}

async fn begin_and_finish(store: &Store, layout: &OriginLayout, right: &impl Right, change: &Change) -> Result<()> {
    let partition = &change.manifest.partition;
    right.confirm().await?;
    let sources = change.moved.iter().map(|table| (*table, layout.staged_shard(*table, partition))).collect();
    back_up(store, layout, change).await?;
    let uploads = begin_uploads(store, layout, partition, &sources).await?;
    let intent = CommitIntent {
        manifest: change.manifest.clone(),
        moved: Some(change.moved.iter().map(|table| table.as_str().to_owned()).collect()),
        base_sha256: Some(sha256(change.base.as_ref())),
        uploads,
    };
    let path = layout.commit_intent(partition);
    let Some(held) = store.create_record(&path, intent.clone()).await? else {
        let _ = abort_uploads(store, layout, &intent).await;
        return Err(lost_right(layout, partition));
    };
    tracing::debug!(
        origin = layout.name(),
        partition = partition.file_stem(),
        tables = change.moved.len(),
        uploads = intent.uploads.len(),
        "a commit begins"
    );
    Begun { store, layout, right, held, sources, base: change.base.clone() }.finish().await
}

/// A commit whose intent is durable.
struct Begun<'a, R> {
    store: &'a Store,
    layout: &'a OriginLayout,
    right: &'a R,
    held: StoredRecord<CommitIntent>,
    /// The tables to move, and where the new shard of each is.
    sources: BTreeMap<TableKind, String>,
    /// The text of the manifest to replace.
    base: Option<Bytes>,
}

impl<R: Right> Begun<'_, R> {
    async fn finish(self) -> Result<()> {
        let moved = self.move_all().await;
        if moved.is_err() {
            // The first error is the one to report.
            let _ = abort_uploads(self.store, self.layout, &self.held.record).await;
        }
        moved?;
        let manifest = &self.held.record.manifest;
        let partition = &manifest.partition;
        self.right.check()?;
        let (path, text) = (self.layout.manifest(partition), manifest.to_json()?);
        let is_replaced = match &self.base {
            Some(base) => self.store.replace_if_unchanged(&path, base, text).await?,
            None => self.store.put_if_absent(&path, text).await?,
        };
        if !is_replaced {
            return Err(lost_right(self.layout, partition));
        }
        tracing::debug!(origin = self.layout.name(), partition = partition.file_stem(), "a commit is complete");
        clear_staging(self.store, self.layout, partition).await
    }

    async fn move_all(&self) -> Result<()> {
        // A process that takes the lease looks for an intent afterwards. So one of the two sees the other.
        self.right.confirm().await?;
        let tables = |is_such: fn(TableKind) -> bool| {
            TableKind::in_order_of_promotion().filter(move |table| is_such(*table) && self.sources.contains_key(table))
        };
        for table in tables(|table| table == TableKind::Packuments) {
            self.move_shard(table).await?;
        }
        let others = tables(|table| table != TableKind::Packuments && !MOVED_LAST.contains(&table));
        let others = stream::iter(others).map(|table| self.move_shard(table));
        others.buffer_unordered(MOVED_AT_ONCE).try_collect::<()>().await?;
        for table in tables(|table| MOVED_LAST.contains(&table)) {
            self.move_shard(table).await?;
        }
        Ok(())
    }

    async fn move_shard(&self, table: TableKind) -> Result<()> {
        let Some(from) = self.sources.get(&table) else { return Ok(()) };
        self.right.check()?;
        let intent = &self.held.record;
        let shard = self.layout.shard(table, &intent.manifest.partition);
        let upload = intent.uploads.get(table.as_str()).cloned().map(UploadId);
        if !self.store.promote_upload(from, &shard, upload.as_ref()).await? {
            return Err(Error::lake(format!("the staged shard {from} vanished"))
                .hint("run the same command again: staged answers are not requested again"));
        }
        tracing::trace!(shard, "a shard of a commit is moved");
        Ok(())
    }
}

/// Puts copies of the staged shards that cannot be made again into the store.
async fn back_up(store: &Store, layout: &OriginLayout, change: &Change) -> Result<()> {
    let partition = &change.manifest.partition;
    let copied = MOVED_LAST.into_iter().filter(|table| change.moved.contains(table)).filter_map(|table| {
        let meta = change.manifest.shards.get(table.as_str())?;
        Some((layout.staged_shard(table, partition), layout.kept_shard(table, partition, &meta.sha256)))
    });
    try_join_all(copied.map(async |(from, to)| store.back_up(&from, &to).await)).await.map(drop)
}

/// Begins the multipart uploads of the shards that need one. Aborts them if one cannot be begun.
async fn begin_uploads(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    sources: &BTreeMap<TableKind, String>,
) -> Result<BTreeMap<String, String>> {
    let begin = sources.iter().map(async |(table, from)| {
        let begun = store.begin_upload(from, &layout.shard(*table, partition)).await;
        begun.map(|upload| upload.map(|upload| (table.as_str().to_owned(), upload.0)))
    });
    let (begun, failed): (Vec<_>, Vec<_>) = join_all(begin).await.into_iter().partition(Result::is_ok);
    let begun = begun.into_iter().flatten().flatten().collect();
    match failed.into_iter().find_map(Result::err) {
        None => Ok(begun),
        Some(error) => {
            let _ = abort(store, layout, partition, &begun).await;
            Err(error)
        }
    }
}

/// Aborts the uploads that an intent names. An upload that has ended already is no error.
async fn abort_uploads(store: &Store, layout: &OriginLayout, intent: &CommitIntent) -> Result<()> {
    abort(store, layout, &intent.manifest.partition, &intent.uploads).await
}

async fn abort(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    uploads: &BTreeMap<String, String>,
) -> Result<()> {
    for (table, upload) in uploads {
        if let Some(table) = TableKind::parse(table) {
            store.abort_upload(&layout.shard(table, partition), &UploadId(upload.clone())).await?;
        }
    }
    Ok(())
}

/// Returns the digest of a manifest's text, as an intent names its base.
fn sha256(text: Option<&Bytes>) -> String {
    format!("{:x}", Sha256::digest(text.map_or(&[][..], |text| text)))
}

/// Returns the error of a process whose partition another process has written meanwhile.
fn lost_right(layout: &OriginLayout, partition: &Partition) -> Error {
    Error::lake(format!("another process has committed the partition {partition} of {} meanwhile", layout.name()))
        .hint("this process stood still for so long that another one took its place; run the same command again")
}

/// Removes everything that a commit has moved or no longer needs, or that no commit will move. Staged answers stay: the
/// commit may have been about other names, and the code that requested the answers removes them.
pub async fn clear_staging(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<()> {
    let folder = layout.partition_staging(partition);
    let intent = layout.commit_intent(partition);
    let staged = store.list(&folder).await?;
    let (answers, others): (Vec<&String>, Vec<&String>) =
        staged.iter().partition(|path| layout.parse_staged_answers(path).is_some());
    // The intent is last: it shows the next process that something is left.
    try_join_all(others.iter().filter(|path| ***path != intent).map(|path| store.delete(path))).await?;
    match answers.is_empty() {
        // A folder of a far store is the objects in it.
        true if others.is_empty() && store.is_far() => Ok(()),
        true => store.delete_folder(&folder).await,
        false if others.contains(&&intent) => store.delete(&intent).await,
        false => Ok(()),
    }
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
