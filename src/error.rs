//! The library's one error type: its kind, the work it interrupted and the next step for the user.
//!
//! Not here: how an error is printed (`cli/`), which HTTP response maps to which kind, and which requests are retried
//! (`registry/`).

use std::fmt;
use std::io;

/// Short for a result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The numbers of the errors for "too many open files" of this process (EMFILE) and of the whole system (ENFILE): the
/// same on Linux, macOS and the BSDs.
const OUT_OF_FILES: [i32; 2] = [24, 23];
/// The hint for them.
const OUT_OF_FILES_HINT: &str = "this process may not open more files: raise its limit (ulimit -n 4096, for example), and run the same command again";

/// The part of an error that callers decide by. Each kind has its own exit code on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, a file or a statement of the user is wrong. Nothing was changed.
    Input,
    /// A server could not be reached, or did not respond as a registry does.
    Network,
    /// A server refused for too long, or a request budget is used up.
    RateLimit,
    /// Credentials were refused (401, or 403 on credentials).
    Denied,
    /// The lake cannot be read or written: disk full, read-only, damaged, or of a newer version.
    Lake,
    /// The user, or the operator of the process, asked it to stop.
    Interrupted,
    /// A bug in this program.
    Internal,
}

impl ErrorKind {
    /// Returns the kind as the error's first line names it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Input => "bad input",
            ErrorKind::Network => "network",
            ErrorKind::RateLimit => "rate limit",
            ErrorKind::Denied => "access denied",
            ErrorKind::Lake => "lake",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Internal => "internal error",
        }
    }
}

/// An error: its kind, one sentence, its context, a hint and its cause.
///
/// `Display` prints one line; [`Error::report`] prints all of it.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    doing: Vec<String>,
    hint: Option<String>,
    source: Option<Source>,
    is_of_system: bool,
}

impl Error {
    /// Creates an error of `kind` with `message`: a clause in lower case, without a final dot.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner =
            Inner { kind, message: message.into(), doing: Vec::new(), hint: None, source: None, is_of_system: false };
        Error { inner: Box::new(inner) }
    }

    /// Makes an error of kind [`ErrorKind::Input`].
    pub fn input(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Input, message)
    }

    /// Makes an error of kind [`ErrorKind::Network`].
    pub fn network(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Network, message)
    }

    /// Makes an error of kind [`ErrorKind::Lake`].
    pub fn lake(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Lake, message)
    }

    /// Makes an error of kind [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// Makes an error of kind [`ErrorKind::Interrupted`].
    pub fn interrupted() -> Self {
        Error::new(ErrorKind::Interrupted, "stopped before the end")
    }

    /// Adds the interrupted work, outermost last: `"reading the pivots file x.json"`.
    pub fn doing(mut self, what: impl Into<String>) -> Self {
        self.inner.doing.push(what.into());
        self
    }

    /// Sets the hint for the user. The first hint wins; the cause's hint applies where there is none.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint.get_or_insert(hint.into());
        self
    }

    /// Sets the cause.
    pub fn source(mut self, source: impl Into<Source>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Says that a system refused a read or a write that an I/O error of the operating system does not tell of: a bucket,
    /// for example. See [`Error::is_of_system`].
    pub fn of_system(mut self) -> Self {
        self.inner.is_of_system = true;
        self
    }

    /// Returns the kind, by which callers decide.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns the sentence alone, without context.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Returns whether the operating system or a bucket refused a read or a write: nothing is known then about the bytes,
    /// and they are not damaged.
    pub fn is_of_system(&self) -> bool {
        system_error(self).is_some() || is_marked(self)
    }

    /// Returns whether no more files could be opened.
    pub fn is_out_of_files(&self) -> bool {
        system_error(self).is_some_and(is_out_of_files)
    }

    /// Returns whether it is that of an output whose reader closed the pipe, as `head` does.
    pub fn is_closed_pipe(&self) -> bool {
        let cause = self.inner.source.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Returns the hint for the user, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        // It explains every other failure of the same process.
        if self.is_out_of_files() {
            return Some(OUT_OF_FILES_HINT);
        }
        let cause = || std::iter::successors(std::error::Error::source(self), |error| error.source());
        self.inner.hint.as_deref().or_else(|| cause().find_map(hint_of))
    }

    /// Returns the full report on several lines: the sentence, the context, the causes, the hint.
    pub fn report(&self) -> String {
        let mut text = self.inner.message.clone();
        for what in &self.inner.doing {
            text.push_str("\n  while ");
            text.push_str(what);
        }
        let mut cause = self.inner.source.as_deref().map(|source| source as &dyn std::error::Error);
        let mut last = self.inner.message.clone();
        while let Some(error) = cause {
            let line = error.to_string();
            // Libraries repeat their cause's words in their own; print them once.
            if !last.contains(&line) {
                text.push_str("\n  because ");
                text.push_str(&line);
            }
            last = line;
            cause = error.source();
        }
        if let Some(hint) = self.hint_text() {
            text.push_str("\n  hint: ");
            text.push_str(hint);
        }
        text
    }
}

