//! Sources: yield the announcements of a registry as work, partition by partition. They do not know about shards or
//! workers.

mod changes;
mod listing;
mod scan;
mod scope;
mod share;
mod spool;

use std::collections::BTreeSet;

use futures::stream::BoxStream;

use super::work::WorkItem;
use crate::error::Result;

pub use changes::Changes;
pub use scope::Scope;
pub use share::Share;

pub(super) use listing::Pages;
pub(super) use scan::Scan;

/// Yields work.
pub trait Source {
    /// Returns how many partitions it has work for.
    fn partition_count(&self) -> usize;

    /// Returns the work in the order of partitions: all of it, or that of the partitions with the file stems `only`,
    /// which another process held when their turn came. May be called repeatedly.
    fn work(&self, only: Option<BTreeSet<String>>) -> BoxStream<'_, Result<WorkItem>>;
}
