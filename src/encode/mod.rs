//! The Parquet encoder: turns the batches of a table into the bytes of a shard.
//!
//! Not here: the columns of a table (`table/`), reading a shard and the merge of an update (`shard/`), and storing the
//! bytes (`store/`). The module does no I/O: the caller provides the sink.
//!
//! For the same batches the Parquet library's encoder takes 2.1 times the processor time without raw documents, and 1.2
//! times for raw documents (`benches/runs/2026-11-28-update.md`).

mod bits;
mod chunk;
mod column;
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
