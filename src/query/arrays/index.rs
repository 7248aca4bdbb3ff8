//! The table `package_index`: the row of each name in the arrays, from one Parquet file that is sorted by name. A scan of
//! an array finds the rows of names by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics, project_schema};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use object_store::path::Path as ObjectPath;

use super::conditions::holds_for;
use super::names::Names;
use crate::lake::OriginLayout;
use crate::query::failure::ShardFault;
use crate::query::lake_location::LakeLocation;
use crate::query::plan_limits::FOOTER_GUESS_BYTES;
use crate::query::shard_reader::ShardReaderFactory;
use crate::query::snapshot::Snapshot;

/// About the bytes of the file for a row.
const STORED_BYTES_PER_ROW: u64 = 12;

/// The columns of the file that say which row a name has.
const NAME_AND_ROW: [usize; 2] = [0, 1];

/// The file of an origin, for one statement.
#[derive(Debug)]
pub(super) struct IndexTable {
    location: LakeLocation,
    path: ObjectPath,
    schema: SchemaRef,
    is_absent: AtomicBool,
}

/// The file, in the version that the statement reads.
#[derive(Debug)]
pub(super) struct OpenIndex {
    location: LakeLocation,
    snapshot: Arc<Snapshot>,
    footers: Arc<FileMetadataCache>,
    options: TableParquetOptions,
    file: PartitionedFile,
    schema: SchemaRef,
}

impl IndexTable {
    pub(super) fn new(location: LakeLocation, layout: &OriginLayout, schema: SchemaRef) -> IndexTable {
        let mut path = location.root.clone();
        path.extend(layout.package_index().split('/'));
        IndexTable { location, path, schema, is_absent: AtomicBool::new(false) }
    }

    pub(super) fn location(&self) -> &LakeLocation {
        &self.location
    }

    /// Returns whether the statement found no file.
    pub(super) fn is_absent(&self) -> bool {
        self.is_absent.load(Ordering::Relaxed)
    }

    /// Opens the file for the statement that is planned with `state`; `None` if there is none.
    pub(super) async fn open(&self, state: &dyn Session) -> Result<Option<OpenIndex>> {
        let snapshot = Snapshot::of(state);
        let Some(found) = snapshot.find(&self.location, &self.path).await? else {
            self.is_absent.store(true, Ordering::Relaxed);
            return Ok(None);
        };
        let file = PartitionedFile::new_from_meta(found).with_metadata_size_hint(FOOTER_GUESS_BYTES);
        let kept = snapshot.keep(&self.location, vec![file]).await;
        let kept = kept.map_err(|fault| DataFusionError::External(Box::new(fault)))?;
        let open = |file| OpenIndex {
            location: self.location.clone(),
            snapshot,
            footers: state.runtime_env().cache_manager.get_file_metadata_cache(),
            options: state.default_table_options().parquet,
            file,
            schema: Arc::clone(&self.schema),
        };
        Ok(kept.into_iter().next().map(open))
    }
}

impl OpenIndex {
    fn plan(
        &self,
        condition: Option<Arc<dyn PhysicalExpr>>,
        projection: Option<Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let readers = ShardReaderFactory {
            // A condition may also be added to the plan later.
            has_filter: true,
            ..ShardReaderFactory::plain(None, &self.location, &self.snapshot, &self.footers)
        };
        let mut source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(self.options.clone())
            .with_metadata_size_hint(FOOTER_GUESS_BYTES)
            .with_parquet_file_reader_factory(Arc::new(readers));
        if let Some(condition) = condition {
            source = source.with_predicate(condition);
        }
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = usize::try_from(self.file.object_meta.size / STORED_BYTES_PER_ROW).unwrap_or(usize::MAX);
        statistics.num_rows = Precision::Inexact(rows);
        let scan = FileScanConfigBuilder::new(self.location.store_url.clone(), Arc::new(source))
            .with_file(self.file.clone())
            .with_statistics(statistics)
            .with_projection_indices(projection)?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    /// Returns the names for which a condition over the name holds; all names without one. Only the pages that may have
    /// some of them are read.
    pub(super) async fn names(
        &self,
        condition: Option<&Arc<dyn PhysicalExpr>>,
        context: &Arc<TaskContext>,
    ) -> Result<Names> {
        let plan = self.plan(condition.cloned(), Some(NAME_AND_ROW.to_vec()), None)?;
        let config = context.session_config();
        let divided = plan.repartitioned(config.target_partitions(), config.options())?;
        let plan = divided.unwrap_or(plan);
        let mut batches = collect(plan, Arc::clone(context)).await?;
        if let Some(condition) = condition {
            for batch in &mut batches {
                *batch = filter_record_batch(batch, &holds_for(condition, Arc::clone(batch.column(0)))?)?;
            }
        }
        Names::of(&batches)
    }

    /// Returns the error that makes the statement be planned again: the file was replaced.
    pub(super) fn is_replaced(&self) -> DataFusionError {
        DataFusionError::External(Box::new(ShardFault::of_replaced(&self.file.object_meta.location)))
    }
}

#[async_trait]
impl TableProvider for IndexTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    /// Leaves the filters to the plan: the engine pushes them into it, since they are not applied exactly here.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(index) = self.open(state).await? else {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        };
        index.plan(None, projection.cloned(), limit)
    }
}
