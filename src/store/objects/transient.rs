//! The failures of a bucket that may pass, and those that do not.

use std::error::Error as StdError;
use std::io;

use object_store::Error;
use object_store::client::HttpError;

use crate::store::reach::Refused;

/// Returns whether a failed operation may succeed if it is sent again unchanged: the server is busy or broken for the
/// moment, or the connection failed. For a put under a condition this says nothing about whether it was done.
pub(in crate::store) fn is_transient(error: &Error) -> bool {
    // The server, or the first contact with it, said why and that it is final.
    if causes(error).any(|cause| cause.is::<Refused>()) {
        return false;
    }
    let source = match error {
        Error::Generic { source, .. } => source,
        // S3 says 409 of an operation that meets another one on the same object. Only a create is about existence.
        Error::AlreadyExists { .. } => return status(error) == Some(409),
        _ => return false,
    };
    // S3 says 400 if a body stopped arriving, 200 for an upload that it failed to complete, and nothing but a code for one
    // of many objects that it failed to delete.
    if ["<Code>RequestTimeout<", "SlowDown", "InternalError"].iter().any(|code| has(error, code)) {
        return true;
    }
    if let Some(status) = status(error) {
        return matches!(status, 408 | 429 | 500 | 502..=599);
    }
    let source: &(dyn StdError + 'static) = &**source;
    causes(source).any(|cause| {
        // A body that breaks off may be an error of its decoder.
        cause.is::<HttpError>()
            || cause.downcast_ref::<io::Error>().is_some_and(|error| {
                use io::ErrorKind::{
                    BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected, TimedOut,
                    UnexpectedEof,
                };
                let kinds = [
                    BrokenPipe,
                    ConnectionAborted,
                    ConnectionRefused,
                    ConnectionReset,
                    NotConnected,
                    TimedOut,
                    UnexpectedEof,
                ];
                kinds.contains(&error.kind())
            })
    })
}

/// Returns the status of the HTTP response that an error is about. `object_store` keeps the type of that error to itself,
/// so the status is taken from its text.
pub(in crate::store) fn status(error: &Error) -> Option<u16> {
    let source = StdError::source(error)?;
    causes(source).find_map(|cause| {
        let text = cause.to_string();
        let (_, rest) = text.split_once("status code: ")?;
        rest.get(..3)?.parse().ok()
    })
}

/// Describes a failure in a few words: the status, or the first cause.
pub(super) fn cause_of(error: &Error) -> String {
    match status(error) {
        Some(status) => format!("HTTP {status}"),
        None => causes(error).last().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Returns whether the text of an error or of one of its causes has `word` in it.
pub(in crate::store) fn has(error: &Error, word: &str) -> bool {
    causes(error).any(|cause| cause.to_string().contains(word))
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let cause = |error: &&'a (dyn StdError + 'static)| -> Option<&'a (dyn StdError + 'static)> { (*error).source() };
    std::iter::successors(Some(error), cause)
}
