//! What our encoders of a column chunk have in common.

use arrow::array::ArrayRef;
use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use zstd::bulk::Compressor;

use crate::error::Result;

/// An encoder of our own for one leaf of a column, a chunk at a time.
pub(super) trait ChunkEncoder: Send {
    /// Adds rows.
    fn write(&mut self, array: &ArrayRef, compressor: &mut Compressor<'_>) -> Result<()>;
    /// Ends the chunk: its bytes, and what the row group is to know of it. The next chunk begins.
    fn finish(&mut self, compressor: &mut Compressor<'_>) -> Result<(Bytes, ColumnCloseResult)>;
}
