//! Options: what an ingest is to do. Not here: doing it (`ingest`), and what a user may type for it (`cli/`).

use std::num::NonZeroU64;

use super::source::Scope;
use crate::diff::Selection;
use crate::lake::{DEFAULT_ROWS_PER_PARTITION, OriginInfo, Pivots};
use crate::npm::Representation;
use crate::registry::Registry;
use crate::store::Store;

/// How a new lake's partition set is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionMode {
    /// Small ranges join and large ones are cut, to about this many rows each.
    Derived {
        /// Rows a partition.
        rows_per_partition: NonZeroU64,
    },
    /// The ranges of the pivots as they are.
    Exact,
}

/// What an ingest is to do.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The lake.
    pub store: Store,
    /// The registry.
    pub registry: Registry,
    /// The addresses to enter on the lake metadata.
    pub origin_info: OriginInfo,
    /// How the name space is scanned; where it is `None`, by the lake's own partitions, and for a new lake by balanced
    /// pivots that the registry is asked for.
    pub pivots: Option<Pivots>,
    /// Which partitions are brought up to date.
    pub scope: Scope,
    /// How a new lake's partition set is made.
    pub partitions: PartitionMode,
    /// Which form of documents to fetch.
    pub representation: Representation,
    /// Whose documents to fetch; [`Selection::None`] for names and revisions only.
    pub selection: Selection,
    /// Ask again for documents that are held at the announced revision.
    pub refresh: bool,
    /// Plan only.
    pub dry_run: bool,
    /// Believe a listing that lacks so many of the lake's names that it may have been cut short, and a registry that says of
    /// most documents of the lake that they are gone.
    pub accept_removals: bool,
}

impl IngestOptions {
    /// An ingest of everything, by the lake's own partitions or balanced ones.
    pub fn new(store: Store, registry: Registry, origin_info: OriginInfo) -> IngestOptions {
        IngestOptions {
            store,
            registry,
            origin_info,
            pivots: None,
            scope: Scope::All,
            partitions: PartitionMode::Derived { rows_per_partition: DEFAULT_ROWS_PER_PARTITION },
            representation: Representation::Full,
            selection: Selection::All,
            refresh: false,
            dry_run: false,
            accept_removals: false,
        }
    }
}
