//! Connections between two processes, through the server of the queue.
//!
//! A piece carries its number. A process ends the connection if a piece is missing, as after a restart of the server, or
//! if it hears nothing for a while, because the server does not report a dead process. The user of a connection then
//! connects again, and it must send something every other second.

use std::io;
use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

use super::Queue;

/// The bytes of the number of a piece.
const NUMBER_BYTES: usize = 8;
/// The largest piece, and the bytes that wait to be read.
const PIECE_BYTES: usize = 64 << 10;
/// A connection on which nothing arrives for so long is over.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the other process has to respond.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a process accepts connections.
#[derive(Debug)]
pub struct Listener {
    subject: Subject,
    accepted: UnboundedReceiver<DuplexStream>,
    _answers: AbortOnDropHandle<()>,
}

impl Queue {
    /// Accepts connections from now on.
    pub async fn listen(&self) -> io::Result<Listener> {
        let client = self.inner.client.clone();
        let subject = Subject::from(client.new_inbox());
        let callers = client.subscribe(subject.clone()).await.map_err(io::Error::other)?;
        // A process that learns the subject must be able to reach it. A flush that a restart of the server meets may never end.
        let flushed = tokio::time::timeout(ANSWER_TIMEOUT, client.flush()).await;
        flushed.map_err(|_| io::ErrorKind::TimedOut)?.map_err(io::Error::other)?;
        let (accept, accepted) = unbounded_channel();
        // A task of its own: who waits for a connection may stop waiting in between.
        let answers = AbortOnDropHandle::new(tokio::spawn(answer(client, callers, accept)));
        Ok(Listener { subject, accepted, _answers: answers })
    }

    /// Connects to the process that listens at this address.
    pub async fn dial(&self, address: &str) -> io::Result<DuplexStream> {
        let client = self.inner.client.clone();
        let own = Subject::from(client.new_inbox());
        let hears = client.subscribe(own.clone()).await.map_err(io::Error::other)?;
        let asked = client.request(address.to_owned(), Bytes::copy_from_slice(own.as_bytes()));
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, asked).await;
        let answer = answer.map_err(|_| io::ErrorKind::TimedOut)?.map_err(io::Error::other)?;
        let to = String::from_utf8(answer.payload.to_vec()).map_err(io::Error::other)?;
        Ok(join(client, hears, to.into()))
    }
}

impl Listener {
    /// Where other processes reach it.
    pub fn address(&self) -> String {
        self.subject.to_string()
    }

    /// Waits for a connection. May be cancelled. Fails when no more can come.
    pub async fn accept(&mut self) -> io::Result<DuplexStream> {
        self.accepted.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

async fn answer(client: Client, mut callers: Subscriber, accept: UnboundedSender<DuplexStream>) {
    while let Some(call) = callers.next().await {
        let (Some(reply), Ok(to)) = (call.reply, String::from_utf8(call.payload.to_vec())) else { continue };
        let own = Subject::from(client.new_inbox());
        let Ok(hears) = client.subscribe(own.clone()).await else { continue };
        // A caller that gets no answer calls again.
        if client.publish(reply, Bytes::copy_from_slice(own.as_bytes())).await.is_ok() {
            let _ = accept.send(join(client.clone(), hears, to.into()));
        }
    }
}

/// Returns this process's end of a connection.
fn join(client: Client, hears: Subscriber, to: Subject) -> DuplexStream {
    let (near, far) = tokio::io::duplex(PIECE_BYTES);
    tokio::spawn(carry(client, hears, to, far));
    near
}

async fn carry(client: Client, mut hears: Subscriber, to: Subject, far: DuplexStream) {
    let (mut reader, mut writer) = tokio::io::split(far);
    let send = async {
        let mut piece = BytesMut::new();
        for number in 0_u64.. {
            piece.reserve(PIECE_BYTES);
            piece.put_u64_le(number);
            let is_over = !matches!(reader.read_buf(&mut piece).await, Ok(1..));
            // A piece without bytes is the last.
            let sent = client.publish(to.clone(), piece.split().freeze()).await;
            if is_over || sent.is_err() {
                return;
            }
        }
    };
    let receive = async {
        for number in 0_u64.. {
            let Ok(Some(message)) = tokio::time::timeout(SILENCE, hears.next()).await else { return };
            let Some((found, bytes)) = message.payload.split_first_chunk::<NUMBER_BYTES>() else { return };
            if u64::from_le_bytes(*found) != number || bytes.is_empty() || writer.write_all(bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
    }
}
