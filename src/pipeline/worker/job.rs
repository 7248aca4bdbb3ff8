//! The input of a partition's build. Not here: the build itself (`build`).

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::plan::PartitionPlan;
use crate::error::Result;
use crate::event::GoneNames;
use crate::fetch::{FetchItem, StagedAnswers};
use crate::lake::{Manifest, OriginLayout, Partition};
use crate::npm::{DocRow, Representation};
use crate::pipeline::overlay::Known;
use crate::pipeline::progress::Progress;
use crate::pipeline::work::WorkItem;
use crate::store::{StagedFile, Store};
use crate::table::TableKind;

/// The input of a partition's build.
pub(super) struct PartitionJob {
    pub(super) store: Store,
    pub(super) layout: OriginLayout,
    pub(super) item: WorkItem,
    /// The rows of `_all_docs`, ascending.
    pub(super) rows: Arc<Vec<DocRow>>,
    /// The time at which they were listed, in microseconds since 1970.
    pub(super) listed_at_us: Option<i64>,
    pub(super) plan: PartitionPlan,
    /// The previous manifest of the partition.
    pub(super) previous: Option<Manifest>,
    /// Whether the overlay has newer rows of the partition than its shards.
    pub(super) is_over_overlay: bool,
    /// The lake below, if this is the job of a delta. It has the documents that the new ones replace.
    pub(super) known: Option<Arc<Known>>,
    /// The text of the previous manifest.
    pub(super) base: Option<Bytes>,
    /// The answers that an earlier run fetched and did not commit.
    pub(super) staged: StagedAnswers,
    pub(super) progress: Arc<Progress>,
    /// Cancelled when the run ends early: the build ends at the next document or batch.
    pub(super) stop: CancellationToken,
    /// Held while a large document becomes rows; shared by all partitions.
    pub(super) large_documents: Arc<Mutex<()>>,
    /// The names of packages that were removed once.
    pub(super) gone_names: Arc<GoneNames>,
}

impl PartitionJob {
    pub(super) fn partition(&self) -> &Partition {
        &self.item.partition
    }

    /// Returns the form of documents to request.
    pub(super) fn representation(&self) -> Representation {
        self.item.wanted.representation
    }

    /// Returns the planned requests, without those that an earlier run staged.
    pub(super) fn items_to_ask_for(&self) -> Vec<FetchItem> {
        let is_staged = |item: &&FetchItem| self.staged.has(item, self.representation());
        self.plan.fetch.iter().filter(|item| !is_staged(item)).cloned().collect()
    }

    /// Returns the previous manifest if it names a shard of `table`.
    pub(super) fn previous_names(&self, table: TableKind) -> Option<&Manifest> {
        self.previous.as_ref().filter(|manifest| manifest.shards.contains_key(table.as_str()))
    }

    /// Opens a file to write the new shard of a table into.
    pub(super) fn stage(&self, table: TableKind) -> Result<StagedFile> {
        self.store.stage(&self.layout.staged_shard(table, self.partition()))
    }
}
