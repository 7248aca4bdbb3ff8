//! HTTP/1.1 as far as the doubles need it: one request a connection, over loopback.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Longer than any honest response takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// The path and the query, as they were sent.
    pub target: String,
    /// The names are in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns the path without percent encoding.
    pub fn name(&self) -> String {
        percent_encoding::percent_decode_str(self.path()).decode_utf8_lossy().into_owned()
    }

    /// Returns whether the query has a parameter.
    pub fn has_parameter(&self, name: &str) -> bool {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|part| part.split('=').next() == Some(name))
    }

    /// Returns the bytes of the body.
    pub fn body_bytes(&self) -> usize {
        self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default()
    }

    /// Reads the head of a request.
    pub fn read(stream: &mut impl BufRead) -> io::Result<Request> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.trim_end().is_empty() {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let mut words = lines.first().ok_or(io::ErrorKind::InvalidData)?.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers = lines[1..].iter().filter_map(|line| line.split_once(':'));
        Ok(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned())).collect(),
        })
    }

    /// Sends the request to a server, as the last one of its connection, and returns the bytes of the response.
    pub fn send(&self, server: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (key, value) in self.headers.iter().filter(|(key, _)| key != "connection") {
            head += &format!("{key}: {value}\r\n");
        }
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
        stream.write_all(body)?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        Ok(response)
    }
}

/// Sends a request of the test itself. Returns the status and the body, which must not come in chunks.
pub fn ask(server: &str, method: &str, target: &str) -> (u16, String) {
    let headers = vec![("host".to_owned(), server.to_owned()), ("content-length".to_owned(), "0".to_owned())];
    let request = Request { method: method.to_owned(), target: target.to_owned(), headers };
    let response = request.send(server, &[]).unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (status_of(&response), String::from_utf8_lossy(&response[end + 4..]).into_owned())
}

/// Returns the status in the bytes of a response; 0 if there is none.
pub fn status_of(response: &[u8]) -> u16 {
    let head = String::from_utf8_lossy(&response[..response.len().min(64)]).into_owned();
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Reads the body of a request.
pub fn read_body(stream: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; bytes];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// Ends a connection after all that was written has been sent.
pub fn end(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
}

/// Returns a reader of a connection that gives up when nothing comes.
pub fn reader(stream: &TcpStream) -> io::Result<BufReader<TcpStream>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream.try_clone()?))
}
