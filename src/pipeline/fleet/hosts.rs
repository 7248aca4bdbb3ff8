//! The state of hosts that a fleet shares, in a bucket of the queue.

use std::sync::{Arc, PoisonError};

use super::claim::Claims;
use super::election::{QueueElection, Resignations};
use super::ledger::FleetLedger;
use crate::error::Result;
use crate::pipeline::IngestOptions;
use crate::queue::{Queue, Records, Seats};
use crate::registry::{Election, Fleet, FleetHosts, RequestLedger};

/// The bucket of what all lakes and origins of a queue share: a host does not care which of them a request is for.
const BUCKET: &str = "ALL_DOCS_HOSTS";

/// The processes that share a queue. Clones are of the same process.
#[derive(Debug, Clone)]
pub struct QueueFleet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    records: Records,
    seats: Seats,
    resignations: Resignations,
}

impl QueueFleet {
    /// Joins the processes that share a queue.
    pub async fn join(queue: Queue) -> Result<QueueFleet> {
        let records = queue.records(BUCKET).await?;
        let seats = Seats::new(queue.clone(), records.clone());
        Ok(QueueFleet { inner: Arc::new(Inner { queue, records, seats, resignations: Resignations::default() }) })
    }

    /// Returns what the registry client needs of it.
    pub fn fleet(&self) -> Fleet {
        Fleet::new(Arc::new(self.clone()))
    }

    pub(super) fn claims(&self, options: &IngestOptions) -> Claims {
        Claims::new(self.inner.records.clone(), options)
    }

    /// Leaves the seats that this process holds, so that the others need not find out that it is gone. To call when it
    /// sends no more requests.
    pub async fn leave(&self) {
        let resignations = std::mem::take(&mut *self.inner.resignations.lock().unwrap_or_else(PoisonError::into_inner));
        for resignation in resignations {
            resignation.leave().await;
        }
        self.inner.queue.flush().await;
    }
}

impl FleetHosts for QueueFleet {
    fn election(&self, host: &str) -> Arc<dyn Election> {
        let (seats, resignations) = (self.inner.seats.clone(), Arc::clone(&self.inner.resignations));
        Arc::new(QueueElection { seats, host: host.to_owned(), resignations })
    }

    fn ledger(&self, lake: Arc<dyn RequestLedger>) -> Arc<dyn RequestLedger> {
        Arc::new(FleetLedger::new(self.inner.records.clone(), lake))
    }
}
