//! One table of a lake as the engine scans it: lists the shards, selects those that a statement may need, and orders
//! them. Not here: reading a shard (`shard_reader`).
//!
//! A shard's file name gives the range of its names. So a lookup by name opens one file of hundreds, and rows come in
//! the order of names without a sort. The engine's own listing table would have to open every file for that.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics, internal_datafusion_err, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, col};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr, conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;

use crate::lake::{Partition, TableAge};
use crate::table::TableKind;

use super::few_rows::FirstRowsOf;
use super::lake_location::LakeLocation;
use super::lost_shards::{are_gapless, manifests_of, refuse_lost, stem_of, with_lost};
use super::old_columns::OldColumns;
use super::overlay::{IsNewest, OriginOverlay, Source, View, source_field};
use super::plan_limits::{FOOTER_GUESS_BYTES, LOOKUP_SHARDS};
use super::read_ahead::ReadAhead;
use super::shard_bounds::{SORT_COLUMN, SourceFile, groups, needed};
use super::shard_reader::ShardReaderFactory;
use super::snapshot::Snapshot;

/// The column that says whether a row belongs to the version that its package's tag `latest` points to.
pub(super) const LATEST_COLUMN: &str = "is_latest";

/// The rough number of versions of an npm package.
const VERSIONS_PER_PACKAGE: usize = 10;

/// A table of a lake, for one statement.
#[derive(Debug)]
pub(super) struct ShardTable {
    location: LakeLocation,
    folder: ObjectPath,
    kind: TableKind,
    schema: SchemaRef,
    /// Its shards that earlier versions wrote.
    age: TableAge,
    /// The stems of the shards that manifests name.
    named: Arc<BTreeSet<String>>,
    overlay: Arc<OriginOverlay>,
    /// Whether only rows with `is_latest` are read.
    is_latest_only: bool,
}

/// The content of a table's folder.
#[derive(Debug)]
struct Listing {
    /// In the order of names.
    shards: Vec<SourceFile>,
    /// Whether each file is one of our shards, and so sorted by name.
    are_sorted: bool,
}

impl ShardTable {
    pub(super) fn new(
        location: LakeLocation,
        folder: ObjectPath,
        kind: TableKind,
        schema: SchemaRef,
        age: TableAge,
        named: Arc<BTreeSet<String>>,
        overlay: Arc<OriginOverlay>,
    ) -> Self {
        ShardTable { location, folder, kind, schema, age, named, overlay, is_latest_only: false }
    }

    /// Returns the same table with only the rows of latest versions. The table must have `is_latest`.
    pub(super) fn latest_only(&self) -> Self {
        ShardTable {
            location: self.location.clone(),
            folder: self.folder.clone(),
            kind: self.kind,
            schema: Arc::clone(&self.schema),
            age: self.age,
            named: Arc::clone(&self.named),
            overlay: Arc::clone(&self.overlay),
            is_latest_only: true,
        }
    }

    pub(super) fn is_latest_only(&self) -> bool {
        self.is_latest_only
    }

