//! Options: the settings of an ingest. Not here: running it (`ingest`), and the arguments that a user types (`cli/`).

use std::num::NonZeroU64;

use super::source::Scope;
use crate::diff::Selection;
use crate::lake::{DEFAULT_ROWS_PER_PARTITION, OriginInfo, Pivots};
use crate::npm::{Change, Representation};
use crate::registry::Registry;
use crate::store::Store;

/// How a new lake's partition set is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionMode {
    /// Small ranges are joined and large ones are cut, to about this many rows each.
    Derived {
        /// Rows a partition.
        rows_per_partition: NonZeroU64,
    },
    /// The ranges of the pivots as they are.
    Exact,
}

/// The settings of an ingest.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The lake.
    pub store: Store,
    /// The registry.
    pub registry: Registry,
    /// The addresses to enter in the lake metadata.
    pub origin_info: OriginInfo,
    /// The ranges of the scan. If `None`, the lake's own partitions are used, and for a new lake balanced pivots, which
    /// are computed with requests to the registry.
    pub pivots: Option<Pivots>,
    /// Names that are known to have changed. If they are given, nothing is listed, and the lake must have partitions.
    pub changes: Option<Vec<Change>>,
    /// The partitions to bring up to date.
    pub scope: Scope,
    /// How a new lake's partition set is made.
    pub partitions: PartitionMode,
    /// The form of documents to fetch.
    pub representation: Representation,
    /// The names whose documents to fetch; [`Selection::None`] for names and revisions only.
    pub selection: Selection,
    /// The time at which the run begins, in microseconds since 1970; `None` for the present time. It decides which names
    /// without a document are due again.
    pub began_at_us: Option<i64>,
    /// Request documents again that are held at the announced revision.
    pub refresh: bool,
    /// Plan only.
    pub dry_run: bool,
    /// Believe a listing that lacks so many of the lake's names that it may have been cut short, and a registry that
    /// serves few documents. Drop documents of the lake that it says are gone.
    pub accept_removals: bool,
    /// The first day whose events are kept; `None` to keep all.
    pub keep_events_from: Option<jiff::civil::Date>,
}

impl IngestOptions {
    /// Returns the options for an ingest of everything, by the lake's own partitions or balanced ones.
    pub fn new(store: Store, registry: Registry, origin_info: OriginInfo) -> IngestOptions {
        IngestOptions {
            store,
            registry,
            origin_info,
            pivots: None,
            changes: None,
            scope: Scope::All,
            partitions: PartitionMode::Derived { rows_per_partition: DEFAULT_ROWS_PER_PARTITION },
            representation: Representation::Full,
            selection: Selection::All,
            began_at_us: None,
            refresh: false,
            dry_run: false,
            accept_removals: false,
            keep_events_from: None,
        }
    }

    /// Returns which documents are fetched: `full`, `abbreviated` or `none`.
    pub fn documents(&self) -> &'static str {
        match (&self.selection, self.representation) {
            (Selection::None, _) => "none",
            (_, Representation::Full) => "full",
            (_, Representation::Abbreviated) => "abbreviated",
        }
    }
}
