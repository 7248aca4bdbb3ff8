//! The `events` table: what happened to packages, found by comparing the document that the lake held with the one that
//! replaces it.
//!
//! It is no table of documents: its rows stay when a document changes again, and it has a file for each day instead of a
//! shard for each partition. Not here: when events are recorded (`pipeline`), and their files (`event`).

mod compare;
mod document;
mod kind;
mod row;
#[cfg(test)]
mod tests;

pub use compare::{Compared, Happening, compare};
pub use kind::EventKind;
pub use row::{Event, EventOf, event_batch, event_columns, event_schema, events_of};