    /// Returns whether both are tables of the same origin of the same lake.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let origin = |table: &Self| {
            let mut parts: Vec<_> = table.folder.parts().collect();
            parts.pop();
            parts.into_iter().collect::<ObjectPath>()
        };
        self.location.store_url == other.location.store_url && origin(self) == origin(other)
    }

    pub(super) fn kind(&self) -> TableKind {
        self.kind
    }

    /// Returns its shards that earlier versions wrote.
    pub(super) fn age(&self) -> TableAge {
        self.age
    }

    /// Lists the base shards, and those of the deltas of a view.
    async fn listing(&self, snapshot: &Snapshot, view: Option<&View>) -> Result<Listing> {
        let found = snapshot.list(&self.location, &self.folder).await?;
        let named = self.named(snapshot, &found).await?;
        let mut shards: Vec<(Option<Partition>, ObjectMeta)> = with_lost(&self.folder, found, &named)
            .into_iter()
            .filter_map(|meta| Some((self.range_of(&meta, &named)?, meta)))
            .collect();
        let are_sorted = shards.iter().all(|(range, _)| range.is_some());
        let order = |(range, meta): &(Option<Partition>, ObjectMeta)| {
            (range.as_ref().and_then(|range| range.start.clone()), meta.location.clone())
        };
        shards.sort_by_cached_key(order);
        let of_base = |(range, meta): (Option<Partition>, ObjectMeta)| {
            let source = view.map_or(Source::Untouched, |view| view.of_base(range.as_ref()));
            SourceFile::of_base(&self.schema, range.as_ref(), source, meta)
        };
        let mut shards: Vec<SourceFile> = shards.into_iter().map(of_base).collect();
        if let Some(view) = view {
            for (source, meta) in self.overlay.shards(view, self.kind, snapshot).await? {
                let Some(ends) = view.ends_of(source) else { continue };
                shards.push(SourceFile::of_delta(&self.schema, ends, source, meta));
            }
        }
        Ok(Listing { shards, are_sorted })
    }

    /// Returns the stems of the shards that should be there. A session on a far store has read no manifests if the lake
    /// metadata told it enough. It misses a shard by the names that no shard has, and looks which manifests there are.
    async fn named(&self, snapshot: &Snapshot, found: &[ObjectMeta]) -> Result<Arc<BTreeSet<String>>> {
        let stems = || found.iter().filter(|meta| meta.size > 0).filter_map(|meta| stem_of(&self.folder, meta));
        if self.location.opens_files || !self.named.is_empty() || are_gapless(stems()) {
            return Ok(Arc::clone(&self.named));
        }
        let Some(folder) = manifests_of(&self.folder) else { return Ok(Arc::clone(&self.named)) };
        let manifests = snapshot.list(&self.location, &folder).await?;
        let stem = |meta: &ObjectMeta| Some(meta.location.filename()?.strip_suffix(".json")?.to_owned());
        Ok(Arc::new(manifests.iter().filter_map(stem).collect()))
    }

    /// Returns the range of a file's names; `None` for a file in this table's folder that is no shard. A Parquet file
    /// of another name, such as a user's copy, has an unknown range, `Some(None)`: a plain glob would read it too.
    fn range_of(&self, meta: &ObjectMeta, named: &BTreeSet<String>) -> Option<Option<Partition>> {
        let stem = stem_of(&self.folder, meta)?;
        // macOS puts a hidden file beside each other file on a foreign disk. `verify` reports it.
        let is_shard = !stem.starts_with('.') && (meta.size > 0 || named.contains(&stem));
        is_shard.then(|| Partition::from_file_stem(&stem))
    }

    /// Returns the columns that a scan in a store that opens no files reads together: those of a look-up of few names, and
    /// those of a scan whose only condition leaves out few rows. Returns `None` for any other scan.
    fn read_together(
        &self,
        shard_count: usize,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        is_masked: bool,
    ) -> Option<HashSet<String>> {
        let mut of_filters: HashSet<String> =
            filters.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()).collect();
        let is_of_all = is_masked && filters.is_empty() && !self.is_latest_only;
        let is_lookup = shard_count <= LOOKUP_SHARDS && of_filters.contains(SORT_COLUMN);
        if self.location.opens_files || !(is_of_all || is_lookup) {
            return None;
        }
        of_filters.insert(SORT_COLUMN.to_owned());
        let fields = self.schema.fields().iter().enumerate();
        let projected = fields.filter(|(index, _)| projection.is_none_or(|projection| projection.contains(index)));
        Some(projected.map(|(_, field)| field.name().clone()).chain(of_filters).collect())
    }

    /// Returns the order of rows within each group of shards. The engine checks that a group's bounds do not overlap.
    fn by_name(&self, state: &dyn Session) -> Result<LexOrdering> {
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let name = state.create_physical_expr(col(SORT_COLUMN), &schema)?;
        let order = PhysicalSortExpr::new_default(name).asc().nulls_last();
        LexOrdering::new([order]).ok_or_else(|| internal_datafusion_err!("an ordering by one column is not empty"))
    }

    /// Estimates sizes for the planner, which joins the smaller table into memory. Exact sizes would cost one read per
    /// shard.
    fn guessed_statistics(&self, schema: &SchemaRef, shards: &[SourceFile]) -> Statistics {
        let stored_bytes: u64 = shards.iter().map(|shard| shard.file.object_meta.size).sum();
        let mut rows = usize::try_from(stored_bytes / self.kind.spec().stored_bytes_per_row).unwrap_or(usize::MAX);
        if self.is_latest_only {
            rows /= VERSIONS_PER_PACKAGE;
        }
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Inexact(rows);
        statistics
    }

    /// Fails if a shard without bytes is lost, and returns the others.
    async fn without_absent(&self, shards: Vec<SourceFile>, view: Option<&View>) -> Result<Vec<SourceFile>> {
        let (shards, absent): (Vec<_>, Vec<_>) = shards.into_iter().partition(|shard| shard.file.object_meta.size > 0);
        let (of_deltas, of_base): (Vec<_>, Vec<_>) =
            absent.into_iter().partition(|shard| matches!(shard.source, Source::Delta(_)));
        let of_base = of_base.into_iter().map(|shard| shard.file.object_meta.location).collect();
        refuse_lost(&self.location, &self.folder, self.kind, of_base).await?;
        if let Some(view) = view {
            let of_deltas: Vec<ObjectMeta> = of_deltas.into_iter().map(|shard| shard.file.object_meta).collect();
            self.overlay.refuse_lost(view, &of_deltas).await?;
        }
        Ok(shards)
    }

    /// Opens the shards as long as they may be kept open.
    async fn kept(&self, shards: Vec<SourceFile>, snapshot: &Snapshot) -> Result<Vec<SourceFile>> {
        let files: Vec<PartitionedFile> = shards.iter().map(|shard| shard.file.clone()).collect();
        let kept = snapshot.keep(&self.location, files).await;
        let kept = kept.map_err(|fault| DataFusionError::External(Box::new(fault)))?;
        Ok(shards.into_iter().zip(kept).map(|(shard, file)| SourceFile { file, ..shard }).collect())
    }

    /// Returns the condition on the rows that are read.
    fn condition(&self, state: &dyn Session, masked_by: Option<Arc<View>>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let mut conditions: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        if self.is_latest_only {
            let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
            conditions.push(state.create_physical_expr(col(LATEST_COLUMN), &schema)?);
        }
        if let Some(view) = masked_by {
            let name = (SORT_COLUMN, self.schema.index_of(SORT_COLUMN)?);
            conditions.push(Arc::new(IsNewest::new(name, self.schema.fields().len(), view)));
        }
        Ok((!conditions.is_empty()).then(|| conjunction(conditions)))
    }
}

