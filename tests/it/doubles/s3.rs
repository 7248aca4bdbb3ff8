//! S3: `moto` in a process of its own, which `tests/tools/s3_server.py` starts. All tests of a binary share it; each has a
//! bucket of its own. It ends with the process of the tests, also when that is killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::http;

/// The exit code of the script where Python has no moto.
const NO_MOTO: i32 = 3;

/// A bucket of S3.
pub struct S3 {
    /// Without a slash at the end.
    pub url: String,
    pub bucket: String,
}

struct Server {
    url: String,
    /// It ends when its input ends: when this is dropped, or the process is gone.
    _child: Child,
}

impl S3 {
    /// Creates a bucket. Returns `None`, with a notice, where no Python has moto. CI fails then.
    pub fn start(bucket: &str) -> Option<S3> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        let server = SERVER.get_or_init(Server::start).as_ref();
        let Some(server) = server else {
            let required = std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_some();
            assert!(!required, "ALL_DOCS_PYTHON is not a Python with moto[server]");
            eprintln!("skipped: set ALL_DOCS_PYTHON to a Python with tests/tools/requirements.txt installed, for moto");
            return None;
        };
        let s3 = S3 { url: server.url.clone(), bucket: bucket.to_owned() };
        let (status, body) = s3.ask("PUT", "");
        assert_eq!(status, 200, "{body}");
        Some(s3)
    }

    /// Returns the names of the multipart uploads that were neither completed nor aborted.
    pub fn begun_uploads(&self) -> Vec<String> {
        let (status, body) = self.ask("GET", "?uploads");
        assert_eq!(status, 200, "{body}");
        let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    /// Sends a request about the bucket. Returns the status and the body.
    fn ask(&self, method: &str, query: &str) -> (u16, String) {
        http::ask(self.url.trim_start_matches("http://"), method, &format!("/{}{query}", self.bucket))
    }
}

impl Server {
    fn start() -> Option<Server> {
        let python = PathBuf::from(std::env::var_os("ALL_DOCS_PYTHON")?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/s3_server.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            assert_eq!(child.wait().unwrap().code(), Some(NO_MOTO), "the server of S3 does not start");
            return None;
        }
        Some(Server { url: format!("http://127.0.0.1:{}", line.trim()), _child: child })
    }
}
