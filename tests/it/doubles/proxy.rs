//! A proxy before a store: it records the requests, fails some of them as a script says, or slows all of them down.
//!
//! It serves one request a connection, and keeps a request and its response whole in memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::http::{self, Request};

/// An operation on a store, by which stores bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Put,
    /// A put that demands that there is no object.
    Create,
    /// A put that demands that the object is a certain one.
    Update,
    Get,
    Head,
    List,
    Delete,
    MultipartCreate,
    MultipartPart,
    MultipartComplete,
    MultipartAbort,
    /// Anything else.
    Other,
}

impl Operation {
    pub fn of(request: &Request) -> Operation {
        let has = |name: &str| request.has_parameter(name);
        let is_bucket = request.path().trim_matches('/').split('/').count() < 2;
        match (request.method.as_str(), request.header("x-goog-if-generation-match")) {
            ("PUT", _) if has("uploadId") => Operation::MultipartPart,
            ("POST", _) if has("uploadId") => Operation::MultipartComplete,
            ("DELETE", _) if has("uploadId") => Operation::MultipartAbort,
            ("POST", _) if has("uploads") => Operation::MultipartCreate,
            ("POST", _) if has("delete") => Operation::Delete,
            ("GET", _) if is_bucket => Operation::List,
            ("PUT", Some("0")) => Operation::Create,
            ("PUT", None) if request.header("if-none-match") == Some("*") => Operation::Create,
            ("PUT", Some(_)) => Operation::Update,
            ("PUT", None) if request.header("if-match").is_some() => Operation::Update,
            ("PUT", None) if !is_bucket => Operation::Put,
            ("GET", _) => Operation::Get,
            ("HEAD", _) => Operation::Head,
            ("DELETE", _) => Operation::Delete,
            _ => Operation::Other,
        }
    }
}

/// A request that reached the proxy.
#[derive(Debug, Clone)]
pub struct Passed {
    pub operation: Operation,
    /// The path and the query, as they were sent.
    pub target: String,
    /// The status that the client received, 0 if it received none.
    pub status: u16,
    pub fault: Option<Fault>,
    /// The bytes of the bodies.
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// When the request had come.
    pub at: Instant,
}

/// A failure of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store refuses it with this status and code, and does nothing.
    Refuse(u16, &'static str),
    /// The connection ends before the store has seen it.
    Reset,
    /// The store does it, and the connection ends without the response.
    LoseResponse,
    /// The store does it, and the connection ends in the middle of the response's body.
    CutResponse,
}

impl Fault {
    pub const UNAVAILABLE: Fault = Fault::Refuse(503, "ServiceUnavailable");
    pub const INTERNAL: Fault = Fault::Refuse(500, "InternalError");
    pub const SLOW_DOWN: Fault = Fault::Refuse(429, "SlowDown");
    /// All kinds.
    pub const ALL: [Fault; 6] =
        [Fault::UNAVAILABLE, Fault::INTERNAL, Fault::SLOW_DOWN, Fault::Reset, Fault::LoseResponse, Fault::CutResponse];
}

/// Says for each request how it fails.
type Script = dyn FnMut(Operation, &Request) -> Option<Fault> + Send;

/// The speed of a store that is far away.
#[derive(Debug, Clone, Copy)]
pub struct Distance {
    /// The time from the last byte of a request to the first of its response.
    pub latency: Duration,
    /// The bytes a second of one connection, in each direction.
    pub bytes_per_second: f64,
}

/// A running proxy. It accepts no connection after it is dropped.
pub struct Proxy {
    /// Without a slash at the end.
    pub url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    store: String,
    script: Mutex<Box<Script>>,
    passed: Mutex<Vec<Passed>>,
    distance: Option<Distance>,
    is_over: AtomicBool,
}

impl Proxy {
    /// Starts a proxy before the store at `url`. It passes everything until it is told otherwise.
    pub fn start(url: &str) -> Proxy {
        Proxy::begin(url, None)
    }

    /// Starts a proxy that makes the store at `url` far away.
    pub fn start_far(url: &str, distance: Distance) -> Proxy {
        Proxy::begin(url, Some(distance))
    }

