//! The format of standard error.

use std::ffi::OsString;

use clap::ValueEnum;
use tracing::Level;

/// The format of the lines on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object per line: events, notes, warnings, progress and errors
    Json,
}

/// Returns whether a command line that cannot be parsed asks for JSON.
pub(super) fn is_json(command_line: &[OsString]) -> bool {
    let words = || command_line.iter().filter_map(|word| word.to_str());
    let last = words().zip(words().skip(1)).filter(|(before, _)| *before == "--log-format").map(|(_, format)| format);
    let joined = words().filter_map(|word| word.strip_prefix("--log-format="));
    match last.chain(joined).last() {
        Some(format) => format == "json",
        None => std::env::var("ALL_DOCS_LOG_FORMAT").is_ok_and(|format| format == "json"),
    }
}

/// Returns a note, warning or error as a JSON object with the members of an event.
pub(super) fn json_line(level: Level, message: &str) -> String {
    let timestamp = jiff::Timestamp::now().to_string();
    serde_json::json!({ "timestamp": timestamp, "level": level.as_str(), "message": message, "target": "all_docs" })
        .to_string()
}
