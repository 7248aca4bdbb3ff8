//! Shows text in a pager if it is longer than the screen. Not here: the decision whether to page.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// Lines of a screen if the terminal does not say: those of a VT100.
const DEFAULT_LINES: usize = 24;

/// An output that goes to the screen if it fits there, else to a pager.
pub(super) struct Pager {
    most_lines: usize,
    held: Vec<u8>,
    held_lines: usize,
    state: State,
}

enum State {
    /// The output so far fits the screen.
    Holding,
    Paging(Child),
    /// There is no pager.
    Printing,
}

impl Pager {
    /// Creates a pager for the terminal of standard output.
    pub(super) fn new() -> Self {
        let (lines, _) = console::Term::stdout().size_checked().unwrap_or((0, 0));
        let most_lines = if lines == 0 { DEFAULT_LINES } else { usize::from(lines) };
        // The prompt needs a line too.
        Pager { most_lines: most_lines.saturating_sub(1), held: Vec::new(), held_lines: 0, state: State::Holding }
    }

    /// Prints the held output, or waits until the user leaves the pager.
    pub(super) fn finish(mut self) {
        match std::mem::replace(&mut self.state, State::Printing) {
            State::Holding => {
                // An error here means that nobody reads standard output any more.
                let _ = io::stdout().write_all(&self.held).and_then(|()| io::stdout().flush());
            }
            State::Paging(mut child) => {
                drop(child.stdin.take());
                let _ = child.wait();
            }
            State::Printing => {}
        }
    }

    /// Starts the program that `PAGER` names, else `less`, which keeps colours and does not fold long lines.
    fn open() -> io::Result<Child> {
        let mut command = match std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty()) {
            Some(pager) => {
                let mut command = Command::new("sh");
                command.args(["-c", &pager]);
                command
            }
            None => {
                let mut command = Command::new("less");
                command.arg("-RSFX");
                command
            }
        };
        command.stdin(Stdio::piped()).spawn()
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(self.state, State::Holding) {
            self.held.extend_from_slice(bytes);
            self.held_lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            if self.held_lines <= self.most_lines {
                return Ok(bytes.len());
            }
            let held = std::mem::take(&mut self.held);
            self.state = match Pager::open() {
                Ok(child) => State::Paging(child),
                Err(_) => State::Printing,
            };
            return self.write_all(&held).map(|()| bytes.len());
        }
        match &mut self.state {
            State::Paging(child) => match &mut child.stdin {
                Some(stdin) => stdin.write(bytes),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            },
            _ => io::stdout().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Holding => Ok(()),
            State::Paging(child) => child.stdin.as_mut().map_or(Ok(()), Write::flush),
            State::Printing => io::stdout().flush(),
        }
    }
}

impl Drop for Pager {
    /// Waits for the pager, which owns the terminal until it ends, even if the user left early or the statement failed.
    fn drop(&mut self) {
        if let State::Paging(child) = &mut self.state {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
