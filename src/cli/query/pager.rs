//! Shows text in a pager once it is longer than the screen. Not here: when paging is wanted.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};

/// Lines of a screen where the terminal does not say: that of a VT100.
const DEFAULT_LINES: usize = 24;

/// An output that goes to the screen while it fits there, and to a pager when it does not.
pub(super) struct Pager {
    most_lines: usize,
    held: Vec<u8>,
    held_lines: usize,
    state: State,
}

enum State {
    /// All that was written still fits the screen.
    Holding,
    Paging(Child),
    /// There is no pager.
    Printing,
}

impl Pager {
    /// For the terminal of standard output.
    pub(super) fn new() -> Self {
        let (lines, _) = console::Term::stdout().size_checked().unwrap_or((0, 0));
        let most_lines = if lines == 0 { DEFAULT_LINES } else { usize::from(lines) };
        // The prompt needs a line as well.
        Pager { most_lines: most_lines.saturating_sub(1), held: Vec::new(), held_lines: 0, state: State::Holding }
    }

    /// Prints what is held, or waits until the pager is left.
    pub(super) fn finish(mut self) {
        match std::mem::replace(&mut self.state, State::Printing) {
            State::Holding => {
                // Who left a screen has seen enough of it.
                let _ = io::stdout().write_all(&self.held).and_then(|()| io::stdout().flush());
            }
            State::Paging(mut child) => {
                drop(child.stdin.take());
                let _ = child.wait();
            }
            State::Printing => {}
        }
    }

    /// The program that `PAGER` names, else less, which keeps colours and does not fold long lines.
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
    /// Also a pager that was left early, or whose statement failed, has the terminal until it ends.
    fn drop(&mut self) {
        if let State::Paging(child) = &mut self.state {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
