//! Progress: counters that every stage adds to and any code may read. Not here: how they are shown (`cli/`).

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::lake::ShardMeta;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The counters of one run; shared by all of its tasks.
        #[derive(Debug, Default)]
        pub struct Progress {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        /// The counters at one moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct ProgressSnapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Progress {
            /// Returns the counters now. They are read one after the other, so they may differ by events in between.
            pub fn snapshot(&self) -> ProgressSnapshot {
                ProgressSnapshot { $($name: self.$name.load(Ordering::Relaxed),)* }
            }

            /// Adds the counters of another run to each of these.
            pub fn add_all(&self, other: &ProgressSnapshot) {
                $(Progress::add(&self.$name, other.$name);)*
            }
        }
    };
}

counters! {
    /// Ranges that the pivots make.
    ranges_total,
    /// Ranges read to their end.
    ranges_scanned,
    /// Rows of `_all_docs` read.
    rows_scanned,
    /// Documents that the registry claims to have.
    rows_expected,
    /// Partitions of the lake.
    partitions_total,
    /// Partitions that match the registry: committed, or found unchanged.
    partitions_done,
    /// Partitions found unchanged, without a rewritten shard.
    partitions_unchanged,
    /// Names added since the last ingest.
    names_added,
    /// Names at another revision than at the last ingest.
    names_changed,
    /// Names that are gone since the last ingest.
    names_removed,
    /// Rows of the partitions that are planned.
    rows_planned,
    /// Documents to fetch, as far as planned.
    packuments_planned,
    /// Requests for documents that ended, with success or not.
    packuments_done,
    /// Of these, documents that an earlier run had received and staged.
    packuments_resumed,
    /// Documents received.
    packuments_fresh,
    /// Documents that had not changed (304).
    packuments_not_modified,
    /// Names without a document: not found or blocked.
    packuments_gone,
    /// Documents that are no packument.
    packuments_malformed,
    /// Documents older than the announced revision.
    packuments_stale,
    /// Names whose request failed for good, or whose document is too large.
    packuments_failed,
    /// Selected names that, by the outcome of an earlier run, have no document or no sound one, and are not requested
    /// again.
    names_without_document,
    /// Bytes of documents received, after content decoding.
    document_bytes,
    /// Requests for download counts that the run needs, if none is refused.
    count_requests_planned,
    /// Of these, requests that are done.
    count_requests_done,
    /// Names whose downloads were asked for.
    names_counted,
    /// Bytes of shards to write, if a copy knows them.
    shard_bytes_planned,
    /// Bytes of shards written.
    shard_bytes,
    /// Rows written over all tables.
    rows_written,
    /// Events recorded by commits.
    events_recorded,
}

impl Progress {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a shard that was written.
    pub(super) fn note_shard(&self, shard: &ShardMeta) {
        Progress::add(&self.shard_bytes, shard.size_bytes);
        Progress::add(&self.rows_written, shard.rows);
    }
}
