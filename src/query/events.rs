//! The table `events`: the files of days, and those of the feed that are not in one yet. Another file in these folders is
//! not read. Not here: how events are found and drained (`event`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, ScalarValue, Statistics, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use futures::future::try_join_all;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;

use super::lake_location::LakeLocation;
use super::old_columns::OldColumns;
use super::overlay::Source;
use super::plan_limits::FOOTER_GUESS_BYTES;
use super::shard_bounds::{SourceFile, needed};
use super::shard_reader::{ShardReaderFactory, read_columns};
use super::snapshot::Snapshot;
use crate::lake::OriginLayout;
use crate::shard::fit;

/// The column by which the files of days are found.
const TIME_COLUMN: &str = "seen_at";

/// The column that tells repeats.
const ID_COLUMN: &str = "id";

/// About the stored bytes of an event.
const STORED_BYTES_PER_ROW: u64 = 40;

/// The events of an origin, for one statement.
#[derive(Debug)]
pub(super) struct EventsTable {
    location: LakeLocation,
    layout: OriginLayout,
    schema: SchemaRef,
}

/// The files of the table.
struct Files {
    days: Vec<(Date, ObjectMeta)>,
    /// Each with the day of its events.
    feed: Vec<(Date, ObjectMeta)>,
}

impl EventsTable {
    pub(super) fn new(location: LakeLocation, layout: OriginLayout, schema: SchemaRef) -> EventsTable {
        EventsTable { location, layout, schema }
    }

    /// Lists the feed first. So events that are drained meanwhile are in a file of the feed, in that of their day, or in
    /// both.
    async fn files(&self, snapshot: &Snapshot) -> Result<Files> {
        let day_of = |path: &str| {
            let at = jiff::Timestamp::from_microsecond(self.layout.parse_feed_file(path)?).ok()?;
            Some(at.to_zoned(TimeZone::UTC).date())
        };
        let feed = self.listed(snapshot, &self.layout.feed(), day_of).await?;
        let days = self.listed(snapshot, &self.layout.events(), |path| self.layout.parse_events_of_day(path)).await?;
        Ok(Files { days, feed })
    }

    async fn listed(
        &self,
        snapshot: &Snapshot,
        folder: &str,
        day_of: impl Fn(&str) -> Option<Date>,
    ) -> Result<Vec<(Date, ObjectMeta)>> {
        let mut whole = self.location.root.clone();
        whole.extend(folder.split('/'));
        let in_lake = |location: &ObjectPath| -> Option<String> {
            let parts: Vec<String> =
                location.prefix_match(&self.location.root)?.map(|part| part.as_ref().to_owned()).collect();
            Some(parts.join("/"))
        };
        let found = snapshot.list(&self.location, &whole).await?;
        let dated = found.into_iter().filter_map(|meta| Some((day_of(&in_lake(&meta.location)?)?, meta)));
        let mut dated: Vec<_> = dated.collect();
        dated.sort_by(|(_, one), (_, other)| one.location.cmp(&other.location));
        Ok(dated)
    }

    fn readers(&self, state: &dyn Session, snapshot: &Arc<Snapshot>) -> ShardReaderFactory {
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        ShardReaderFactory { has_filter: true, ..ShardReaderFactory::plain(None, &self.location, snapshot, &footers) }
    }

    /// Returns the file of a day with the bounds of its times.
    fn file_of_day(&self, day: Date, meta: ObjectMeta) -> SourceFile {
        let micros = |day: Date| {
            let start = day.to_zoned(TimeZone::UTC).ok();
            start.map_or(i64::MAX, |start| start.timestamp().as_microsecond())
        };
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some((index, field)) = self.schema.column_with_name(TIME_COLUMN)
            && let Some(column) = statistics.column_statistics.get_mut(index)
        {
            let time = |micros: i64| {
                let time = ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
                time.cast_to(field.data_type()).map_or(Precision::Absent, Precision::Exact)
            };
            column.min_value = time(micros(day));
            column.max_value = time(day.tomorrow().map_or(i64::MAX, micros).saturating_sub(1));
        }
        let file = PartitionedFile::new_from_meta(meta)
            .with_metadata_size_hint(FOOTER_GUESS_BYTES)
            .with_statistics(Arc::new(statistics));
        SourceFile { source: Source::Untouched, file, is_masked: false }
    }

