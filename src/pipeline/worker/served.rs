//! The meaning of a served document for its name. Not here: the rows that it becomes (`document_shards`).

use crate::fetch::FetchItem;
use crate::npm::{Answer, Outcome, Representation};
use crate::registry::{RequestFailure, Response};
use crate::table::{Decoded, DocumentInput, DocumentTables};

/// Returns the result of a request, by the document that was read for `item`.
pub(super) fn outcome_of(decoded: &Decoded, item: &FetchItem) -> Outcome {
    match &decoded.rev {
        Some(rev) if rev.is_older_than(&item.announced_rev) => Outcome::Stale,
        _ => decoded.outcome,
    }
}

/// Returns whether a response about a name that the feed calls deleted says so too: there is no document, or a tombstone.
pub(super) fn has_ended(
    item: &FetchItem,
    response: &Result<Response, RequestFailure>,
    representation: Representation,
) -> bool {
    let Ok(Response { answer, .. }) = response else { return false };
    match answer {
        Answer::Gone { status, .. } => matches!(status, 404 | 410),
        Answer::NotModified => item.last.is_some_and(|last| last.outcome == Outcome::Tombstone),
        Answer::Fresh(document) => {
            let (name, announced_rev) = (item.name.as_str(), item.announced_rev.as_str());
            let input = DocumentInput { name, announced_rev, representation, bytes: &document.bytes };
            DocumentTables::new(false).push(input).outcome == Outcome::Tombstone
        }
    }
}
