//! The queue of a fleet: NATS JetStream, which hands out work to the workers of many machines, and holds what they
//! share.
//!
//! Its parts: the work queue of an origin ([`WorkQueue`]), its dead letters and results; records with compare-and-swap
//! ([`Records`]); a seat that one process holds at a time ([`Seats`]); and connections between processes through the
//! server ([`pipe`]). Not here: what an item of work is, who does it, and what is shared (`pipeline`).

/// Tries until the server responds, or patience ends. Every request can be made twice. (A function that takes the attempt
/// would have to prove for any attempt that it may move between threads.)
macro_rules! patiently {
    ($queue:expr, $doing:expr, $attempt:expr) => {
        patiently!($queue, tokio::time::Instant::now() + $crate::queue::PATIENCE, $doing, $attempt)
    };
    ($queue:expr, $deadline:expr, $doing:expr, $attempt:expr) => {{
        let deadline = $deadline;
        loop {
            match $attempt {
                Ok(done) => break Ok(done),
                Err(error) => {
                    if let Err(error) = $queue.after_failure(deadline, $doing, error.into()).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}
mod address;
mod dead;
mod delivery;
pub mod pipe;
mod priority;
mod records;
mod results;
mod seat;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, Context as JetStream};
use async_nats::{Client, ConnectOptions};
use tokio::time::Instant;

pub use address::QueueAddress;
pub use dead::{DeadLetter, DeadLetters};
pub use delivery::Delivery;
pub use priority::Priority;
pub use records::Records;
pub use seat::{Leadership, Resignation, Seats};
pub use work::{Waiting, Work, WorkQueue};

use crate::error::{Error, ErrorKind, Result};

/// How long the first connection may take. A server that starts beside its workers needs some seconds.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// How long an operation is tried while the server is away: longer than a restart.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one request to the server may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// After so long without a failure the server counts as well again: longer than a request and a pause take.
const TROUBLE_LASTS: Duration = Duration::from_secs(8);
/// The hint where a server was away, or refused, for too long.
const WHEN_AWAY: &str =
    "start the server again, or give JetStream more room (max_file_store), and start this command again";
/// The hint where a server has no streams.
const HAS_NO_STREAMS: &str = "JetStream must be on: nats-server -js -sd FOLDER";
/// How long a worker may be silent about an item before another one gets it.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How long a result is kept, and how long a second item of the same content counts as the first.
const KEEP_RESULTS: Duration = Duration::from_secs(60 * 60);

/// The settings of a queue. They apply to what this process creates; what exists stays as it is.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// How long a worker may be silent about an item before another one gets it. 30 s: three heartbeats.
    pub ack_wait: Duration,
    /// How long a result is kept. 1 h.
    pub keep_results: Duration,
    /// A file of PEM certificates to trust besides the system's.
    pub cafile: Option<std::path::PathBuf>,
}

impl Default for QueueOptions {
    fn default() -> Self {
        QueueOptions { ack_wait: ACK_WAIT, keep_results: KEEP_RESULTS, cafile: None }
    }
}

/// A connection to the server of a queue. Clones share it. It survives restarts of the server.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    jetstream: JetStream,
    address: QueueAddress,
    options: QueueOptions,
    made: Mutex<Made>,
    trouble: Mutex<Option<Trouble>>,
}

/// The streams that this process has opened, to make them again if the server has lost them.
#[derive(Debug, Default)]
struct Made {
    streams: BTreeMap<String, jetstream::stream::Config>,
    /// By the names of the stream and of the consumer.
    consumers: BTreeMap<(String, String), jetstream::consumer::pull::Config>,
}

/// A time in which requests to the server fail.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
    cause: String,
}

impl Inner {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Connects to a server with JetStream.
    ///
    /// # Errors
    /// [`ErrorKind::Network`] if it cannot be reached, [`ErrorKind::Denied`] if it refuses the credentials, and
    /// [`ErrorKind::Input`] if it has no JetStream.
    pub async fn connect(address: &QueueAddress, options: QueueOptions) -> Result<Queue> {
        let deadline = Instant::now() + CONNECT_PATIENCE;
        let client = loop {
            let connected = connect_options(address, &options).connect(address.servers()).await;
            match connected {
                Ok(client) => break client,
                Err(error) if is_denied(&error) => {
                    return Err(Error::new(ErrorKind::Denied, format!("the queue {address} refuses the credentials"))
                        .hint("give them in the address: nats://user:password@host, or nats://token@host")
                        .source(error));
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(Error::network(format!("the queue {address} cannot be reached"))
                        .hint("start the server (nats-server -js), or correct the address")
                        .source(error));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .build(client.clone());
        let queue = Queue {
            inner: Arc::new(Inner {
                client,
                jetstream,
                address: address.clone(),
                options,
                made: Mutex::default(),
                trouble: Mutex::default(),
            }),
        };
        let context = &queue.inner.jetstream;
        let asked: Result<serde_json::Value> =
            patiently!(queue, deadline, "asking for JetStream", context.request("INFO", &()).await);
        match asked {
            Ok(told) if told.get("error").is_none() => Ok(queue),
            Ok(told) => {
                Err(Error::input(format!("the queue {address} has no JetStream: {}", told["error"]))
                    .hint(HAS_NO_STREAMS))
            }
            Err(error) => Err(error.hint(HAS_NO_STREAMS)),
        }
    }

    /// Returns the address, without credentials when it is printed.
    pub fn address(&self) -> &QueueAddress {
        &self.inner.address
    }

    /// Sends what is still to be sent. To call before the process ends.
    pub async fn flush(&self) {
        // A server that is away now gets nothing more from this process.
        let _ = tokio::time::timeout(REQUEST_TIMEOUT, self.inner.client.flush()).await;
    }

    /// Waits before another try; fails after the deadline.
    async fn after_failure(
        &self,
        deadline: Instant,
        doing: &str,
        error: Box<dyn std::error::Error + Send + Sync>,
    ) -> Result<()> {
        if Instant::now() >= deadline {
            let failed = Error::network(format!("the queue {} cannot be used", self.inner.address));
            return Err(failed.doing(doing.to_owned()).hint(WHEN_AWAY).source(error));
        }
        tracing::debug!(doing, %error, "the queue is tried again");
        self.note_trouble(&*error);
        tokio::time::sleep(PAUSE).await;
        // A server that has lost its streams does not make them again by itself.
        let _ = tokio::time::timeout(REQUEST_TIMEOUT, self.restore()).await;
        Ok(())
    }

    fn note_trouble(&self, cause: &(dyn std::error::Error + Send + Sync)) {
        let (now, cause) = (Instant::now(), cause.to_string());
        let mut trouble = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let before = trouble.as_ref().filter(|before| now - before.last < TROUBLE_LASTS);
        let since = before.map_or(now, |before| before.since);
        *trouble = Some(Trouble { since, last: now, cause });
    }

    /// Returns why requests to the server fail, if they have failed for as long as `worth_saying`.
    pub fn trouble(&self, worth_saying: Duration) -> Option<String> {
        let trouble = self.inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting =
            |trouble: &&Trouble| trouble.last.elapsed() < TROUBLE_LASTS && trouble.last - trouble.since >= worth_saying;
        trouble.as_ref().filter(lasting).map(|trouble| trouble.cause.clone())
    }

    /// Makes streams and consumers again that are gone.
    async fn restore(&self) -> std::result::Result<(), async_nats::Error> {
        let (streams, consumers) = {
            let made = self.inner.made();
            (made.streams.clone(), made.consumers.clone())
        };
        for config in streams.into_values() {
            self.inner.jetstream.get_or_create_stream(config).await?;
        }
        for ((stream, name), config) in consumers {
            let stream = self.inner.jetstream.get_stream(stream).await?;
            stream.get_or_create_consumer(&name, config).await?;
        }
        Ok(())
    }
}

fn connect_options(address: &QueueAddress, options: &QueueOptions) -> ConnectOptions {
    let mut connect = ConnectOptions::new()
        .name(concat!("all-docs/", env!("CARGO_PKG_VERSION")))
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(Duration::from_secs(5))
        .max_reconnects(None)
        // A restart takes a second or so; a client must not find out much later.
        .reconnect_delay_callback(|attempts| PAUSE.saturating_mul(u32::try_from(attempts).unwrap_or(10).min(10)))
        .require_tls(address.needs_tls());
    if let Some(cafile) = &options.cafile {
        connect = connect.add_root_certificates(cafile.clone());
    }
    match address.credentials() {
        address::Credentials::None => connect,
        address::Credentials::Token(token) => connect.token(token.clone()),
        address::Credentials::User(user, password) => connect.user_and_password(user.clone(), password.clone()),
    }
}

fn is_denied(error: &async_nats::ConnectError) -> bool {
    use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation};
    matches!(error.kind(), Authentication | AuthorizationViolation)
}
