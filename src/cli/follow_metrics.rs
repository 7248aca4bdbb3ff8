//! Serves the metrics of a follower over HTTP, in Prometheus' text form, and whether it is healthy. Not here: what is
//! counted (`pipeline`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio_util::task::AbortOnDropHandle;

use super::metric_text::MetricText;
use crate::error::{Context, ErrorKind, Result};
use crate::pipeline::{FollowCounts, FollowMetrics};
use crate::registry::Registry;

/// A follower is healthy if it has read the feed to its end within so many intervals …
const HEALTHY_INTERVALS: u32 = 5;
/// … or within this time, whichever is longer: a listing and many changes take a while.
const HEALTHY_AT_LEAST: Duration = Duration::from_secs(30 * 60);

/// A running server. It ends when it is dropped.
pub(super) struct MetricsServer {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl MetricsServer {
    /// Returns the address that it listens on.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves the metrics of a follower with this interval.
///
/// Fails with [`ErrorKind::Input`] if the address is not available.
pub(super) async fn serve(
    address: SocketAddr,
    metrics: Arc<FollowMetrics>,
    registry: Registry,
    interval: Duration,
) -> Result<MetricsServer> {
    let unavailable = || format!("cannot serve metrics on {address}");
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .or_error(ErrorKind::Input, unavailable)
        .map_err(|error| error.hint("give another --metrics; port 0 takes a free one"))?;
    let address = listener.local_addr().or_error(ErrorKind::Input, unavailable)?;
    let counts = Arc::clone(&metrics);
    let show = move || async move {
        let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (content_type, text(&counts.read(), &registry, now_us())).into_response()
    };
    let health = move || async move { health(&metrics.read(), interval, now_us()).into_response() };
    let router = Router::new().route("/metrics", get(show)).route("/healthz", get(health));
    let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
    Ok(MetricsServer { address, _task: AbortOnDropHandle::new(task) })
}

fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Returns 200 if the feed was read to its end not long ago, else 503.
fn health(counts: &FollowCounts, interval: Duration, now_us: i64) -> (StatusCode, String) {
    let lag = Duration::from_micros(u64::try_from(counts.lag_us(now_us)).unwrap_or(0));
    let longest = HEALTHY_AT_LEAST.max(interval * HEALTHY_INTERVALS);
    match lag <= longest {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => {
            let seconds = lag.as_secs();
            (StatusCode::SERVICE_UNAVAILABLE, format!("the feed was read to its end {seconds} seconds ago\n"))
        }
    }
}

/// Returns the metrics as text.
fn text(counts: &FollowCounts, registry: &Registry, now_us: i64) -> String {
    let mut text = MetricText::default();
    let mut metric = |kind: &str, name: &str, help: &str, value: f64| text.metric(kind, name, help, value);
    let seconds = |us: i64| us as f64 / 1e6;
    metric(
        "gauge",
        "follow_lag_seconds",
        "Time since the feed was last read to its end.",
        seconds(counts.lag_us(now_us)),
    );
    if let Some(places) = counts.lag_places() {
        metric(
            "gauge",
            "follow_lag_seqs",
            "Distance from the newest seq that was read to the registry's own; seqs have gaps.",
            places as f64,
        );
    }
    if let Some(read_at_us) = counts.read_at_us {
        metric(
            "gauge",
            "follow_last_read_timestamp_seconds",
            "Time at which the feed was last read to its end.",
            seconds(read_at_us),
        );
    }
    metric(
        "gauge",
        "follow_pending",
        "Names whose documents the registry does not serve as announced yet.",
        counts.lagging as f64,
    );
    text.counters(&[
        ("follow_rounds_total", "Rounds that ended without an error.", counts.rounds),
        ("follow_errors_total", "Rounds that failed.", counts.errors),
        ("follow_rows_total", "Rows of the feed that were read.", counts.rows),
        ("follow_changes_total", "Changes that the lake did not hold.", counts.changes),
        ("follow_committed_names_total", "Names that were brought up to date.", counts.committed),
        ("follow_commits_total", "Commits of changes.", counts.commits),
        ("follow_merges_total", "Merges of deltas in the overlay.", counts.merges),
        ("follow_folds_total", "Partitions that were folded.", counts.folds),
        ("follow_events_total", "Events that were recorded.", counts.events),
        ("follow_listings_total", "Listings of the registry.", counts.listings),
        (
            "follow_stale_pages_total",
            "Pages of the feed that were older than the registry's own place.",
            counts.stale_pages,
        ),
        ("follow_given_up_total", "Names that were given up until the next listing.", counts.given_up),
    ]);
    text.registry(registry);
    text.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_that_has_not_read_the_feed_for_long_is_not_healthy() {
        let minutes = |minutes: i64| minutes * 60_000_000;
        let counts =
            FollowCounts { began_at_us: minutes(10), read_at_us: Some(minutes(60)), ..FollowCounts::default() };
        let status = |interval, now| health(&counts, Duration::from_secs(interval), minutes(now)).0;
        assert_eq!(status(60, 61), StatusCode::OK);
        assert_eq!(status(60, 91), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(3600, 91), StatusCode::OK);
        let new = FollowCounts { read_at_us: None, ..counts };
        assert_eq!(health(&new, Duration::from_secs(60), minutes(11)).0, StatusCode::OK);
    }
}
