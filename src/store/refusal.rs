//! The errors of a bucket, told as errors of this program. Not here: which of them are tried again (`objects/retrying`),
//! and the causes of a refusal (`reach/refused`).

use super::reach::Refused;
use crate::error::Error;

/// The hint for a failure that no server explained.
const FAILED_HINT: &str = "the network or the bucket failed for longer than an operation is retried; run the same command again: what is committed or staged is kept";

/// Returns the error for a failed operation: `verb` and `path` name it (`cannot read npm/lock.json`). The path of the
/// whole lake is empty.
pub(super) fn refusal(verb: &str, path: &str, error: object_store::Error) -> Error {
    let path = if path.is_empty() { "the lake" } else { path };
    match refused(&error).cloned() {
        // Its text has all of the server's; that of the client around it repeats it.
        Some(refused) => {
            let told = Error::lake(format!("cannot {verb} {path}: {}", refused.why()));
            told.hint(refused.hint()).source(refused).of_system()
        }
        None => Error::lake(format!("cannot {verb} {path}")).hint(FAILED_HINT).source(error).of_system(),
    }
}

fn refused<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refused> {
    loop {
        match error.downcast_ref() {
            Some(refused) => return Some(refused),
            None => error = error.source()?,
        }
    }
}
