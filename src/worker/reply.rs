//! Replies: the status and the JSON for each outcome of an item, and for what is no item.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::Error;
use crate::lake::{Item, ItemError, ItemResult};
use crate::pipeline::{AFTER_HELD, ItemOutcome};

/// The header that says that a result is a kept one.
const IS_KEPT: &str = "x-all-docs-kept";

/// Returns the reply to an item.
pub(super) fn of(item: &Item, outcome: ItemOutcome) -> Response {
    match outcome {
        ItemOutcome::Done { result, is_kept } => {
            let reply = as_json(StatusCode::OK, &result);
            if is_kept { ([(IS_KEPT, "true")], reply).into_response() } else { reply }
        }
        ItemOutcome::Again { result, after } => later(StatusCode::SERVICE_UNAVAILABLE, after, &result),
        ItemOutcome::Held { by } => {
            let result = without_work(item.id(), StatusCode::CONFLICT, format!("{by} works on it"));
            later(StatusCode::CONFLICT, AFTER_HELD, &result)
        }
        ItemOutcome::Refused(error) => refused(StatusCode::BAD_REQUEST, &error),
    }
}

/// Returns the reply to a request that is refused for what it is.
pub(super) fn refused(status: StatusCode, error: &Error) -> Response {
    let hint = error.hint_text().map(|hint| format!(" ({hint})")).unwrap_or_default();
    as_json(status, &without_work("", status, format!("{error}{hint}")))
}

/// Returns the reply to a request that may be sent again after some time.
pub(super) fn not_now(status: StatusCode, after: Duration, why: &str) -> Response {
    later(status, after, &without_work("", status, why.to_owned()))
}

/// Returns a reply with JSON.
pub(super) fn as_json(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_else(|_| json!({"success": false}).to_string().into_bytes());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn later(status: StatusCode, after: Duration, result: &ItemResult) -> Response {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    ([(header::RETRY_AFTER, seconds.max(1).to_string())], as_json(status, result)).into_response()
}

fn without_work(id: &str, status: StatusCode, message: String) -> ItemResult {
    ItemResult::without_work(id, ItemError { message, status_code: status.as_u16() })
}