    fn begin(url: &str, distance: Option<Distance>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            store: url.trim_start_matches("http://").to_owned(),
            script: Mutex::new(Box::new(|_, _| None)),
            passed: Mutex::default(),
            distance,
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&accepting);
                // A client that goes away is no failure of the proxy.
                std::thread::spawn(move || drop(shared.serve(&connection)));
            }
        });
        Proxy { url: format!("http://{address}"), address, shared }
    }

    /// Plays another script from now on.
    pub fn play(&self, script: impl FnMut(Operation, &Request) -> Option<Fault> + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// From now on, fails this share of the requests, in all ways, as chance has it.
    pub fn fail_some(&self, share: f64, seed: u64) {
        let mut chance = fastrand::Rng::with_seed(seed);
        self.play(move |_, _| (chance.f64() < share).then(|| Fault::ALL[chance.usize(..Fault::ALL.len())]));
    }

    /// Holds the first request that `is_it` says true of, and all after it, until they are let go. It gets the operation
    /// and the name of the object.
    pub fn hold(&self, is_it: impl Fn(Operation, &str) -> bool + Send + 'static) -> Held {
        let (tell, reached) = mpsc::channel();
        let (let_go, told) = mpsc::channel();
        let mut held = Some((tell, told));
        // Requests wait for the script, so while it waits all do.
        self.play(move |operation, request| {
            if !is_it(operation, &request.name()) {
                return None;
            }
            let (tell, told) = held.take()?;
            // A test that has failed waits no more.
            let _ = tell.send(());
            told.recv().unwrap_or_default()
        });
        Held { reached, let_go }
    }

    /// Returns the requests since the last call, in the order in which their responses ended.
    pub fn take_passed(&self) -> Vec<Passed> {
        std::mem::take(&mut *self.shared.passed.lock().unwrap())
    }
}

/// Requests that wait at the proxy.
pub struct Held {
    reached: mpsc::Receiver<()>,
    let_go: mpsc::Sender<Option<Fault>>,
}

impl Held {
    /// Returns whether the request has come, for the first time that it is asked since then.
    pub fn has_come(&self) -> bool {
        self.reached.try_recv().is_ok()
    }

    /// Lets all of them go, and the first with a fault or without.
    pub fn let_go(self, fault: Option<Fault>) {
        let _ = self.let_go.send(fault);
    }
}

/// Returns how many requests of each operation there were.
pub fn counts(passed: &[Passed]) -> BTreeMap<Operation, usize> {
    let mut counts = BTreeMap::new();
    for passed in passed {
        *counts.entry(passed.operation).or_default() += 1;
    }
    counts
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut stream = http::reader(connection)?;
        let request = Request::read(&mut stream)?;
        assert!(request.header("transfer-encoding").is_none(), "a body in chunks is not supported: {request:?}");
        let operation = Operation::of(&request);
        let fault = self.script.lock().unwrap()(operation, &request);
        let mut passed = Passed {
            operation,
            target: request.target.clone(),
            status: 0,
            fault,
            sent_bytes: request.body_bytes() as u64,
            received_bytes: 0,
            at: Instant::now(),
        };
        // The body is not read, so the system resets the connection.
        let response = match fault {
            Some(Fault::Reset) => Vec::new(),
            Some(Fault::Refuse(status, code)) => {
                http::read_body(&mut stream, request.body_bytes())?;
                let text =
                    format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>scripted</Message></Error>");
                let head = format!("HTTP/1.1 {status} Scripted\r\ncontent-type: application/xml\r\nconnection: close");
                format!("{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes()
            }
            _ => {
                let body = http::read_body(&mut stream, request.body_bytes())?;
                self.wait(body.len(), true);
                request.send(&self.store, &body)?
            }
        };
        let head_bytes = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(0, |end| end + 4);
        let sent = match fault {
            Some(Fault::LoseResponse) => &[],
            Some(Fault::CutResponse) => &response[..head_bytes + (response.len() - head_bytes) / 2],
            _ => &response[..],
        };
        passed.status = http::status_of(sent);
        passed.received_bytes = sent.len().saturating_sub(head_bytes) as u64;
        self.passed.lock().unwrap().push(passed);
        for bytes in sent.chunks(PIECE_BYTES) {
            let mut connection = connection;
            connection.write_all(bytes)?;
            self.wait(bytes.len(), false);
        }
        if sent.len() == response.len() {
            http::end(connection);
        }
        Ok(())
    }

    /// Takes the time that some bytes need, and with `turns` the time that a response needs to begin.
    fn wait(&self, bytes: usize, turns: bool) {
        if let Some(distance) = self.distance {
            let latency = if turns { distance.latency } else { Duration::ZERO };
            std::thread::sleep(latency + Duration::from_secs_f64(bytes as f64 / distance.bytes_per_second));
        }
    }
}

/// The bytes that are sent at once.
const PIECE_BYTES: usize = 256 << 10;
