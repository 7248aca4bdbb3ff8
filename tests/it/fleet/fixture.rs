use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use all_docs::lake::OriginInfo;
use all_docs::pipeline::{IngestOptions, PartitionMode};
use serde_json::Value;

use crate::support::{Env, ORIGIN, all_docs};

/// A worker that runs, until it is dropped.
pub struct Worker {
    pub child: Child,
    pub address: String,
    lines: BufReader<ChildStderr>,
}

/// A reply of a worker.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Value,
    pub text: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<String> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }

    pub fn is_kept(&self) -> bool {
        self.header("x-all-docs-kept").is_some()
    }
}

impl Worker {
    /// Starts a worker of the registry and the lake of `env`.
    pub fn start(env: &Env, arguments: &[&str]) -> Worker {
        Worker::start_in(env, env, arguments)
    }

    /// Starts a worker of the lake of `place` and the registry of `env`.
    pub fn start_in(place: &Env, env: &Env, arguments: &[&str]) -> Worker {
        let mut command = all_docs(place.folder.path());
        command.env_remove("PORT").args(["worker", "--listen", "127.0.0.1:0", "--origin"]);
        command.arg(format!("{ORIGIN}={}", env.server.url())).args(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the worker ended: {all}");
            if let Some((_, rest)) = line.split_once("at http://") {
                let address = rest.split(',').next().unwrap().trim().to_owned();
                return Worker { child, address, lines };
            }
            all.push_str(&line);
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Posts an item of a kind.
    pub fn post(&self, kind: &str, item: &Value) -> Reply {
        self.post_text(&format!("/work/{kind}"), &[], &item.to_string())
    }

    pub fn post_text(&self, path: &str, headers: &[&str], body: &str) -> Reply {
        read_reply(send(&self.address, path, headers, body.as_bytes()))
    }

    pub fn get(&self, path: &str) -> Reply {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        read_reply(stream)
    }

    /// Kills it as the system does: it hands back nothing.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and returns its exit code and the rest of what it said.
    #[cfg(unix)]
    pub fn terminate(&mut self) -> (Option<i32>, String) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request with a body, and returns the connection on which its reply arrives.
pub fn send(address: &str, path: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a long body does not read all of it.
    let _ = stream.write_all(body);
    stream
}

pub fn read_reply(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {text:?}"));
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
        text: body.to_owned(),
    }
}

/// Returns the binary with the arguments to ingest by these workers.
pub fn dispatcher(env: &Env, pivots: &[&str], workers: &[Worker], arguments: &[&str]) -> Command {
    let file = env.folder.path().join("pivots.json");
    std::fs::write(&file, serde_json::to_string(pivots).unwrap()).unwrap();
    let urls: Vec<String> = workers.iter().map(Worker::url).collect();
    let mut command = all_docs(env.folder.path());
    command.args(["ingest", "--partitions", "exact", "--workers", &urls.join(","), "--origin"]);
    command.arg(format!("{ORIGIN}={}", env.server.url())).arg("--pivots").arg(file).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ingests by these workers, to the end.
pub fn dispatch(env: &Env, pivots: &[&str], workers: &[Worker], arguments: &[&str]) -> Output {
    dispatcher(env, pivots, workers, arguments).output().unwrap()
}

/// Returns the options of an ingest by derived partitions of 100 rows.
pub fn fleet_options(env: &Env) -> IngestOptions {
    let rows_per_partition = std::num::NonZeroU64::new(100).unwrap();
    IngestOptions {
        partitions: PartitionMode::Derived { rows_per_partition },
        ..IngestOptions::new(
            env.store(),
            env.registry(),
            OriginInfo { replicate_url: ORIGIN.to_owned(), registry_url: ORIGIN.to_owned() },
        )
    }
}