/// Returns the operating system's error among the causes of `error`, or `error` itself. A decoder's I/O error, which is
/// about the bytes, has no number of the system.
pub fn system_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        let error = error.downcast_ref::<io::Error>()?;
        // An I/O error that wraps another error hides it from `source`.
        match error.get_ref() {
            Some(held) => system_error(held),
            None => error.raw_os_error().map(|_| error),
        }
    })
}

/// Returns whether [`Error::of_system`] was said of `error` or of one of its causes.
fn is_marked(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        // An I/O error that wraps another error hides it from `source`.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.is_some_and(|held| is_marked(held))
            || error.downcast_ref::<Error>().is_some_and(|error| error.inner.is_of_system)
    })
}

/// Returns whether the operating system has no more files to open, for this process or for all.
pub fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| OUT_OF_FILES.contains(&number))
}

/// Returns `None` for an error about bytes that were read. Fails with the error if the operating system refused the
/// read: then nothing is known about the bytes.
pub fn unless_damaged<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_of_system() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Returns the hint of an [`Error`], or of an I/O error that wraps one.
fn hint_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let error = held.map_or(error, |held| held);
    error.downcast_ref::<Error>()?.inner.hint.as_deref()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        for what in &self.inner.doing {
            write!(f, ", while {what}")?;
        }
        if let Some(source) = &self.inner.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.inner.kind.as_str(), self.report())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Adds context to any result whose error can become an [`Error`].
pub trait Context<T> {
    /// Turns the error into one of `kind` with a lazily made sentence, and keeps the cause.
    fn or_error(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Source>> Context<T> for std::result::Result<T, E> {
    fn or_error(self, kind: ErrorKind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(kind, message()).source(source))
    }
}

/// Adds context to a result whose error is already an [`Error`].
pub trait Doing<T> {
    /// See [`Error::doing`].
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.doing(what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_error_its_causes_and_a_hint() {
        let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = Error::input("cannot read the pivots file")
            .doing("starting an ingest")
            .hint("give a file that exists")
            .source(cause);
        assert_eq!(
            error.report(),
            "cannot read the pivots file\n  while starting an ingest\n  because no such file\n  hint: give a file that exists"
        );
        assert_eq!(error.kind(), ErrorKind::Input);
        assert_eq!(error.to_string(), "cannot read the pivots file, while starting an ingest: no such file");
    }

    #[test]
    fn a_hint_can_come_from_a_cause() {
        let ours = || Error::lake("cannot write x").hint("free some space");
        let told = Error::lake("cannot write a shard").source(std::io::Error::other(ours()));
        assert_eq!(told.hint_text(), Some("free some space"));
        assert_eq!(told.report(), "cannot write a shard\n  because cannot write x\n  hint: free some space");
        let told = Error::lake("cannot write a shard").source(ours()).hint("another");
        assert_eq!(told.hint_text(), Some("another"));
    }

    #[test]
    fn an_error_of_the_system_is_found_below_any_cause_and_that_of_a_decoder_is_none() {
        let refused = || io::Error::from_raw_os_error(13);
        let wrapped = io::Error::other(Error::lake("cannot write x").source(refused()));
        for told in [Error::lake("x").source(refused()), Error::lake("x").source(wrapped)] {
            assert!(told.is_of_system() && !told.is_out_of_files(), "{told}");
            assert!(unless_damaged::<()>(Err(told)).is_err());
        }
        for of_bytes in [io::Error::other("invalid code"), io::ErrorKind::UnexpectedEof.into()] {
            let told = Error::lake("x is damaged").source(of_bytes);
            assert!(!told.is_of_system(), "{told}");
            assert!(matches!(unless_damaged::<()>(Err(told)), Ok(None)));
        }
    }

    #[test]
    fn too_many_open_files_are_explained_whatever_the_work_was() {
        for number in OUT_OF_FILES {
            let told = Error::lake("cannot read x").hint("another").source(io::Error::from_raw_os_error(number));
            assert!(told.is_out_of_files());
            assert!(told.hint_text().is_some_and(|hint| hint.contains("ulimit -n")), "{told:?}");
        }
        let told = Error::lake("cannot read x").hint("another").source(io::Error::from_raw_os_error(5));
        assert_eq!((told.is_out_of_files(), told.hint_text()), (false, Some("another")));
    }

    #[test]
    fn a_cause_that_repeats_its_parent_is_reported_once() {
        let error = Error::lake("disk full").source(std::io::Error::other("disk full"));
        assert_eq!(error.report(), "disk full");
    }
}
