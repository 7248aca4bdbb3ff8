//! The leases of the partitions in progress. They are given back when the work ends, also if it was dropped.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::lake::Partition;
use crate::pipeline::lease::{Lease, LeaseWatch};

/// Leases by the file stem of their partition.
#[derive(Default)]
pub(super) struct Leases {
    held: Mutex<HashMap<String, Lease>>,
}

impl Leases {
    fn held(&self) -> MutexGuard<'_, HashMap<String, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the lease of a partition until it is given back.
    pub(super) fn keep(&self, partition: &Partition, lease: Lease) -> LeaseWatch {
        let watch = lease.watch();
        self.held().insert(partition.file_stem(), lease);
        watch
    }

    /// Gives the lease of a partition back.
    pub(super) async fn end(&self, partition: &Partition) -> Result<()> {
        let lease = self.held().remove(&partition.file_stem());
        match lease {
            Some(lease) => lease.end().await,
            None => Ok(()),
        }
    }

    /// Gives all leases back. Reports the first failure, and gives the other leases back regardless.
    pub(super) async fn end_all(&self) -> Result<()> {
        let all = std::mem::take(&mut *self.held());
        let mut result = Ok(());
        for lease in all.into_values() {
            result = result.and(lease.end().await);
        }
        result
    }
}
