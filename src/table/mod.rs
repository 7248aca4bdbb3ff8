//! Documents to columns: one file a table, each with its columns and how a document becomes its rows.
//!
//! Not here: Parquet (`shard/`), and where a document comes from (`fetch`). No runtime and no I/O, so that the room
//! also compiles for WebAssembly.

mod column;
mod dependencies;
mod dist_tags;
mod docs;
mod document;
mod kind;
mod limits;
mod maintainers;
mod outcomes;
mod packages;
mod packuments;
mod quirks;
mod read;
mod schema;
mod scripts;
mod shapes;
mod stars;
mod times;
mod unpublished;
mod version_shapes;
mod versions;

pub use docs::DocsBuilder;
pub use document::{Decoded, DocumentInput, DocumentTables, Drain};
pub use kind::TableKind;
pub use outcomes::{OutcomeRow, OutcomesBuilder};
pub use schema::{schema, schema_version};

#[cfg(test)]
mod tests;
