//! The interface between the writer of a shard and the encoders of its columns.

use arrow::array::ArrayRef;
use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use zstd::bulk::Compressor;

use crate::error::Result;

/// An encoder of our own for one column of the file, a chunk at a time.
pub(super) trait ChunkEncoder: Send {
    /// Adds rows.
    fn write(&mut self, array: &ArrayRef, compressor: &mut Compressor<'_>) -> Result<()>;
    /// Ends the chunk: its bytes, and what the row group is to know of it. The next chunk begins.
    fn finish(&mut self, compressor: &mut Compressor<'_>) -> Result<(Bytes, ColumnCloseResult)>;
}