/// Returns whether a filter reads `is_latest`.
fn asks_for_latest(filter: &Expr) -> bool {
    filter.column_refs().iter().any(|column| column.name == LATEST_COLUMN)
}

#[async_trait]
impl TableProvider for ShardTable {
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
        let view = self.overlay.view(state, &snapshot).await?;
        let Listing { shards, are_sorted } = self.listing(&snapshot, view.as_deref()).await?;
        // Rows that go from worker to worker lose their order, and the engine does not know it.
        #[cfg(feature = "distributed")]
        let are_sorted = are_sorted && !super::fleet::has_workers(state.config());
        let shards = needed(state, &self.schema, shards, filters, view.as_deref())?;
        let shards = self.overlay.found(shards, &snapshot).await?;
        let shards = self.without_absent(shards, view.as_deref()).await?;
        if shards.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let mut shards = self.kept(shards, &snapshot).await?;
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        // The first shard may have all rows that the statement needs. So it does not look for ranges, and does not read ahead.
        let is_of_few = limit.is_some() || FirstRowsOf::has(state, self.kind);
        if let Some(view) = view.as_ref().filter(|_| self.location.opens_files) {
            let plain = ShardReaderFactory::plain(Some(self.kind), &self.location, &snapshot, &footers);
            let readers = ShardReaderFactory { expects_versions: true, ..plain };
            let at_once = if is_of_few { 0 } else { state.config().target_partitions() };
            shards = Box::pin(view.with_counting_rows(shards, &Arc::new(readers), at_once)).await?;
        }
        let masked_by = view.filter(|_| shards.iter().any(|shard| shard.is_masked));
        let mut schema = TableSchema::from(&self.schema);
        let mut projection = projection.cloned();
        if masked_by.is_some() {
            schema =
                TableSchema::builder(Arc::clone(&self.schema)).with_table_partition_cols(vec![source_field()]).build();
            projection.get_or_insert_with(|| (0..self.schema.fields().len()).collect());
            shards = shards.into_iter().map(SourceFile::with_source).collect();
        }
        let statistics = self.guessed_statistics(schema.table_schema(), &shards);
        let together = self.read_together(shards.len(), projection.as_ref(), filters, masked_by.is_some());
        let mut options = state.default_table_options().parquet;
        if self.is_latest_only || filters.iter().any(asks_for_latest) {
            // Rows of latest versions are scattered, and the cache holds the columns of a filter in whole batches. With
            // the cache, all rows of each column that a filter reads would be decoded, for one row in twenty.
            options.global.max_predicate_cache_size = Some(0);
        }
        // The names lead to one row group or two, and each Bloom filter would be a request.
        options.global.bloom_filter_on_read &= together.is_none();
        let groups = groups(shards, state.config().target_partitions());
        let readers = Arc::new(ShardReaderFactory {
            kind: Some(self.kind),
            location: self.location.clone(),
            snapshot,
            footers,
            has_filter: self.is_latest_only || !filters.is_empty(),
            looked_up: together.map(Arc::new),
            ahead: if is_of_few { None } else { ReadAhead::of(&groups) },
            expects_versions: false,
        });
        #[cfg(feature = "distributed")]
        let groups = readers.mark(groups);
        let mut source = ParquetSource::new(schema)
            .with_table_parquet_options(options)
            .with_metadata_size_hint(FOOTER_GUESS_BYTES)
            .with_parquet_file_reader_factory(readers);
        if let Some(condition) = self.condition(state, masked_by)? {
            source = source.with_predicate(condition);
        }
        let scan = FileScanConfigBuilder::new(self.location.store_url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection)?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(OldColumns)))
            .with_output_ordering(if are_sorted { vec![self.by_name(state)?] } else { Vec::new() })
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}
