//! The interface of the writer of one output format, and the reasons why it stops. Not here: the formats (`write`).

use std::io;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;

use crate::error::Error;

/// The writer of one format.
pub(super) trait BatchWriter: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Stopped>;
    fn finish(self: Box<Self>) -> Result<(), Stopped>;
}

/// The reason why writing ended early: the statement failed, or the output did.
pub(super) enum Stopped {
    Query(Error),
    Output(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Query(error)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Stopped::Output(error.into())
    }
}

impl From<ArrowError> for Stopped {
    fn from(error: ArrowError) -> Self {
        Stopped::Output(error.into())
    }
}

impl From<ParquetError> for Stopped {
    fn from(error: ParquetError) -> Self {
        Stopped::Output(error.into())
    }
}
