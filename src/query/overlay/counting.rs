//! The rows of a shard that count, as ranges. A session finds them once for each version of a shard, and then reads the
//! shard without the column of names. Not here: which names count (`view`), and conditions on rows (`mask`).

use std::sync::Arc;

use arrow::array::{Array, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int32Type, Schema};
use datafusion::common::internal_datafusion_err;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::file::metadata::PageIndexPolicy;
use tokio_util::task::AbortOnDropHandle;

use super::names::{Cursor, Names};
use super::view::{Source, View};
use crate::query::plan_limits::FOOTER_GUESS_BYTES;
use crate::query::shard_bounds::{SORT_COLUMN, SourceFile};
use crate::query::shard_reader::ShardReaderFactory;

/// The rows that are decoded at once. The rows of a package are one run in the file, which costs little to decode.
const BATCH_ROWS: usize = 65_536;

impl View {
    /// Gives each shard with rows that do not count the ranges of the others, if the session has them. If not, they are
    /// found, at most `at_once` at the same time; with 0 none is, and the shard stays masked.
    pub(in crate::query) async fn with_counting_rows(
        self: &Arc<Self>,
        shards: Vec<SourceFile>,
        readers: &Arc<ShardReaderFactory>,
        at_once: usize,
    ) -> Result<Vec<SourceFile>> {
        let with_rows = |shard: SourceFile| {
            let (view, readers) = (Arc::clone(self), Arc::clone(readers));
            async move {
                if !shard.is_masked {
                    return Ok(shard);
                }
                let rows = match view.kept_rows.get(&shard.file.object_meta) {
                    Some(rows) => rows,
                    None if at_once == 0 => return Ok(shard),
                    None => {
                        let meta = shard.file.object_meta.clone();
                        // Decoding takes a while, so each shard has its own task.
                        let task = tokio::spawn(async move { view.find_rows(&meta, shard.source, &readers).await });
                        let found = AbortOnDropHandle::new(task).await;
                        found.map_err(|died| DataFusionError::ExecutionJoin(Box::new(died)))??
                    }
                };
                let file = shard.file.with_extension(ParquetRowSelection::new(rows));
                Ok(SourceFile { file, is_masked: false, ..shard })
            }
        };
        stream::iter(shards).map(with_rows).buffered(at_once.max(1)).try_collect().await
    }

    async fn find_rows(
        &self,
        shard: &ObjectMeta,
        source: Source,
        readers: &ShardReaderFactory,
    ) -> Result<RowSelection> {
        let none = Names::of([]);
        let rows = counting_rows(shard, self.hidden(source).unwrap_or(&none), readers).await?;
        self.kept_rows.keep(shard, rows.clone());
        Ok(rows)
    }
}

/// Returns the rows of a shard whose names are not `hidden`. `readers` expect the version of the shard.
async fn counting_rows(shard: &ObjectMeta, hidden: &Names, readers: &ShardReaderFactory) -> Result<RowSelection> {
    let file = PartitionedFile::new_from_meta(shard.clone());
    let mut reader: Box<dyn AsyncFileReader> =
        readers.create_reader(0, file, Some(FOOTER_GUESS_BYTES), &ExecutionPlanMetricsSet::new())?;
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
    let footer = reader.get_metadata(Some(&options)).await?;
    let columns = parquet_to_arrow_schema(footer.file_metadata().schema_descr(), None)?;
    let metadata = ArrowReaderMetadata::try_new(footer, options.with_schema(Arc::new(with_dictionary(&columns))))?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
    let names = ProjectionMask::columns(builder.parquet_schema(), [SORT_COLUMN]);
    let mut batches = builder.with_projection(names).with_batch_size(BATCH_ROWS).build()?;
    let mut rows = Rows { cursor: hidden.cursor(), selectors: Vec::new() };
    while let Some(batch) = batches.try_next().await? {
        let names = batch.column_by_name(SORT_COLUMN).and_then(|names| names.as_dictionary_opt::<Int32Type>());
        let names = names.ok_or_else(|| internal_datafusion_err!("names are no dictionary"))?;
        rows.add(names).ok_or_else(|| internal_datafusion_err!("a dictionary of names is not one of texts"))?;
    }
    Ok(rows.selectors.into())
}

/// Returns the columns with the names as a dictionary: a run of equal names is then a run of equal keys.
fn with_dictionary(columns: &Schema) -> Schema {
    let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let typed = |field: &FieldRef| match field.name() == SORT_COLUMN {
        true => Arc::new(Field::new(SORT_COLUMN, names.clone(), field.is_nullable())),
        false => Arc::clone(field),
    };
    Schema::new(columns.fields().iter().map(typed).collect::<Vec<_>>())
}

/// The rows of a shard up to some row.
struct Rows<'n> {
    cursor: Cursor<'n>,
    selectors: Vec<RowSelector>,
}

impl Rows<'_> {
    /// Adds the next rows. Returns nothing if their names are no texts.
    fn add(&mut self, names: &DictionaryArray<Int32Type>) -> Option<()> {
        let texts: &StringArray = names.values().as_string_opt()?;
        let runs = names.keys().values().chunk_by(|one, next| one == next);
        for run in runs {
            let place = run.first().and_then(|key| usize::try_from(*key).ok()).filter(|place| *place < texts.len())?;
            let is_skipped = self.cursor.finds(texts.value(place));
            match self.selectors.last_mut() {
                Some(last) if last.skip == is_skipped => last.row_count += run.len(),
                _ => self.selectors.push(RowSelector { row_count: run.len(), skip: is_skipped }),
            }
        }
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_name_count_together_also_across_batches() {
        let hidden = Names::of(["b", "d"]);
        let mut rows = Rows { cursor: hidden.cursor(), selectors: Vec::new() };
        for batch in [vec!["a", "b", "b"], vec!["b", "c", "c"], vec!["c"], vec!["d", "d"]] {
            rows.add(&batch.into_iter().collect()).unwrap();
        }
        let expected = [(1, false), (3, true), (3, false), (2, true)];
        let found: Vec<_> = rows.selectors.iter().map(|rows| (rows.row_count, rows.skip)).collect();
        assert_eq!(found, expected);
    }
}
