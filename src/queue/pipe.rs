//! Connections between two processes, through the server of the queue.
//!
//! A piece carries its number. A process that misses one, as by a restart of the server, ends the connection: what uses
//! it connects again.

use std::io;
use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::Queue;

/// The bytes of the number of a piece.
const NUMBER_BYTES: usize = 8;
/// The largest piece, and the bytes that wait to be read.
const PIECE_BYTES: usize = 64 << 10;
/// How long the other process has to respond.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a process accepts connections.
#[derive(Debug)]
pub struct Listener {
    client: Client,
    subject: Subject,
    callers: Subscriber,
}

impl Queue {
    /// Accepts connections from now on.
    pub async fn listen(&self) -> io::Result<Listener> {
        let client = self.inner.client.clone();
        let subject = Subject::from(client.new_inbox());
        let callers = client.subscribe(subject.clone()).await.map_err(io::Error::other)?;
        // A process that learns the subject must be able to reach it.
        client.flush().await.map_err(io::Error::other)?;
        Ok(Listener { client, subject, callers })
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

    /// Waits for a connection. Fails when no more can come.
    pub async fn accept(&mut self) -> io::Result<DuplexStream> {
        loop {
            let Some(call) = self.callers.next().await else { return Err(io::ErrorKind::NotConnected.into()) };
            let (Some(reply), Ok(to)) = (call.reply, String::from_utf8(call.payload.to_vec())) else { continue };
            let own = Subject::from(self.client.new_inbox());
            let hears = self.client.subscribe(own.clone()).await.map_err(io::Error::other)?;
            let answered = self.client.publish(reply, Bytes::copy_from_slice(own.as_bytes())).await;
            answered.map_err(io::Error::other)?;
            return Ok(join(self.client.clone(), hears, to.into()));
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
            let Some(message) = hears.next().await else { return };
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
