//! Exit codes, and the code of each kind of error. They are part of the command line's contract.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};

/// The exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Done.
    Done = 0,
    /// This program has a bug.
    Failed = 1,
    /// Invalid arguments or input.
    Input = 2,
    /// A server could not be reached or refused the credentials.
    Network = 3,
    /// The lake could not be read or written.
    Lake = 4,
    /// A rate limit did not lift in time, or a budget is used up.
    RateLimit = 5,
    /// Done, but incomplete. Some names have no document, and the table `outcomes` gives the reason of each; the registry
    /// listed fewer names than its own count; or download counts are missing, because requests failed or a repair lost them.
    Incomplete = 6,
    /// Stopped by the user.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// Returns the code of an error.
pub(super) fn code_of(error: &Error) -> Code {
    match error.kind() {
        ErrorKind::Input => Code::Input,
        ErrorKind::Network | ErrorKind::Denied => Code::Network,
        ErrorKind::Lake => Code::Lake,
        ErrorKind::RateLimit => Code::RateLimit,
        ErrorKind::Interrupted => Code::Interrupted,
        _ => Code::Failed,
    }
}
