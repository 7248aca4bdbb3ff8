//! The one place that prints. Results go to standard output, all else to standard error.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;

use crate::error::{Context, Error, ErrorKind, Result};

/// Prints for one process. Cheap to clone; clones share the terminal.
#[derive(Clone)]
pub(super) struct Printer {
    quiet: bool,
    bars: MultiProgress,
}

impl Printer {
    /// A printer; a quiet one prints results and errors only.
    pub(super) fn new(quiet: bool) -> Self {
        Printer { quiet, bars: MultiProgress::new() }
    }

    /// Whether notes and progress are wanted.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether somebody sees standard error as a terminal.
    pub(super) fn stderr_is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    #[cfg(feature = "query")]
    /// Whether results go to a terminal, and how wide it is in columns.
    pub(super) fn stdout_width(&self) -> Option<u16> {
        if !io::stdout().is_terminal() {
            return None;
        }
        let (_, columns) = console::Term::stdout().size();
        Some(columns)
    }

    /// The progress bars, which notes must not tear.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// A line on standard error, unless quiet.
    pub(super) fn note(&self, line: &str) {
        if !self.quiet {
            self.tell(line);
        }
    }

    /// A warning on standard error, unless quiet: what a script must know is in the exit code, and what warns once often
    /// warns every day.
    pub(super) fn warn(&self, line: &str) {
        self.note(&format!("warning: {line}"));
    }

    /// A line of a question on standard error, also when quiet: somebody is to answer it.
    pub(super) fn ask(&self, line: &str) {
        self.tell(line);
    }

    /// An error with all that is known of it.
    pub(super) fn error(&self, error: &Error) {
        self.tell(&format!("error: {}", error.report()));
    }

    /// A line on standard error. Where nobody reads it any more, the work goes on. What moves the cursor or changes the
    /// colour is not printed: much of what is told of was written by anyone.
    fn tell(&self, line: &str) {
        let is_plain = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
        let line: String = line.chars().map(|letter| if is_plain(&letter) { letter } else { '\u{fffd}' }).collect();
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// A value as JSON on standard output.
    pub(super) fn json(&self, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
            .or_error(ErrorKind::Internal, || "the result cannot be spelled as JSON".to_owned())?;
        self.result(&format!("{text}\n"))
    }

    /// A result on standard output. A reader that closed the pipe is no error.
    pub(super) fn result(&self, text: &str) -> Result<()> {
        self.result_bytes(text.as_bytes())
    }

    /// The same of bytes that may be no text.
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
