//! Shards: one file of one table for one partition, Parquet in and out, and the merge of an update.
//!
//! A Zarr shard is another thing and always called so. Not here: what the columns are (`table/`), and when a shard
//! counts (`commit`).

mod bits;
mod cursor;
mod delta;
mod dictionary;
mod flat_chunk;
mod levels;
mod lookup;
#[cfg(test)]
mod lookup_tests;
mod merge;
mod pages;
mod properties;
mod reader;
mod runs;
mod stored_documents;
#[cfg(test)]
mod tests;
mod text_bounds;
mod text_chunk;
mod text_page;
mod writer;

pub use cursor::{NameCursor, Row};
pub use lookup::{HeldDocument, document_names, find_documents};
pub use merge::ShardMerge;
pub use reader::{HeldOutcome, ShardReader, abbreviated_names, doc_rows, document_revs, held_outcomes};
pub use stored_documents::StoredDocuments;
pub use writer::ShardWriter;
