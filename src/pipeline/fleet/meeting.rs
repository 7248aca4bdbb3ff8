//! The seat of a host's coordinator, in the queue.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use crate::queue;
use crate::registry::{Chair, Meeting};

/// Leaves the seats that this process holds.
pub(super) type Leavers = Arc<Mutex<Vec<queue::Leaver>>>;

/// Where the processes of a fleet find the coordinator of a host.
#[derive(Debug)]
pub(super) struct QueueMeeting {
    pub(super) seats: queue::Seats,
    pub(super) host: String,
    pub(super) leavers: Leavers,
}

impl Meeting for QueueMeeting {
    fn take(&self) -> BoxFuture<'_, io::Result<Option<Box<dyn Chair>>>> {
        Box::pin(async move {
            let Some(chair) = self.seats.take(&self.host).await? else { return Ok(None) };
            self.leavers.lock().unwrap_or_else(PoisonError::into_inner).push(chair.leaver());
            Ok(Some(Box::new(QueueChair(chair)) as Box<dyn Chair>))
        })
    }

    fn connect(&self) -> BoxFuture<'_, io::Result<DuplexStream>> {
        Box::pin(self.seats.connect(&self.host))
    }
}

#[derive(Debug)]
struct QueueChair(queue::Chair);

impl Chair for QueueChair {
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
