//! Work that blocks, on a thread that may: of this door, and of all that read what it opens.

use crate::error::{Context, ErrorKind, Result};

/// Runs `work` on a thread that may block. `what` is the work as a noun, for the error of a thread that died.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.or_error(ErrorKind::Internal, || format!("{what} died"))?
}
