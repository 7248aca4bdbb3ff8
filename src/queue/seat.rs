//! A seat that one process holds at a time. It holds a record and renews it; a record that is not renewed is taken.
//!
//! No clock is compared with another: a candidate watches a record for as long as it must stay unchanged, and a holder
//! leaves its seat earlier than that after its last renewal.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::kv::{Operation, UpdateErrorKind};
use serde::{Deserialize, Serialize};
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::pipe::Listener;
use super::{Queue, Records};

/// How often a holder renews its record.
const RENEWAL: Duration = Duration::from_secs(1);
/// A holder leaves its seat so long after the last renewal that succeeded.
const HELD_FOR: Duration = Duration::from_secs(4);
/// A record that was unchanged for so long is taken. Longer than [`HELD_FOR`] by what a renewal may take.
const TAKEN_AFTER: Duration = Duration::from_secs(7);

/// Seats by their names.
#[derive(Debug, Clone)]
pub struct Seats {
    queue: Queue,
    records: Records,
    /// The revisions of records of others, and since when they are unchanged.
    seen: Arc<Mutex<HashMap<String, (u64, Instant)>>>,
}

/// The record of a seat.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    /// Where the holder accepts connections; `None` if it has left.
    address: Option<String>,
    /// How many processes were connected to the holder.
    members: u32,
}

/// A seat that this process holds. Dropping it lets others take it after a while; [`Resignation::leave`] at once.
#[derive(Debug)]
pub struct Leadership {
    listener: Listener,
    members_before: u32,
    state: Arc<State>,
    _renewal: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State {
    seats: Seats,
    name: String,
    address: String,
    members: AtomicU32,
    /// The last revision that is known to be ours.
    revision: watch::Sender<u64>,
    held_until: Mutex<Instant>,
    has_left: AtomicBool,
}

impl Seats {
    /// Opens the seats among these records.
    pub fn new(queue: Queue, records: Records) -> Seats {
        Seats { queue, records, seen: Arc::default() }
    }

    /// Takes a seat; `None` if another process holds it.
    ///
    /// # Errors
    /// If the server does not respond: nothing is known then.
    pub async fn take(&self, name: &str) -> io::Result<Option<Leadership>> {
        let key = key(name);
        let entry = self.records.store.entry(&key).await.map_err(io::Error::other)?;
        let held = entry.as_ref().filter(|entry| entry.operation == Operation::Put);
        // An unreadable record is one of another version: its holder keeps the seat as long as it renews it.
        let found = held.and_then(|entry| serde_json::from_slice::<Held>(&entry.value).ok());
        if let Some(entry) = held {
            let has_left = found.as_ref().is_some_and(|found| found.address.is_none());
            if !has_left && self.unchanged_for(&key, entry.revision) < TAKEN_AFTER {
                return Ok(None);
            }
        }
        let listener = self.queue.listen().await?;
        let members_before = found.map_or(0, |found| found.members);
        let (address, begun) = (listener.address(), Instant::now());
        let text = text(&Held { address: Some(address.clone()), members: members_before })?;
        let taken = match entry {
            Some(entry) => self.records.store.update(&key, text, entry.revision).await.map_err(io::Error::other),
            None => self.records.store.create(&key, text).await.map_err(io::Error::other),
        };
        // Another one was faster, or the server is away: the next try shows which.
        let Ok(revision) = taken else { return Ok(None) };
        let state = Arc::new(State {
            seats: self.clone(),
            name: key,
            address,
            members: AtomicU32::new(members_before),
            revision: watch::Sender::new(revision),
            held_until: Mutex::new(begun + HELD_FOR),
            has_left: AtomicBool::new(false),
        });
        let renewal = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&state).renew()));
        Ok(Some(Leadership { listener, members_before, state, _renewal: renewal }))
    }

    /// Connects to the process that holds a seat.
    pub async fn connect(&self, name: &str) -> io::Result<DuplexStream> {
        let entry = self.records.store.get(key(name)).await.map_err(io::Error::other)?;
        let held = entry.and_then(|value| serde_json::from_slice::<Held>(&value).ok());
        let address = held.and_then(|held| held.address).ok_or(io::ErrorKind::NotConnected)?;
        self.queue.dial(&address).await
    }

    fn unchanged_for(&self, key: &str, revision: u64) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let since = seen.entry(key.to_owned()).or_insert_with(|| (revision, Instant::now()));
        if since.0 != revision {
            *since = (revision, Instant::now());
        }
        since.1.elapsed()
    }
}

