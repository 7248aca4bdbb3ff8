//! The connections that a worker accepts: one that sends nothing ends soon, and a process without files to spare pauses.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

/// How long a connection may be silent at its beginning.
const SPEAKS_WITHIN: Duration = Duration::from_secs(10);
/// The most connections at once that have sent nothing yet. More wait until one of them speaks or ends.
const MOST_SILENT: usize = 64;
/// The pause after the system had no connection to give: it may be out of files.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Returns the connections that speak.
pub(in crate::query) fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    let (speaking, accepted) = mpsc::channel(1);
    let accept = AbortOnDropHandle::new(tokio::spawn(accept(listener, speaking)));
    futures::stream::unfold((accepted, accept), |(mut accepted, accept)| async move {
        let stream = accepted.recv().await?;
        Some((Ok(stream), (accepted, accept)))
    })
}

async fn accept(listener: TcpListener, speaking: mpsc::Sender<TcpStream>) {
    let silent = Arc::new(Semaphore::new(MOST_SILENT));
    while let Ok(place) = Arc::clone(&silent).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let speaking = speaking.clone();
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let spoke = tokio::time::timeout(SPEAKS_WITHIN, stream.peek(&mut [0])).await;
                    drop(place);
                    if matches!(spoke, Ok(Ok(1..))) {
                        let _ = speaking.send(stream).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}
