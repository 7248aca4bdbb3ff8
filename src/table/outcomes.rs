//! The `outcomes` table: what became of the last request for a name.

use arrow::array::RecordBatch;

use super::column::{SmallNumberColumn, TextColumn, TimeColumn};
use super::document::record_batch;
use super::schema::ColumnSpec;
use super::schema::ColumnType::{SmallNumber, Text, Time};
use crate::error::Result;
use crate::npm::Outcome;
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required(
        "outcome",
        Text,
        "present, tombstone, not_found, blocked, oversize, malformed, stale or failed.",
    ),
    ColumnSpec::optional("http_status", SmallNumber, "The status of the last answer, if there was one."),
    ColumnSpec::optional("rev", Text, "The revision that was announced when the document was asked for."),
    ColumnSpec::optional("etag", Text, "The ETag header of the document, as sent."),
    ColumnSpec::optional("last_modified", Text, "The Last-Modified header of the document, as sent."),
    ColumnSpec::required("attempts", SmallNumber, "How many requests it took.").in_unit("requests"),
    ColumnSpec::optional("fetched_at", Time, "When the answer had come."),
    ColumnSpec::optional("detail", Text, "Why it is no plain document, in words."),
];

/// A row of the `outcomes` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeRow<'a> {
    /// The package's name.
    pub name: &'a str,
    /// What became of it.
    pub outcome: Outcome,
    /// The status of the last answer, if there was one.
    pub http_status: Option<u16>,
    /// The revision that was announced when the document was asked for: the next run compares it with the new one.
    pub rev: Option<&'a str>,
    /// The `ETag` header.
    pub etag: Option<&'a str>,
    /// The `Last-Modified` header.
    pub last_modified: Option<&'a str>,
    /// How many requests it took.
    pub attempts: u32,
    /// When the answer had come, in microseconds since 1970.
    pub fetched_at_micros: Option<i64>,
    /// Why it is no plain document, in words.
    pub detail: Option<&'a str>,
}

/// Builds batches of the `outcomes` table. Rows stand as they were pushed.
#[derive(Debug, Default)]
pub struct OutcomesBuilder {
    name: TextColumn,
    outcome: TextColumn,
    http_status: SmallNumberColumn,
    rev: TextColumn,
    etag: TextColumn,
    last_modified: TextColumn,
    attempts: SmallNumberColumn,
    fetched_at: TimeColumn,
    detail: TextColumn,
}

impl OutcomesBuilder {
    /// A builder without rows.
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
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.name.rows()
    }

    /// The rows since the last batch. Fails only by a mistake of this program's own.
    pub fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(
            TableKind::Outcomes,
            &mut [
                &mut self.name,
                &mut self.outcome,
                &mut self.http_status,
                &mut self.rev,
                &mut self.etag,
                &mut self.last_modified,
                &mut self.attempts,
                &mut self.fetched_at,
                &mut self.detail,
            ],
        )
    }
}
