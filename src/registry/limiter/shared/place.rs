//! Where the processes that share a gate find its coordinator: in a folder of their machine, or in a fleet.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::message::PROTOCOL;
use super::seat::{FileId, Seat, SeatFiles};
use crate::registry::fleet::{Election, Fleet, Leadership};

/// The pause before another try to reach a coordinator that does not listen yet: in a folder …
const RETRY: Duration = Duration::from_millis(10);
/// … and through a server.
const RETRY_IN_FLEET: Duration = Duration::from_millis(100);

/// A connection to another process.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where they meet.
#[derive(Debug, Clone)]
pub(in crate::registry) enum Place {
    Folder(SeatFiles),
    Fleet(Arc<dyn Election>),
}

/// The seat of the coordinator.
#[derive(Debug)]
pub(super) enum AnySeat {
    Folder(Seat),
    Fleet(Box<dyn Leadership>),
}

impl Place {
    pub(in crate::registry) fn folder(folder: &Path, host: &str) -> Place {
        Place::Folder(SeatFiles::of(folder, host))
    }

    pub(in crate::registry) fn fleet(fleet: &Fleet, host: &str) -> Place {
        // Processes of different versions do not find each other.
        Place::Fleet(fleet.election(&format!("{PROTOCOL} {host}")))
    }

    /// Returns whether a process that cannot use the place may go on alone. A process of a fleet may not: it would send
    /// its requests beside those of the others.
    pub(super) fn is_optional(&self) -> bool {
        matches!(self, Place::Folder(_))
    }

    pub(super) fn retry(&self) -> Duration {
        if self.is_optional() { RETRY } else { RETRY_IN_FLEET }
    }

    /// Takes the seat; `None` if another process holds it. Fails if the place cannot be used.
    pub(super) async fn take(&self) -> io::Result<Option<AnySeat>> {
        match self {
            Place::Folder(files) => Ok(files.take()?.map(AnySeat::Folder)),
            Place::Fleet(election) => Ok(election.take().await?.map(AnySeat::Fleet)),
        }
    }

    /// Connects to the process that holds the seat.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Place::Folder(files) => files.connect().await.map(|stream| Box::new(stream) as Box<dyn Stream>),
            Place::Fleet(election) => election.connect().await.map(|stream| Box::new(stream) as Box<dyn Stream>),
        }
    }

    /// Returns the lock file of the process that holds the seat.
    pub(super) fn lock_file(&self) -> Option<FileId> {
        match self {
            Place::Folder(files) => files.lock_file(),
            Place::Fleet(_) => None,
        }
    }

    /// Takes the seat from a silent process. In a fleet a silent process loses it by itself.
    pub(super) fn vacate(&self, silent: Option<FileId>) {
        if let Place::Folder(files) = self {
            files.vacate(silent);
        }
    }
}

impl AnySeat {
    pub(super) fn members_before(&self) -> u32 {
        match self {
            AnySeat::Folder(seat) => seat.members_before,
            AnySeat::Fleet(leadership) => leadership.members_before(),
        }
    }

    /// Waits for a process that connects. May be cancelled.
    pub(super) async fn accept(&mut self) -> io::Result<Box<dyn Stream>> {
        match self {
            AnySeat::Folder(seat) => {
                seat.listener.accept().await.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>)
            }
            AnySeat::Fleet(leadership) => leadership.accept().await.map(|stream| Box::new(stream) as Box<dyn Stream>),
        }
    }

    /// Records how many processes are connected. Returns whether the seat is still held.
    pub(super) fn keep(&mut self, members: u32) -> bool {
        match self {
            AnySeat::Folder(seat) => seat.set_members(members).is_ok() && seat.is_held(),
            AnySeat::Fleet(leadership) => {
                leadership.set_members(members);
                leadership.is_held()
            }
        }
    }
}