impl Leadership {
    /// Waits for a process that connects.
    pub async fn accept(&mut self) -> io::Result<DuplexStream> {
        self.listener.accept().await
    }

    /// How many processes were connected to the holder before.
    pub fn members_before(&self) -> u32 {
        self.members_before
    }

    /// Says how many processes are connected. Recorded with the next renewal.
    pub fn set_members(&self, members: u32) {
        self.state.members.store(members, Ordering::Relaxed);
    }

    /// Returns whether the seat is still held.
    pub fn is_held(&self) -> bool {
        self.state.is_held()
    }

    /// Returns what leaves the seat, so that the next process takes it at once.
    pub fn resignation(&self) -> Resignation {
        Resignation(Arc::downgrade(&self.state))
    }
}

/// Leaves a seat that is held elsewhere in this process.
#[derive(Debug, Clone)]
pub struct Resignation(std::sync::Weak<State>);

impl Resignation {
    /// Leaves the seat, if it is still held.
    pub async fn leave(self) {
        let Some(state) = self.0.upgrade() else { return };
        if !state.is_held() || state.has_left.swap(true, Ordering::Relaxed) {
            return;
        }
        // A renewal may come in between: then there is another try.
        for _ in 0..3 {
            let (store, revision) = (&state.seats.records.store, *state.revision.borrow());
            let Ok(text) = text(&Held { address: None, members: state.members.load(Ordering::Relaxed) }) else {
                return;
            };
            if store.update(&state.name, text, revision).await.is_ok() || !state.adopt().await {
                return;
            }
        }
    }
}

impl State {
    fn is_held(&self) -> bool {
        let held_until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        !self.has_left.load(Ordering::Relaxed) && Instant::now() < held_until
    }

    /// Renews the record until the seat is lost.
    async fn renew(self: Arc<Self>) {
        while self.is_held() {
            tokio::time::sleep(RENEWAL).await;
            let (begun, revision) = (Instant::now(), *self.revision.borrow());
            let held = Held { address: Some(self.address.clone()), members: self.members.load(Ordering::Relaxed) };
            let Ok(text) = text(&held) else { return };
            if !self.is_held() {
                return;
            }
            match self.seats.records.store.update(&self.name, text, revision).await {
                Ok(revision) => self.renewed(revision, begun),
                // The confirmation of an earlier renewal may have been lost.
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                    if !self.adopt().await {
                        tracing::debug!(seat = self.name, "another process has taken the seat");
                        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = begun;
                        return;
                    }
                }
                // The server is away. The seat is lost if it stays so.
                Err(_) => {}
            }
        }
    }

    fn renewed(&self, revision: u64, begun: Instant) {
        self.revision.send_replace(revision);
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = begun + HELD_FOR;
    }

    /// Takes the revision of a record that this process wrote without learning of it. Returns whether it did.
    async fn adopt(&self) -> bool {
        let Ok(Some(entry)) = self.seats.records.store.entry(&self.name).await else { return true };
        let held = serde_json::from_slice::<Held>(&entry.value).ok().and_then(|held| held.address);
        let is_ours = held.as_ref() == Some(&self.address);
        if is_ours {
            self.revision.send_replace(entry.revision);
        }
        is_ours
    }
}

fn key(name: &str) -> String {
    format!("seat.{}", crate::lake::hex_key(name))
}

fn text(held: &Held) -> io::Result<bytes::Bytes> {
    serde_json::to_vec(held).map(Into::into).map_err(io::Error::other)
}
