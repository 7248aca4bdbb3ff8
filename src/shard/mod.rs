//! Shards: one file of one table for one partition. This module reads shards and merges updates.
//!
//! A shard of Zarr is always called a Zarr shard. Not here: the columns (`table/`), the bytes of a shard (`encode/`),
//! and when a shard counts (`commit`).

mod adapt;
mod cursor;
mod lookup;
#[cfg(test)]
mod lookup_tests;
mod merge;
mod named_rows;
mod old_rows;
mod raw_documents;
mod reader;
mod stored_documents;
#[cfg(test)]
mod tests;

pub use adapt::{fit, refuse_newer, schema_version_of};
pub use cursor::{NameCursor, Row};
pub use lookup::{HeldDocument, document_names, find_documents, find_rows};
pub use merge::ShardMerge;
pub use named_rows::NamedRows;
pub use old_rows::is_alike;
pub use raw_documents::{RawDocument, RawDocumentBatch, RawDocuments};
pub use reader::{ShardReader, doc_rows, document_forms, document_revs, held_outcomes};
pub use stored_documents::StoredDocuments;
