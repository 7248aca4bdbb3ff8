//! The messages between the processes that use one host, and their encoding: one JSON value a line.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::registry::config::HostLimits;
use crate::registry::limiter::handover::Snapshot;
use crate::registry::limiter::{GivenUp, Observation};

/// Changes with the messages. Processes of different versions do not find each other; each applies the limits alone.
pub(super) const PROTOCOL: &str = "v2";

/// A process that receives nothing for this long considers the other one dead or suspended.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// The longest line. The longest message lists some thousand requests.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// The most messages that are written together.
const BATCH: usize = 256;

/// From a member to the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToCoordinator {
    /// The first message of a connection.
    Hello {
        limits: HostLimits,
        share: NonZeroU32,
        /// The previous coordinator, and its last state.
        before: Option<(u64, Snapshot)>,
        /// Requests in flight that it admitted.
        held: Vec<Held>,
        /// Requests that wait.
        waiting: Vec<u64>,
    },
    /// A request wants to leave.
    Enter { request: u64 },
    /// The outcome of a request that was sent so long ago.
    Observe { request: u64, sent_ago: Duration, observation: Observation },
    /// A request frees its place for others.
    StepAside { request: u64 },
    /// It takes a place again.
    StepBack { request: u64 },
    /// A request has ended, or does not want to leave any more.
    Leave { request: u64 },
    /// Limits or share have changed.
    Limits { limits: HostLimits, share: NonZeroU32 },
    /// Keeps the connection alive.
    Alive,
}

/// A request that an earlier coordinator admitted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) request: u64,
    pub(super) sent_ago: Duration,
    pub(super) is_aside: bool,
}

/// From the coordinator to a member.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToMember {
    /// A request may leave.
    Go { request: u64 },
    /// The host is given up.
    GivenUp { request: u64, given_up: GivenUp },
    /// The state of the gate. Sent at least every second, and whenever less is allowed than before.
    Standing { coordinator: u64, snapshot: Snapshot },
}

/// Reads the next message. Waits for at most [`SILENCE`]. Treats anything but a message as the end of the connection.
pub(super) async fn read<T: DeserializeOwned>(reader: &mut BufReader<impl AsyncRead + Unpin>) -> Result<T, Ended> {
    let mut line = Vec::new();
    let mut limited = reader.take(MAX_LINE_BYTES);
    match tokio::time::timeout(SILENCE, limited.read_until(b'\n', &mut line)).await {
        Err(_) => Err(Ended::Silent),
        Ok(Err(_) | Ok(0)) => Err(Ended::Closed),
        Ok(Ok(_)) => serde_json::from_slice(&line).map_err(|_| Ended::Closed),
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The other side closed it, or sent an invalid message.
    Closed,
    /// The other side is silent, and may be suspended.
    Silent,
}

/// Writes messages as they come, until the connection fails or no more can come.
pub(super) async fn write<T: Serialize>(writer: &mut (impl AsyncWrite + Unpin), outbox: &mut UnboundedReceiver<T>) {
    let (mut batch, mut lines) = (Vec::with_capacity(BATCH), Vec::new());
    while outbox.recv_many(&mut batch, BATCH).await > 0 {
        lines.clear();
        for message in batch.drain(..) {
            if serde_json::to_writer(&mut lines, &message).is_err() {
                return;
            }
            lines.push(b'\n');
        }
        if writer.write_all(&lines).await.is_err() {
            return;
        }
    }
}
