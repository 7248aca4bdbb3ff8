//! The Parquet encoder: batches of a table to the bytes of a shard.
//!
//! Not here: the columns of a table (`table/`), reading a shard back and the merge of an update (`shard/`), and where
//! the bytes go (`store/`). No I/O of its own: the caller gives the sink.

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
