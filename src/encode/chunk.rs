//! The common trait of our column chunk encoders.

use arrow::array::ArrayRef;
use bytes::Bytes;
use parquet::column::writer::ColumnCloseResult;
use zstd::bulk::Compressor;

use crate::error::Result;

/// An encoder of our own for one leaf column, one chunk at a time.
pub(super) trait ChunkEncoder: Send {
    /// Adds rows.
    fn write(&mut self, array: &ArrayRef, compressor: &mut Compressor<'_>) -> Result<()>;
    /// Ends the chunk and begins the next one. Returns its bytes and its metadata for the row group.
    fn finish(&mut self, compressor: &mut Compressor<'_>) -> Result<(Bytes, ColumnCloseResult)>;
}
