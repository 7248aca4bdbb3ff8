//! Commit: moves a partition's staged shards to their places, then writes its manifest.
//!
//! The order makes a commit safe. First the new shards are durable in staging, or in the scratch folder of a process
//! whose lake is in a bucket; then the *intent*, which holds the new manifest, is durable in staging; then each shard is
//! moved into place by one atomic put; then the manifest replaces the one that the build began from; then staging is
//! removed. A process that dies before the intent has changed no table. If it dies after the intent, [`settle`] ends the
//! commit, without a request to the registry. Not here: the contents of the shards.
//!
//! The events of the commit are staged beside the shards, and moved into the feed just before the manifest is written. A
//! drain may take them from there before [`settle`] looks for them: then they are neither staged nor in the feed.
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
use crate::lake::{CommitIntent, EventsFile, Manifest, OriginLayout, Partition, Record};
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

    /// Does the same when the intent of the commit is durable. An error gives the commit up before any table has changed.
    fn confirm_begun(&self) -> impl Future<Output = Result<()>> + Send {
        self.confirm()
    }

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
    commit_with_events(store, layout, right, change, None).await
}

/// Works as [`commit`]. Also moves the staged events of the change into the feed, after the shards and before the
/// manifest.
pub async fn commit_with_events(
    store: &Store,
    layout: &OriginLayout,
    right: &impl Right,
    change: &Change,
    events: Option<EventsFile>,
) -> Result<()> {
    let partition = &change.manifest.partition;
    begin_and_finish(store, layout, right, change, events)
        .await
        .doing(|| format!("committing the partition {partition} of {}", layout.name()))
}

async fn begin_and_finish(
    store: &Store,
    layout: &OriginLayout,
    right: &impl Right,
    change: &Change,
    events: Option<EventsFile>,
) -> Result<()> {
    let partition = &change.manifest.partition;
    right.confirm().await?;
    let shards = change.moved.iter().map(|table| (*table, layout.staged_shard(*table, partition))).collect();
    let sources = Sources { shards, events: events.as_ref().map(|_| layout.staged_events(partition)) };
    back_up(store, layout, change, events.as_ref()).await?;
    let uploads = begin_uploads(store, layout, partition, &sources, events.as_ref()).await?;
    let intent = CommitIntent {
        manifest: change.manifest.clone(),
        moved: Some(change.moved.iter().map(|table| table.as_str().to_owned()).collect()),
        base_sha256: Some(sha256(change.base.as_ref())),
        uploads,
        events,
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

/// The name of the upload of a commit's events, among those of the tables.
const EVENTS: &str = "events";

/// Where the files are that a commit moves.
#[derive(Default)]
struct Sources {
    /// The new shard of each table.
    shards: BTreeMap<TableKind, String>,
    /// The events.
    events: Option<String>,
}

/// A commit whose intent is durable.
struct Begun<'a, R> {
    store: &'a Store,
    layout: &'a OriginLayout,
    right: &'a R,
    held: StoredRecord<CommitIntent>,
    sources: Sources,
    /// The text of the manifest to replace.
    base: Option<Bytes>,
}

impl<R: Right> Begun<'_, R> {
    async fn finish(self) -> Result<()> {
        let moved = match self.move_all().await {
            Ok(()) => self.move_events().await,
            failed => failed,
        };
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
        self.right.confirm_begun().await?;
        let tables = |is_such: fn(TableKind) -> bool| {
            TableKind::in_order_of_promotion()
                .filter(move |table| is_such(*table) && self.sources.shards.contains_key(table))
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
        let Some(from) = self.sources.shards.get(&table) else { return Ok(()) };
        self.right.check()?;
        let intent = &self.held.record;
        let shard = self.layout.shard(table, &intent.manifest.partition);
        let upload = intent.uploads.get(table.as_str()).cloned().map(UploadId);
        if !self.store.promote_upload(from, &shard, upload.as_ref()).await? {
            return Err(vanished(from));
        }
        tracing::trace!(shard, "a shard of a commit is moved");
        Ok(())
    }

    /// Moves the events into the feed. They come after all shards: from then on the commit is never given up.
    async fn move_events(&self) -> Result<()> {
        let (Some(events), Some(from)) = (&self.held.record.events, &self.sources.events) else { return Ok(()) };
        self.right.check()?;
        let upload = self.held.record.uploads.get(EVENTS).cloned().map(UploadId);
        let is_moved = self.store.promote_upload(from, &self.layout.feed_file(&events.name), upload.as_ref()).await?;
        if is_moved { Ok(()) } else { Err(vanished(from)) }
    }
}

fn vanished(staged: &str) -> Error {
    Error::lake(format!("the staged file {staged} vanished"))
        .hint("run the same command again: staged answers are not requested again")
}

/// Puts copies of the staged files that cannot be made again into the store.
async fn back_up(store: &Store, layout: &OriginLayout, change: &Change, events: Option<&EventsFile>) -> Result<()> {
    let partition = &change.manifest.partition;
    let copied = MOVED_LAST.into_iter().filter(|table| change.moved.contains(table)).filter_map(|table| {
        let meta = change.manifest.shards.get(table.as_str())?;
        Some((layout.staged_shard(table, partition), layout.kept_shard(table, partition, &meta.sha256)))
    });
    let events = events.map(|file| (layout.staged_events(partition), layout.kept_events(partition, &file.sha256)));
    let copied = copied.chain(events);
    try_join_all(copied.map(async |(from, to)| store.back_up(&from, &to).await)).await.map(drop)
}

/// Begins the multipart uploads of the files that need one. Aborts them if one cannot be begun.
async fn begin_uploads(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    sources: &Sources,
    events: Option<&EventsFile>,
) -> Result<BTreeMap<String, String>> {
    let shards = sources.shards.iter();
    let shards = shards.map(|(table, from)| (table.as_str(), from, layout.shard(*table, partition)));
    let events = sources.events.iter().zip(events).map(|(from, file)| (EVENTS, from, layout.feed_file(&file.name)));
    let begin = shards.chain(events).map(async |(name, from, to)| {
        let begun = store.begin_upload(from, &to).await;
        begun.map(|upload| upload.map(|upload| (name.to_owned(), (to, upload))))
    });
    let (begun, failed): (Vec<_>, Vec<_>) = join_all(begin).await.into_iter().partition(Result::is_ok);
    let begun: BTreeMap<String, (String, UploadId)> = begun.into_iter().flatten().flatten().collect();
    match failed.into_iter().find_map(Result::err) {
        None => Ok(begun.into_iter().map(|(name, (_, upload))| (name, upload.0)).collect()),
        Some(error) => {
            for (to, upload) in begun.values() {
                let _ = store.abort_upload(to, upload).await;
            }
            Err(error)
        }
    }
}

/// Aborts the uploads that an intent names. An upload that has ended already is no error.
async fn abort_uploads(store: &Store, layout: &OriginLayout, intent: &CommitIntent) -> Result<()> {
    for (name, upload) in &intent.uploads {
        let to = match (TableKind::parse(name), &intent.events) {
            (Some(table), _) => layout.shard(table, &intent.manifest.partition),
            (None, Some(events)) if name == EVENTS => layout.feed_file(&events.name),
            _ => continue,
        };
        store.abort_upload(&to, &UploadId(upload.clone())).await?;
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
