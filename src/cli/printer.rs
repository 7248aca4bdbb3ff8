//! The only module that prints. It writes results to standard output and all else to standard error.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing::Level;

use super::log_format::{self, LogFormat};
use crate::error::{Context, Error, ErrorKind, Result};

/// Prints for one process. Cheap to clone; clones share the terminal.
#[derive(Clone)]
pub(super) struct Printer {
    quiet: bool,
    format: LogFormat,
    bars: MultiProgress,
}

impl Printer {
    /// Creates a printer. A quiet one prints results and errors only.
    pub(super) fn new(quiet: bool, format: LogFormat) -> Self {
        Printer { quiet, format, bars: MultiProgress::new() }
    }

    /// Whether notes and progress are suppressed.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether progress bars have a place: standard error is a terminal, and it gets text.
    pub(super) fn shows_bars(&self) -> bool {
        self.format == LogFormat::Text && io::stderr().is_terminal()
    }

    #[cfg(feature = "query")]
    /// Returns the width in columns of the terminal that results go to; `None` if they do not go to a terminal.
    pub(super) fn stdout_width(&self) -> Option<u16> {
        if !io::stdout().is_terminal() {
            return None;
        }
        let (_, columns) = console::Term::stdout().size();
        Some(columns)
    }

    /// Returns the progress bars. Notes suspend them.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints a line on standard error, unless quiet.
    pub(super) fn note(&self, line: &str) {
        if !self.quiet {
            self.tell(Level::INFO, line);
        }
    }

    /// Prints a warning on standard error, unless quiet. A script reads the exit code, and a warning often repeats
    /// every day.
    pub(super) fn warn(&self, line: &str) {
        if !self.quiet {
            self.tell(Level::WARN, line);
        }
    }

    /// Prints a line of a question on standard error, also when quiet, because the user must answer it.
    pub(super) fn ask(&self, line: &str) {
        self.tell(Level::INFO, line);
    }

    /// Prints an error with its full report.
    pub(super) fn error(&self, error: &Error) {
        self.tell(Level::ERROR, &error.report());
    }

    /// Prints a line on standard error, in the format that was asked for.
    fn tell(&self, level: Level, line: &str) {
        match (self.format, level) {
            (LogFormat::Json, _) => self.print_error_line(&log_format::json_line(level, line)),
            (LogFormat::Text, Level::ERROR) => self.print_error_line(&format!("error: {line}")),
            (LogFormat::Text, Level::WARN) => self.print_error_line(&format!("warning: {line}")),
            (LogFormat::Text, _) => self.print_error_line(line),
        }
    }

    /// Prints a line on standard error. The work continues if nobody reads it any more. Characters that move the cursor
    /// or change the colour are replaced, because anyone may have written the text.
    fn print_error_line(&self, line: &str) {
        let is_plain = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
        let line: String = line.chars().map(|letter| if is_plain(&letter) { letter } else { '\u{fffd}' }).collect();
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// Returns a writer for one event, which is a line.
    pub(super) fn event_writer(&self) -> EventWriter {
        EventWriter { printer: self.clone() }
    }

    /// Returns a writer to standard output, for lines while they come. A reader that closed the pipe is an error.
    pub(super) fn lines(&self) -> Box<dyn Write + Send> {
        Box::new(io::stdout())
    }

    /// Prints a value as JSON on standard output.
    pub(super) fn json(&self, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .or_error(ErrorKind::Internal, || "the result cannot be written as JSON".to_owned())?;
        self.result(&format!("{text}\n"))
    }

    /// Prints a value as one line of JSON on standard output.
    pub(super) fn json_line(&self, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string(value)
            .or_error(ErrorKind::Internal, || "the result cannot be written as JSON".to_owned())?;
        self.result(&format!("{text}\n"))
    }

    /// Prints a result on standard output. A reader that closed the pipe is no error.
    pub(super) fn result(&self, text: &str) -> Result<()> {
        self.result_bytes(text.as_bytes())
    }

    /// Prints a result as [`Printer::result`] does. The bytes may be no text.
    pub(super) fn result_bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).or_error(ErrorKind::Internal, || "cannot write to standard output".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Writes an event, which arrives as one write of a whole line.
pub(super) struct EventWriter {
    printer: Printer,
}

impl Write for EventWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.printer.print_error_line(String::from_utf8_lossy(line).trim_end_matches('\n'));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
