//! The format of standard error.

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

/// Returns a note, warning or error as a JSON object with the members of an event.
pub(super) fn json_line(level: Level, message: &str) -> String {
    let timestamp = jiff::Timestamp::now().to_string();
    serde_json::json!({ "timestamp": timestamp, "level": level.as_str(), "message": message, "target": "all_docs" })
        .to_string()
}
