//! The seat of a host's coordinator, in the queue.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use crate::queue;
use crate::registry::{Election, Leadership};

/// Leaves the seats that this process holds.
pub(super) type Resignations = Arc<Mutex<Vec<queue::Resignation>>>;

/// Where the processes of a fleet find the coordinator of a host.
#[derive(Debug)]
pub(super) struct QueueElection {
    pub(super) seats: queue::Seats,
    pub(super) host: String,
    pub(super) resignations: Resignations,
}

impl Election for QueueElection {
    fn take(&self) -> BoxFuture<'_, io::Result<Option<Box<dyn Leadership>>>> {
        Box::pin(async move {
            let Some(leadership) = self.seats.take(&self.host).await? else { return Ok(None) };
            self.resignations.lock().unwrap_or_else(PoisonError::into_inner).push(leadership.resignation());
            Ok(Some(Box::new(QueueLeadership(leadership)) as Box<dyn Leadership>))
        })
    }

    fn connect(&self) -> BoxFuture<'_, io::Result<DuplexStream>> {
        Box::pin(self.seats.connect(&self.host))
    }
}

#[derive(Debug)]
struct QueueLeadership(queue::Leadership);

impl Leadership for QueueLeadership {
    fn members_before(&self) -> u32 {
        self.0.members_before()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<DuplexStream>> {
        Box::pin(self.0.accept())
    }

    fn set_members(&mut self, members: u32) {
        self.0.set_members(members);
    }

    fn is_held(&self) -> bool {
        self.0.is_held()
    }
}
