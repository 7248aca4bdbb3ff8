//! Sources: they know what a registry announces, and yield it as work, partition by partition. They know nothing of
//! shards, and nothing of those who do the work.

mod changes;
mod listing;
mod scan;
mod scope;
mod spool;

use std::collections::BTreeSet;

use futures::stream::BoxStream;

use super::work::WorkItem;
use crate::error::Result;

pub use changes::Changes;
pub use scope::Scope;

pub(super) use listing::Pages;
pub(super) use scan::Scan;

/// Yields work.
pub trait Source {
    /// How many partitions it has work for.
    fn partition_count(&self) -> usize;

    /// The work in the order of partitions: all of it, or that of the partitions with the file stems `only`, which another
    /// process held when their turn came. May be called again and again.
    fn work(&self, only: Option<BTreeSet<String>>) -> BoxStream<'_, Result<WorkItem>>;
}
