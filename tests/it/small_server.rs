//! A registry in a few lines, whose responses depend on the headers and the number of a request.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request: its path without the query, and its `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
}

/// The status and the body of a response; `None` for the usual one.
pub type Reply = Option<(u16, String)>;

/// The script of a server: gets a request, and its number among those for documents.
type Script = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// A registry of some names, until the test ends.
pub struct SmallServer {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    script: Arc<Mutex<Box<Script>>>,
}

impl SmallServer {
    /// Serves a document of each name; `script` may respond otherwise.
    pub fn start(names: &[String], script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> SmallServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let (seen, played, mut names) = (Arc::clone(&asked), Arc::clone(&script), names.to_vec());
        names.sort();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (seen, played, names) = (Arc::clone(&seen), Arc::clone(&played), names.clone());
                std::thread::spawn(move || serve(connection, &names, &seen, &played));
            }
        });
        SmallServer { url, asked, script }
    }

    /// Plays another script from now on.
    pub fn play(&self, script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Returns the requests since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Returns the paths of the documents that were requested since the last call, sorted.
    pub fn take_documents(&self) -> Vec<String> {
        let paths = self.take_asked().into_iter().map(|asked| asked.path).filter(|path| is_document(path));
        let mut paths: Vec<String> = paths.collect();
        paths.sort();
        paths
    }
}

pub fn is_document(path: &str) -> bool {
    path != "/" && path != "/_all_docs"
}

/// Responds to the requests of a connection, one after the other.
fn serve(mut connection: TcpStream, names: &[String], seen: &Mutex<Vec<Asked>>, script: &Mutex<Box<Script>>) {
    let mut lines = BufReader::new(connection.try_clone().unwrap());
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let target = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
        let header = |name: &str| {
            head.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let asked = Asked { path, authorization: header("authorization") };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(asked.clone());
            seen.iter().filter(|asked| is_document(&asked.path)).count()
        };
        let reply = script.lock().unwrap()(&asked, number);
        let (status, body) = reply.unwrap_or_else(|| usual(&target, &asked.path, names));
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
        if connection.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn usual(target: &str, path: &str, names: &[String]) -> (u16, String) {
    match path {
        "/" => (200, format!(r#"{{"db_name":"registry","doc_count":{},"update_seq":1}}"#, names.len())),
        "/_all_docs" => (200, page(target, names)),
        _ => {
            let name = percent_encoding::percent_decode_str(&path[1..]).decode_utf8_lossy().into_owned();
            match names.contains(&name) {
                true => (200, format!(r#"{{"_id":"{name}","_rev":"1-a","name":"{name}","versions":{{}}}}"#)),
                false => (404, r#"{"error":"Not found"}"#.to_owned()),
            }
        }
    }
}

fn page(target: &str, names: &[String]) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let value = |key: &str| {
        let text = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))?;
        let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some(text.trim_matches('"').to_owned())
    };
    let (start, end) = (value("startkey").unwrap_or_default(), value("endkey"));
    let limit: usize = value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(1_000);
    let offset = names.iter().filter(|name| **name < start).count();
    let rows = names.iter().filter(|name| **name >= start && end.as_ref().is_none_or(|end| *name < end));
    let row = |name: &String| format!(r#"{{"id":"{name}","key":"{name}","value":{{"rev":"1-a"}}}}"#);
    let rows: Vec<String> = rows.take(limit).map(row).collect();
    format!(r#"{{"total_rows":{},"offset":{offset},"rows":[{}]}}"#, names.len(), rows.join(","))
}