    /// Plans the scan of files of days.
    fn scan_days(
        &self,
        state: &dyn Session,
        snapshot: &Arc<Snapshot>,
        files: Vec<PartitionedFile>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let stored_bytes: u64 = files.iter().map(|file| file.object_meta.size).sum();
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = usize::try_from(stored_bytes / STORED_BYTES_PER_ROW).unwrap_or(usize::MAX);
        statistics.num_rows = Precision::Inexact(rows);
        let readers = Arc::new(self.readers(state, snapshot));
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(state.default_table_options().parquet)
            .with_metadata_size_hint(FOOTER_GUESS_BYTES)
            .with_parquet_file_reader_factory(Arc::clone(&readers) as _);
        let groups = FileGroup::new(files).split_files(state.config().target_partitions().max(1));
        #[cfg(feature = "distributed")]
        let groups = readers.mark(groups);
        let scan = FileScanConfigBuilder::new(self.location.store_url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(OldColumns)))
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    /// Reads the files of the feed. Events that are in the file of their day too are left out, and so are repeats.
    async fn feed(&self, state: &dyn Session, snapshot: &Arc<Snapshot>, files: &Files) -> Result<Vec<RecordBatch>> {
        let readers = self.readers(state, snapshot);
        let read = |(_, meta): &(Date, ObjectMeta)| read_columns(meta.clone(), &readers, None);
        let of_files: Vec<Vec<RecordBatch>> = try_join_all(files.feed.iter().map(read)).await?;
        let is_of_feed = |day: &Date| files.feed.iter().any(|(of_feed, _)| of_feed == day);
        let mut known: HashSet<(Date, String)> = HashSet::new();
        for (day, meta) in files.days.iter().filter(|(day, _)| is_of_feed(day)) {
            for batch in read_columns(meta.clone(), &readers, Some(ID_COLUMN)).await? {
                let ids = batch.column_by_name(ID_COLUMN).and_then(|ids| ids.as_string_opt::<i32>());
                known.extend(ids.into_iter().flatten().flatten().map(|id| (*day, id.to_owned())));
            }
        }
        let mut fresh = Vec::new();
        for ((day, _), batches) in files.feed.iter().zip(of_files) {
            for batch in batches {
                let batch = self.fitted(&batch)?;
                let ids = batch.column_by_name(ID_COLUMN).and_then(|ids| ids.as_string_view_opt());
                let is_new = |id: Option<&str>| Some(id.is_none_or(|id| known.insert((*day, id.to_owned()))));
                let is_new: BooleanArray = ids.into_iter().flatten().map(is_new).collect();
                fresh.push(filter_record_batch(&batch, &is_new)?);
            }
        }
        Ok(fresh)
    }

    /// Returns a batch of a file with the columns and types of the table.
    fn fitted(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |field: &FieldRef| -> ArrayRef {
            match batch.column_by_name(field.name()) {
                Some(column) => fit(column, field.data_type()),
                None => new_null_array(field.data_type(), batch.num_rows()),
            }
        };
        let columns = self.schema.fields().iter().map(column).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = Snapshot::of(state);
        let files = self.files(&snapshot).await?;
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !files.feed.is_empty() {
            let fresh = Box::pin(self.feed(state, &snapshot, &files)).await?;
            plans.push(MemorySourceConfig::try_new_exec(&[fresh], Arc::clone(&self.schema), projection.cloned())?);
        }
        let days = files.days.into_iter().map(|(day, meta)| self.file_of_day(day, meta)).collect();
        let days = needed(state, &self.schema, days, filters, None)?;
        if !days.is_empty() {
            let kept = snapshot.keep(&self.location, days.into_iter().map(|day| day.file).collect()).await;
            let kept = kept.map_err(|fault| DataFusionError::External(Box::new(fault)))?;
            plans.push(self.scan_days(state, &snapshot, kept, projection, limit)?);
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?))),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }
}
