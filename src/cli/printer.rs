//! The only module that prints. It writes results to standard output and all else to standard error.

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
    /// Creates a printer. A quiet one prints results and errors only.
    pub(super) fn new(quiet: bool) -> Self {
        Printer { quiet, bars: MultiProgress::new() }
    }

    /// Whether notes and progress are suppressed.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether standard error is a terminal.
    pub(super) fn stderr_is_terminal(&self) -> bool {
        io::stderr().is_terminal()
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
            self.tell(line);
        }
    }

    /// Prints a warning on standard error, unless quiet. A script reads the exit code, and a warning often repeats
    /// every day.
    pub(super) fn warn(&self, line: &str) {
        self.note(&format!("warning: {line}"));
    }

    /// Prints a line of a question on standard error, also when quiet, because the user must answer it.
    pub(super) fn ask(&self, line: &str) {
        self.tell(line);
    }

    /// Prints an error with its full report.
    pub(super) fn error(&self, error: &Error) {
        self.tell(&format!("error: {}", error.report()));
    }

    /// Prints a line on standard error. The work continues if nobody reads it any more. Characters that move the cursor
    /// or change the colour are replaced, because anyone may have written the text.
    fn tell(&self, line: &str) {
        let is_plain = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
        let line: String = line.chars().map(|letter| if is_plain(&letter) { letter } else { '\u{fffd}' }).collect();
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    /// Prints a value as JSON on standard output.
    pub(super) fn json(&self, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)
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
