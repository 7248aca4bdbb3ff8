//! The state of hosts that a fleet shares, in a bucket of the queue.

use std::sync::{Arc, PoisonError};

use super::ledger::FleetLedger;
use super::meeting::{Leavers, QueueMeeting};
use crate::error::Result;
use crate::queue::{Queue, Records, Seats};
use crate::registry::{Fleet, FleetHosts, Meeting, RequestLedger};

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
    leavers: Leavers,
}

impl QueueFleet {
    /// Joins the processes that share a queue.
    pub async fn join(queue: Queue) -> Result<QueueFleet> {
        let records = queue.records(BUCKET).await?;
        let seats = Seats::new(queue.clone(), records.clone());
        Ok(QueueFleet { inner: Arc::new(Inner { queue, records, seats, leavers: Leavers::default() }) })
    }

    /// Returns what the registry client needs of it.
    pub fn fleet(&self) -> Fleet {
        Fleet::new(Arc::new(self.clone()))
    }

    /// Leaves the seats that this process holds, so that the others need not find out that it is gone. To call when it
    /// sends no more requests.
    pub async fn leave(&self) {
        let leavers = std::mem::take(&mut *self.inner.leavers.lock().unwrap_or_else(PoisonError::into_inner));
        for leaver in leavers {
            leaver.leave().await;
        }
        self.inner.queue.flush().await;
    }
}

impl FleetHosts for QueueFleet {
    fn meeting(&self, host: &str) -> Arc<dyn Meeting> {
        let (seats, leavers) = (self.inner.seats.clone(), Arc::clone(&self.inner.leavers));
        Arc::new(QueueMeeting { seats, host: host.to_owned(), leavers })
    }

    fn ledger(&self, lake: Arc<dyn RequestLedger>) -> Arc<dyn RequestLedger> {
        Arc::new(FleetLedger::new(self.inner.records.clone(), lake))
    }
}
