//! What an answer of the registry says about a name.

use bytes::Bytes;

use super::job::PartitionJob;
use crate::fetch::FetchItem;
use crate::npm::{Answer, Outcome, Representation, Revision};
use crate::registry::{RequestFailure, Response};
use crate::table::{Decoded, DocumentInput, DocumentTables, OutcomeRow};

/// Returns the result of a request, by the document that was read for `item`.
pub(super) fn outcome_of(decoded: &Decoded, item: &FetchItem) -> Outcome {
    match &decoded.rev {
        Some(rev) if rev.is_older_than(&item.announced_rev) => Outcome::Stale,
        _ => decoded.outcome,
    }
}

/// Keeps the tag of the request, because the lake's document stays.
pub(super) fn hold_tag<'a>(row: &mut OutcomeRow<'a>, item: &'a FetchItem) {
    let held = item.validators.as_ref();
    row.etag = held.and_then(|held| held.etag.as_deref());
    row.last_modified = held.and_then(|held| held.last_modified.as_deref());
}

/// Returns whether the feed said that a name is deleted, and the response shows that it is gone: there is no document, or a
/// tombstone.
pub(super) fn shows_gone(
    job: &PartitionJob,
    item: &FetchItem,
    response: &std::result::Result<Response, RequestFailure>,
) -> bool {
    if !job.plan.departing.contains(&item.name) {
        return false;
    }
    match response.as_ref().map(|response| &response.answer) {
        Ok(Answer::Gone { status, .. }) => matches!(status, 404 | 410),
        Ok(Answer::Fresh(document)) => {
            let input = input(item, &item.announced_rev, job.representation(), &document.bytes);
            DocumentTables::new(false).push(input).outcome == Outcome::Tombstone
        }
        Ok(Answer::NotModified) => job.plan.held(&item.name).is_some_and(|held| held.outcome == Outcome::Tombstone),
        Err(_) => false,
    }
}

/// Returns a document of a name as the tables take it.
pub(super) fn input<'a>(
    item: &'a FetchItem,
    announced_rev: &'a Revision,
    representation: Representation,
    bytes: &'a Bytes,
) -> DocumentInput<'a> {
    DocumentInput { name: item.name.as_str(), announced_rev: announced_rev.as_str(), representation, bytes }
}
