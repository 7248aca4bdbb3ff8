//! How an item ended, and what a service may do with it.

use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Item, ItemError, ItemResult};
use crate::registry::Registry;

/// After this time an item that another process holds may be tried again.
pub const AFTER_HELD: Duration = Duration::from_secs(5);
/// After this time an item that a registry or the lake failed may be tried again …
const AFTER_A_FAILURE: Duration = Duration::from_secs(10);
/// … one that a registry refused, at the earliest …
const AFTER_A_REFUSAL: Duration = Duration::from_secs(60);
/// … and one that was stopped: another worker may do it at once.
const AFTER_A_STOP: Duration = Duration::from_secs(1);

/// How an item ended.
#[derive(Debug)]
pub enum ItemOutcome {
    /// Done, now or before (`is_kept`). Its result may be without success: it would fail again.
    Done {
        /// The result.
        result: ItemResult,
        /// Whether it is that of an earlier item with the same id and payload.
        is_kept: bool,
    },
    /// It may be tried again.
    Again {
        /// The result, without success.
        result: ItemResult,
        /// After this time.
        after: Duration,
    },
    /// Another process holds the partition, or does the same item.
    Held {
        /// Who.
        by: String,
    },
    /// Not an item of this lake.
    Refused(Error),
}

/// How the work on an item ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// Done, with this data and these counters.
    Done { data: Value, metrics: Value },
    /// Done, and what it asked for is not to be had.
    Failed { error: ItemError, metrics: Value },
    /// Not yet: the registry may have it later.
    NotYet { error: ItemError, metrics: Value },
    /// Another process holds it.
    Held(String),
}

/// Returns the outcome of an item that ended, after `elapsed`.
pub(super) fn outcome_of(item: &Item, ended: Result<Ended>, elapsed: Duration, registry: &Registry) -> ItemOutcome {
    let result = |data: Value, error: Option<ItemError>, metrics: Value| ItemResult {
        work_item_id: item.id().to_owned(),
        success: error.is_none(),
        data,
        error,
        duration: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        metrics,
    };
    let done = |result| ItemOutcome::Done { result, is_kept: false };
    match ended {
        Ok(Ended::Done { data, metrics }) => done(result(data, None, metrics)),
        Ok(Ended::Failed { error, metrics }) => done(result(Value::Null, Some(error), metrics)),
        Ok(Ended::NotYet { error, metrics }) => {
            ItemOutcome::Again { result: result(Value::Null, Some(error), metrics), after: AFTER_A_REFUSAL }
        }
        Ok(Ended::Held(by)) => ItemOutcome::Held { by },
        Err(error) => {
            let hint = error.hint_text().map(|hint| format!(" ({hint})")).unwrap_or_default();
            let told = ItemError { message: format!("{error}{hint}"), status_code: status_of(error.kind()) };
            let result = result(Value::Null, Some(told), Value::Null);
            match after(error.kind(), registry) {
                Some(after) => ItemOutcome::Again { result, after },
                None => done(result),
            }
        }
    }
}

/// Returns the status of HTTP that is nearest to a kind of error.
fn status_of(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Input => 400,
        ErrorKind::Denied => 403,
        ErrorKind::RateLimit => 429,
        ErrorKind::Network => 502,
        ErrorKind::Lake | ErrorKind::Interrupted => 503,
        ErrorKind::Internal => 500,
    }
}

/// Returns after which time an item that failed so may be tried again; `None` if it would fail again.
fn after(kind: ErrorKind, registry: &Registry) -> Option<Duration> {
    match kind {
        ErrorKind::Input | ErrorKind::Denied | ErrorKind::Internal => None,
        ErrorKind::RateLimit => {
            // No closed gate: the month's budget is spent, and the next attempt would find it so too.
            let closed = registry.gates().into_iter().filter_map(|gate| gate.closed_for).max();
            closed.map(|closed| closed.max(AFTER_A_REFUSAL))
        }
        ErrorKind::Interrupted => Some(AFTER_A_STOP),
        // The server, the bucket or the disk may be well again; what is damaged is for the operator to repair.
        ErrorKind::Network | ErrorKind::Lake => Some(AFTER_A_FAILURE),
    }
}
