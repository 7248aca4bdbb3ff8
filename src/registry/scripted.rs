//! A test server that sends scripted bytes, and so produces real faults.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// In place of a response: the connection is closed.
pub(super) const CLOSED: &[u8] = b"closed";

/// The heads of the received requests, in order.
type Requests = Arc<Mutex<Vec<String>>>;

/// A server on loopback, until it is dropped.
pub(super) struct ScriptedServer {
    pub(super) url: String,
    requests: Requests,
    task: tokio::task::JoinHandle<()>,
}

impl ScriptedServer {
    /// Responds to the n-th request (from 0) with the bytes that `script` returns, and closes the connection.
    pub(super) async fn start(script: impl Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        let (script, seen) = (Arc::new(script), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (script, seen) = (script.clone(), seen.clone());
                tokio::spawn(async move { answer(connection, &*script, &seen).await });
            }
        });
        ScriptedServer { url, requests, task }
    }

    /// Responds to each request with the next of these, and repeats the last.
    pub(super) async fn in_turn(answers: Vec<Vec<u8>>) -> Self {
        ScriptedServer::start(move |nth, _| answers[nth.min(answers.len() - 1)].clone()).await
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut connection: TcpStream, script: &(dyn Fn(usize, &str) -> Vec<u8> + Send + Sync), seen: &Requests) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read(&mut byte).await {
            Ok(1) => head.extend(byte),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let nth = {
        let mut seen = seen.lock().unwrap();
        seen.push(head.clone());
        seen.len() - 1
    };
    let answer = script(nth, &head);
    if answer.is_empty() {
        // Stays silent until the client gives up.
        let _ = connection.read(&mut byte).await;
        return;
    }
    if answer == CLOSED {
        return;
    }
    let _ = connection.write_all(&answer).await;
    let _ = connection.shutdown().await;
}

/// Returns the value of a request header, if it is there.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Returns the target in a request's first line.
pub(super) fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// Builds a response with these header lines.
pub(super) fn response(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Scripted\r\nConnection: close\r\n").into_bytes();
    for header in headers {
        bytes.extend(format!("{header}\r\n").bytes());
    }
    if !headers.iter().any(|header| header.starts_with("Content-Length")) && status != 304 {
        bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

pub(super) fn json(body: &str) -> Vec<u8> {
    response(200, &["Content-Type: application/json"], body.as_bytes())
}

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn gzipped(body: &[u8]) -> Vec<u8> {
    response(200, &["Content-Encoding: gzip"], &gzip(body))
}
