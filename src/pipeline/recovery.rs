//! Recovery of partitions: ends the interrupted commits of dead processes, for every command that writes a lake.
//!
//! The rest of an interrupted commit is rolled forward. Shards that are lost with the scratch folder of the dead process are made
//! again from the documents of the partition, without a request. Not here: which shards are lost (`commit`), and how a
//! table is made (`rebuild`).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::lease::{Attempt, Lease, LeaseWatch};
use super::rebuild::build::Task;
use crate::commit::{Lacking, Settled, complete, interrupted, settle};
use crate::error::{Doing, Result};
use crate::lake::{OriginLayout, Partition};
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// The recovery of an origin's partitions.
#[derive(Clone)]
pub(super) struct Recovery {
    pub(super) store: Store,
    pub(super) layout: OriginLayout,
    /// Cancelled when the run ends early: a rebuild ends at its next document or batch.
    pub(super) stop: CancellationToken,
    /// Held while a large document becomes rows.
    pub(super) large_documents: Arc<Mutex<()>>,
}

/// The end of an interrupted commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovered {
    /// There was none.
    Nothing,
    /// It is complete.
    Completed,
    /// It is given up. The partition is as it was before, and staged answers are kept.
    Discarded,
}

impl Recovery {
    /// Returns the recovery of a command that does nothing else meanwhile.
    pub(super) fn of(store: &Store, layout: &OriginLayout) -> Recovery {
        let (store, layout) = (store.clone(), layout.clone());
        Recovery { store, layout, stop: CancellationToken::new(), large_documents: Arc::default() }
    }

    /// Clears up a partition after a dead process, and ends its interrupted commit. `lease` is that of the partition, or
    /// the lock of its origin.
    ///
    /// Fails with [`crate::error::ErrorKind::Interrupted`] if the run is stopped, and as [`crate::commit::commit`] does.
    pub(super) async fn settle(&self, partition: &Partition, lease: &LeaseWatch) -> Result<Recovered> {
        match settle(&self.store, &self.layout, partition, lease).await? {
            Settled::Nothing => Ok(Recovered::Nothing),
            Settled::Completed => Ok(Recovered::Completed),
            Settled::Discarded => Ok(Recovered::Discarded),
            Settled::Lacking(lacking) => {
                let rebuilt = self.rebuild(*lacking, lease).await;
                rebuilt.doing(|| format!("making the lost shards of the partition {partition} again"))?;
                Ok(Recovered::Completed)
            }
        }
    }

    /// Makes the lost shards of an interrupted commit again, and completes it.
    async fn rebuild(&self, lacking: Lacking, lease: &LeaseWatch) -> Result<()> {
        let manifest = lacking.manifest().clone();
        let mut tables: BTreeSet<TableKind> = lacking.tables().clone();
        // One partition never has shards of two versions beside each other.
        let is_made = |table: &TableKind| TableKind::OF_DOCUMENTS.contains(table) && *table != TableKind::Packuments;
        tables.extend(manifest.old_tables().map(|(table, _)| table).filter(is_made));
        let task = Task {
            store: self.store.clone(),
            layout: self.layout.clone(),
            manifest,
            tables: tables.clone(),
            progress: Arc::default(),
            stop: self.stop.clone(),
            large_documents: Arc::clone(&self.large_documents),
        };
        let manifest = blocking("the rebuild of lost shards", move || task.build(None)).await?;
        complete(&self.store, &self.layout, lease, lacking, manifest, &tables).await
    }

    /// Ends the interrupted commits of all partitions that no other process works on. Returns how many it completed.
    pub(super) async fn of_unheld(&self, purpose: &str) -> Result<u64> {
        let mut completed = 0;
        for partition in interrupted(&self.store, &self.layout).await? {
            // It may be none of the set, if it was cleared while its process stood still.
            let attempt = Lease::of_stem(&self.store, &self.layout, &partition.file_stem(), purpose).await?;
            if let Attempt::Taken(lease) = attempt {
                let result = self.settle(&partition, &lease.watch()).await;
                let recovered = lease.end_after(result).await?;
                completed += u64::from(recovered == Recovered::Completed);
            }
        }
        Ok(completed)
    }

    /// Ends all interrupted commits of the origin, whose lock is `lock`. Returns whether there were any.
    pub(super) async fn of_all(&self, lock: &LeaseWatch) -> Result<bool> {
        let partitions = interrupted(&self.store, &self.layout).await?;
        for partition in &partitions {
            self.settle(partition, lock).await?;
        }
        Ok(!partitions.is_empty())
    }
}
