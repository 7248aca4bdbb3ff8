//! The options about events: where they are delivered, and how long they are kept.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::printer::Printer;
use crate::error::{Context, ErrorKind, Result};
use crate::pipeline::{EventOutput, EventSettings};
use crate::registry::Registry;

#[derive(Debug, clap::Args)]
pub(super) struct EventArgs {
    /// Print each event as a line of JSON on standard output while it happens: `-`
    #[arg(long, value_name = "-", value_parser = ["-"])]
    events: Option<String>,
    /// Append each event as a line of JSON to this file
    #[arg(long, value_name = "FILE")]
    events_file: Option<PathBuf>,
    /// Post the events to this address as JSON: {"events": […]}; a request that is not accepted is sent again
    #[arg(long, value_name = "URL", env = "ALL_DOCS_WEBHOOK", hide_env_values = true)]
    webhook: Option<String>,
    /// Sign each request to the webhook with this secret; docs/events.md shows how to check the signature
    #[arg(long, value_name = "SECRET", env = "ALL_DOCS_WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: Option<String>,
    /// Remove the events of days that are older than so many days, as 90d [default: keep all]
    #[arg(long, value_name = "DAYS", value_parser = days)]
    keep_events: Option<u32>,
}

impl EventArgs {
    /// Returns whether events go to standard output.
    pub(super) fn prints(&self) -> bool {
        self.events.is_some()
    }

    /// Opens the outputs. Fails, of kind Input, for a file that cannot be written and an address that is none.
    pub(super) fn settings(&self, registry: &Registry, printer: &Printer) -> Result<EventSettings> {
        let mut outputs = Vec::new();
        if self.prints() {
            outputs.push(EventOutput::Lines { name: "standard output".to_owned(), lines: printer.lines() });
        }
        if let Some(path) = &self.events_file {
            let name = path.display().to_string();
            let file = std::fs::File::options().create(true).append(true).open(path);
            let file = file.or_error(ErrorKind::Input, || format!("cannot write {name}"))?;
            outputs.push(EventOutput::Lines { name, lines: Box::new(std::io::BufWriter::new(file)) });
        }
        if let Some(url) = &self.webhook {
            outputs.push(EventOutput::Webhook(Box::new(registry.webhook(url, self.webhook_secret.clone())?)));
        }
        Ok(EventSettings { outputs: Arc::new(Mutex::new(outputs)), keep_days: self.keep_events })
    }
}

/// Parses a number of days: `90d`.
pub(super) fn days(text: &str) -> std::result::Result<u32, String> {
    let number = text.strip_suffix('d').and_then(|number| number.parse().ok());
    number.filter(|days| *days > 0).ok_or_else(|| "give it in days, as 90d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn days_have_a_unit() {
        assert_eq!(days("90d"), Ok(90));
        for bad in ["90", "0d", "-1d", "d", "1h", "1.5d"] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }
}
