//! The `outcomes` table: the outcome of the last request for a name.

use super::column::{SmallNumberColumn, TextColumn, TimeColumn};
use super::spec::{RowsOf, TableSpec};
use crate::npm::{Fingerprint, Outcome};

/// A row of the `outcomes` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeRow<'a> {
    /// The package's name.
    pub name: &'a str,
    /// The outcome of its last request.
    pub outcome: Outcome,
    /// The status of the last response, if there was one.
    pub http_status: Option<u16>,
    /// The announced revision when the document was requested. The next run compares it with the new one.
    pub rev: Option<&'a str>,
    /// The `ETag` header.
    pub etag: Option<&'a str>,
    /// The `Last-Modified` header.
    pub last_modified: Option<&'a str>,
    /// The number of requests that it took.
    pub attempts: u32,
    /// The time of the complete response, in microseconds since 1970.
    pub fetched_at_micros: Option<i64>,
    /// The reason why it is not an ordinary document, in words.
    pub detail: Option<&'a str>,
    /// From when on the same revision is requested again, in microseconds since 1970.
    pub next_request_at_micros: Option<i64>,
    /// The number of requests in a row with this outcome at this revision and with these credentials.
    pub repetitions: u32,
    /// The credentials of the request, if the outcome depends on them.
    pub credentials: Option<Fingerprint>,
}

pub(super) const TABLE: TableSpec = TableSpec {
    rows_of: RowsOf::Name,
    group_size: 2_048,
    stored_bytes_per_row: 40,
    ..TableSpec::new(2, OutcomesBuilder::COLUMNS)
};

columns! {
    /// Builds batches of the `outcomes` table. Rows keep the order in which they were pushed.
    pub struct OutcomesBuilder of Outcomes {
        name: TextColumn = required("The package's name.").unique(),
        outcome: TextColumn = required(
            "present, tombstone, not_found, blocked, oversize, malformed, stale or failed."
        ),
        http_status: SmallNumberColumn = optional("The status of the last response, if there was one."),
        rev: TextColumn = optional("The announced revision when the document was requested.").unique(),
        etag: TextColumn = optional("The ETag header of the document, as sent.").unique(),
        last_modified: TextColumn = optional("The Last-Modified header of the document, as sent."),
        attempts: SmallNumberColumn = required("The number of requests.").in_unit("requests"),
        fetched_at: TimeColumn = optional("The time when the response was complete.").unique(),
        detail: TextColumn = optional(
            "The reason why it is not an ordinary document: the status and the server's own words, shortened."
        ),
        next_request_at: TimeColumn = optional(
            "The time from which on an ingest requests the same revision again; null if time does not matter."
        ),
        repetitions: SmallNumberColumn = optional(
            "The number of requests in a row that had this outcome at this revision and with these credentials."
        ).in_unit("requests"),
        credentials: TextColumn = optional(
            "A mark of the credentials that were sent, none if there were none; null if the outcome does not depend on them."
        ),
    }
}

impl OutcomesBuilder {
    /// Makes a builder without rows.
    pub fn new() -> Self {
        OutcomesBuilder::default()
    }

    /// Adds a row.
    pub fn push(&mut self, row: &OutcomeRow<'_>) {
        self.name.push(row.name);
        self.outcome.push(row.outcome.as_str());
        self.http_status.push(row.http_status.map(i32::from));
        self.rev.push_option(row.rev);
        self.etag.push_option(row.etag);
        self.last_modified.push_option(row.last_modified);
        self.attempts.push(Some(i32::try_from(row.attempts).unwrap_or(i32::MAX)));
        self.fetched_at.push(row.fetched_at_micros);
        self.detail.push_option(row.detail);
        self.next_request_at.push(row.next_request_at_micros);
        self.repetitions.push(Some(i32::try_from(row.repetitions).unwrap_or(i32::MAX)));
        self.credentials.push_option(row.credentials.map(|credentials| credentials.to_string()).as_deref());
    }
}
