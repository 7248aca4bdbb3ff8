//! The errors of a bucket, told as errors of this program. Not here: which of them are tried again (`objects/retrying`),
//! and the causes of a refusal (`reach/refused`).

use super::objects::NoResponse;
use super::reach::Refused;
use crate::error::Error;

/// The hint for a failure that no server explained.
const FAILED_HINT: &str = "the network or the bucket failed for longer than an operation is retried; run the same command again: what is committed or staged is kept";

/// Returns the error for a failed operation: `verb` and `path` name it (`cannot read npm/lock.json`). The path of the
/// whole lake is empty.
pub(super) fn refusal(verb: &str, path: &str, error: object_store::Error) -> Error {
    let path = if path.is_empty() { "the lake" } else { path };
    if find::<NoResponse>(&error).is_some() {
        return Error::lake(format!("cannot {verb} {path}: the server of the bucket does not respond"))
            .hint("check the address of the bucket, the network, and HTTPS_PROXY if there is a proxy")
            .source(error)
            .of_system();
    }
    match find::<Refused>(&error).cloned() {
        // Its text has all of the server's; that of the client around it repeats it.
        Some(refused) => {
            let told = Error::lake(format!("cannot {verb} {path}: {}", refused.why()));
            told.hint(refused.hint()).source(refused).of_system()
        }
        None => Error::lake(format!("cannot {verb} {path}")).hint(FAILED_HINT).source(error).of_system(),
    }
}

/// Finds an error of a type among an error and its causes.
fn find<'a, T: std::error::Error + 'static>(mut error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    loop {
        match error.downcast_ref() {
            Some(found) => return Some(found),
            None => error = error.source()?,
        }
    }
}
