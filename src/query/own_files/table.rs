//! The table of a user's files: learns its columns from all rows, and streams the rows of a statement. Memory holds a
//! batch, whatever the size of the files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::find::Found;
use super::request::{Form, Request};
use super::source::{Batches, MOST_COLUMNS, Source};
use super::{csv_table, json_table, typed};
use crate::error::{Context, Error, ErrorKind, Result};

/// Batches that may wait for the rest of the statement.
const WAITING_BATCHES: usize = 2;

/// The columns of a table, and how each is read.
#[derive(Debug, Clone)]
pub(super) enum Columns {
    Json(json_table::JsonColumns),
    Csv(csv_table::CsvColumns),
}

/// A user's files as a table.
#[derive(Debug)]
pub(super) struct OwnTable {
    source: Arc<Source>,
    columns: Arc<Columns>,
    schema: SchemaRef,
}

/// Ends a learning thread if the statement has ended.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl OwnTable {
    /// Reads all rows once to learn the types of the columns.
    ///
    /// Fails with [`ErrorKind::Input`] for a file that cannot be read, a row that is none, and declared columns that do
    /// not fit the file.
    pub(super) async fn learn(found: Found, request: Request, state: &SessionState) -> Result<OwnTable> {
        let mut declared = Vec::new();
        for (name, data_type) in &request.columns {
            declared.push((name.clone(), typed::declared(state, data_type).await?));
        }
        let source = Arc::new(Source { found, request, declared });
        let has_ended = Ended(Arc::default());
        let (reading, ended) = (Arc::clone(&source), Arc::clone(&has_ended.0));
        let learned = tokio::task::spawn_blocking(move || {
            let goes_on = || !ended.load(Ordering::Relaxed);
            match reading.found.form {
                Form::Csv => csv_table::learn(&reading, goes_on).map(Columns::Csv),
                _ => json_table::learn(&reading, goes_on).map(Columns::Json),
            }
        });
        let columns = learned.await.or_error(ErrorKind::Internal, || "a reader of a file panicked".to_owned())??;
        let types = match &columns {
            Columns::Json(columns) => columns.types(),
            Columns::Csv(columns) => columns.types(),
        };
        if types.len() > MOST_COLUMNS {
            let message = format!("{} has more than {MOST_COLUMNS} columns", source.request.path);
            return Err(Error::input(message).hint("a file of records has an object for each row"));
        }
        let fields: Vec<Field> = types.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect();
        Ok(OwnTable { source, columns: Arc::new(columns), schema: Arc::new(Schema::new(fields)) })
    }
}

#[async_trait]
impl TableProvider for OwnTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema: SchemaRef = Arc::new(self.schema.project(&wanted)?);
        let rows = Arc::new(Rows {
            source: Arc::clone(&self.source),
            columns: Arc::clone(&self.columns),
            schema: Arc::clone(&schema),
            wanted,
            most_rows: state.config().batch_size(),
        });
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![rows], None, None, false, limit)?))
    }
}

/// The rows of a statement.
struct Rows {
    source: Arc<Source>,
    columns: Arc<Columns>,
    schema: SchemaRef,
    /// The places of the columns that the statement reads.
    wanted: Vec<usize>,
    most_rows: usize,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("path", &self.source.request.path).finish_non_exhaustive()
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), WAITING_BATCHES);
        let sender = stream.tx();
        let (source, columns) = (Arc::clone(&self.source), Arc::clone(&self.columns));
        let (schema, wanted, most_rows) = (Arc::clone(&self.schema), self.wanted.clone(), self.most_rows);
        stream.spawn_blocking(move || {
            let mut send = |batch| sender.blocking_send(Ok(batch)).is_ok();
            let mut batches = Batches::new(schema, most_rows, &mut send);
            let read = match columns.as_ref() {
                Columns::Json(columns) => json_table::read(&source, columns, &wanted, &mut batches),
                Columns::Csv(columns) => csv_table::read(&source, columns, &wanted, &mut batches),
            };
            read.map_err(|error| DataFusionError::External(Box::new(error)))
        });
        stream.build()
    }
}
