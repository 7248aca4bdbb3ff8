//! A NATS server for tests: the real one, on a free port of loopback, with a folder of its own.

#![allow(clippy::print_stderr)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// A server that ends with its owner.
pub struct NatsServer {
    folder: tempfile::TempDir,
    port: u16,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server; `None`, with a word about it, if the variable does not name one.
    pub fn start() -> Option<NatsServer> {
        NatsServer::start_with(&[])
    }

    /// Starts a server with more arguments.
    pub fn start_with(arguments: &[&str]) -> Option<NatsServer> {
        if std::env::var_os("ALL_DOCS_NATS").is_none() {
            let is_required = std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_some();
            assert!(!is_required, "ALL_DOCS_NATS is not set");
            eprintln!("skipped: ALL_DOCS_NATS does not name a nats-server");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = NatsServer { folder, port, arguments, process: None };
        server.begin();
        Some(server)
    }

    /// Starts it, or starts it again on the same port with what it has stored.
    pub fn begin(&mut self) {
        let program = std::env::var_os("ALL_DOCS_NATS").expect("ALL_DOCS_NATS");
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let started = Command::new(program)
            .args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"])
            .arg(self.folder.path().join("store"))
            .args(&self.arguments)
            .stderr(Stdio::from(log))
            .spawn();
        self.process = Some(started.expect("nats-server starts"));
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            std::thread::yield_now();
        }
    }

    /// Kills it. Everything that it has confirmed is on its disk.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Kills it and starts it again without what it has stored.
    #[allow(dead_code, reason = "not by all tests")]
    pub fn lose(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("store")).expect("a folder");
        self.begin();
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
