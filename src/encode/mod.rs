//! The Parquet encoder: batches of a table to the bytes of a shard.
//!
//! Not here: the columns of a table (`table/`), reading a shard back and the merge of an update (`shard/`), and where
//! the bytes go (`store/`). No I/O of its own: the caller gives the sink.
//!
//! The Parquet library's own encoder takes 2.1 times the processor time for the same batches without raw documents, and 1.2
//! times for raw documents (`benches/runs/2026-11-28-update.md`).

mod bits;
mod chunk;
mod column;
mod delta;
mod dictionary;
mod flat_chunk;
mod groups;
mod levels;
mod names;
mod pages;
mod properties;
mod runs;
mod text_bounds;
mod text_chunk;
mod text_page;
mod writer;

pub use names::Names;
pub use properties::library_properties;
pub use writer::{EncodedGroup, ShardWriter};
