//! Connections: a bounded number at once, each with a bounded time for the head of its next request. So whoever opens many
//! and sends nothing takes neither the files nor the memory of the process.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::store::open_file_limit;

/// Connections at once, besides those with items. More wait until one ends.
const MOST: usize = 100;
/// At most one in so many files that the process may open is a connection.
const SHARE_OF_FILES: usize = 4;
/// How long the head of a request may take, from the end of the one before. It ends idle connections too.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The pause after the system had no connection to give: it may be out of files.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Serves connections until `end` is cancelled, then ends those that have no request in progress, and waits for the rest.
pub(super) async fn serve(listener: TcpListener, router: Router, items: usize, end: CancellationToken) {
    let most = MOST.min(open_file_limit() / SHARE_OF_FILES).max(1) + items;
    let (places, tasks) = (Arc::new(Semaphore::new(most)), TaskTracker::new());
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        match end.run_until_cancelled(accepted).await.flatten() {
            Some((Ok((stream, _)), place)) => {
                let (router, end) = (router.clone(), end.clone());
                tasks.spawn(async move {
                    serve_one(stream, router, end).await;
                    drop(place);
                });
            }
            Some((Err(error), _)) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            None => break,
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn serve_one(stream: TcpStream, router: Router, end: CancellationToken) {
    // A reply is one write.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A client's fault ends its connection only.
        _ = connection.as_mut() => {}
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
