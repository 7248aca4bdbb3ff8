//! The work that a partition's build is given. Not here: doing it (`build`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::plan::PartitionPlan;
use crate::error::Result;
use crate::fetch::{FetchItem, StagedAnswers};
use crate::lake::{Manifest, OriginLayout, Partition};
use crate::npm::{DocRow, Representation};
use crate::pipeline::progress::Progress;
use crate::pipeline::work::WorkItem;
use crate::store::{ShardFile, StagedFile, Store};
use crate::table::TableKind;

/// What a partition's build needs to know.
pub(super) struct PartitionJob {
    pub(super) store: Store,
    pub(super) layout: OriginLayout,
    pub(super) item: WorkItem,
    /// The rows of `_all_docs`, ascending.
    pub(super) rows: Arc<Vec<DocRow>>,
    /// When they were listed, in microseconds since 1970.
    pub(super) listed_at_us: Option<i64>,
    pub(super) plan: PartitionPlan,
    /// What the partition held before.
    pub(super) previous: Option<Manifest>,
    /// What an earlier run fetched and did not commit.
    pub(super) staged: StagedAnswers,
    /// The previous shards of the tables that are merged, opened.
    pub(super) previous_shards: BTreeMap<TableKind, ShardFile>,
    pub(super) progress: Arc<Progress>,
    /// Cancelled when the run ends early: the build ends at the next document or batch.
    pub(super) stop: CancellationToken,
    /// Held while a large document becomes rows; of all partitions.
    pub(super) large_documents: Arc<Mutex<()>>,
}

impl PartitionJob {
    pub(super) fn partition(&self) -> &Partition {
        &self.item.partition
    }

    /// The form of documents that is asked for.
    pub(super) fn representation(&self) -> Representation {
        self.item.wanted.representation
    }

    /// What is planned to be fetched and was not staged by an earlier run.
    pub(super) fn items_to_ask_for(&self) -> Vec<FetchItem> {
        let is_staged = |item: &&FetchItem| self.staged.has(item, self.representation());
        self.plan.fetch.iter().filter(|item| !is_staged(item)).cloned().collect()
    }

    /// A file to write the new shard of a table into.
    pub(super) fn stage(&self, table: TableKind) -> Result<StagedFile> {
        self.store.stage(&self.layout.staged_shard(table, self.partition()))
    }
}
