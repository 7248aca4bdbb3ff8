//! DuckDB as a separate process that runs statements, on one thread. `duckdb_answers.py` is the other end.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A process that queries the shards of one origin.
pub struct DuckDb {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(serde::Deserialize)]
struct Answer {
    seconds: f64,
    difference: Option<String>,
}

impl DuckDb {
    /// Starts it on an origin's folder of a lake. Returns `None` if the environment names no Python.
    pub fn start(origin: &Path) -> Option<DuckDb> {
        let python = std::env::var_os("ALL_DOCS_PYTHON")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/support/duckdb_answers.py");
        let mut command = Command::new(python);
        command.arg(script).arg(origin).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(DuckDb { child, questions, answers })
    }

    /// Returns the time of a statement there, including all of its rows as Arrow.
    pub fn ask(&mut self, sql: &str) -> Duration {
        Duration::from_secs_f64(self.send(sql, None).seconds)
    }

    /// Returns the difference between its result and a Parquet file's rows.
    pub fn compare(&mut self, sql: &str, ours: &tempfile::NamedTempFile) -> Option<String> {
        self.send(sql, Some(ours.path())).difference
    }

    fn send(&mut self, sql: &str, ours: Option<&Path>) -> Answer {
        let sql = sql.replace("{once}", "materialized");
        writeln!(self.questions, "{}", serde_json::json!({ "sql": sql, "ours": ours })).unwrap();
        self.questions.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
