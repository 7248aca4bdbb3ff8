//! The errors of a bucket, told as errors of this program. Not here: which of them are tried again (`objects/retrying`).

use crate::error::Error;

/// Returns the error for a failed operation: `verb` and `path` name it (`cannot read npm/lock.json`).
pub(super) fn refusal(verb: &str, path: &str, error: object_store::Error) -> Error {
    Error::lake(format!("cannot {verb} {path}")).source(error).of_system()
}
