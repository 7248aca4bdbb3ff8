//! The state of an origin's hosts that the processes of a fleet share. Not here: how they reach each other (`pipeline`), and
//! the decisions of the one that leads (`limiter`).

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use super::budget::RequestLedger;

/// The fleet that a process belongs to. The limits of its hosts are those of the fleet: the strictest of all processes
/// hold for all of them together.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<dyn FleetHosts>);

impl Fleet {
    /// Creates a fleet whose processes find each other by `hosts`.
    pub fn new(hosts: Arc<dyn FleetHosts>) -> Fleet {
        Fleet(hosts)
    }

    pub(super) fn election(&self, host: &str) -> Arc<dyn Election> {
        self.0.election(host)
    }

    pub(super) fn ledger(&self, lake: Arc<dyn RequestLedger>) -> Arc<dyn RequestLedger> {
        self.0.ledger(lake)
    }
}

impl PartialEq for Fleet {
    fn eq(&self, other: &Fleet) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A place where the processes of a fleet meet.
pub trait FleetHosts: Debug + Send + Sync {
    /// Returns where they find the coordinator of a host.
    fn election(&self, host: &str) -> Arc<dyn Election>;

    /// Returns a ledger that counts the requests of the whole fleet, and those of this process in `lake` too.
    fn ledger(&self, lake: Arc<dyn RequestLedger>) -> Arc<dyn RequestLedger>;
}

/// Where the processes that send requests to one host find its coordinator.
pub trait Election: Debug + Send + Sync {
    /// Takes the coordinator's seat; `None` if another process holds it. Fails if that cannot be known now.
    fn take(&self) -> BoxFuture<'_, io::Result<Option<Box<dyn Leadership>>>>;

    /// Connects to the coordinator. The connection must end if either process is gone.
    fn connect(&self) -> BoxFuture<'_, io::Result<DuplexStream>>;
}

/// The seat of a coordinator, held by this process. Dropping it frees it.
pub trait Leadership: Debug + Send {
    /// Returns how many processes were connected to the coordinator before.
    fn members_before(&self) -> u32;

    /// Waits for a process that connects. May be cancelled.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<DuplexStream>>;

    /// Records how many processes are connected.
    fn set_members(&mut self, members: u32);

    /// Returns whether the seat is still held: another process may have taken it from a silent one.
    fn is_held(&self) -> bool;
}
