//! The rows of a statement. A statement that meets a shard that was replaced or removed is planned again, unless some of
//! its rows were returned already.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};

use super::failure::{ReadTables, failure, is_outdated};
use crate::error::{Error, Result};

/// How often a statement is planned at most. It keeps its shards open, so more than one plan is rare.
pub(super) const MAX_PLANS: usize = 20;

/// The rows of a statement, as a stream of batches.
pub struct QueryStream {
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch>>,
    notes: Vec<String>,
}

/// A statement that was planned and runs.
pub(super) struct Begun {
    pub(super) batches: SendableRecordBatchStream,
    pub(super) reads: ReadTables,
    pub(super) notes: Vec<String>,
}

/// Plans a statement and begins to run it.
pub(super) type Begin = Box<dyn Fn() -> BoxFuture<'static, Result<Begun>> + Send>;

/// A statement that runs, and the way to begin it again.
struct Running {
    begin: Begin,
    begun: Begun,
    plans: usize,
    has_returned_rows: bool,
}

impl Running {
    /// Returns the next batch, and the statement as it runs on.
    async fn next(mut self) -> Option<(Result<RecordBatch>, Running)> {
        loop {
            let Begun { batches, reads, .. } = &mut self.begun;
            let batch = batches.next().await?.map_err(|error| failure(error, reads));
            match batch {
                Err(error) if is_outdated(&error) && !self.has_returned_rows && self.plans < MAX_PLANS => {
                    note_outdated(&error, self.plans);
                    self.plans += 1;
                    match (self.begin)().await {
                        Ok(again) => self.begun = again,
                        Err(error) => return Some((Err(error), self)),
                    }
                }
                batch => {
                    self.has_returned_rows |= batch.as_ref().is_ok_and(|batch| batch.num_rows() > 0);
                    return Some((batch, self));
                }
            }
        }
    }
}

/// Tells operators that a statement is planned again.
pub(super) fn note_outdated(error: &Error, plans: usize) {
    tracing::info!(plans, cause = error.message(), "a statement is planned again");
}

impl QueryStream {
    /// Begins a statement.
    pub(super) async fn begin(begin: Begin) -> Result<QueryStream> {
        let begun = begin().await?;
        let (schema, notes) = (begun.batches.schema(), begun.notes.clone());
        let running = Running { begin, begun, plans: 1, has_returned_rows: false };
        Ok(QueryStream { schema, batches: stream::unfold(running, Running::next).boxed(), notes })
    }

    /// Returns the columns of every batch.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// Returns notes on the tables that the statement reads: which of them earlier versions wrote.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_next_unpin(context)
    }
}

impl std::fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryStream").field("schema", &self.schema()).finish_non_exhaustive()
    }
}
