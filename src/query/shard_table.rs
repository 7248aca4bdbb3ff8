//! One table of a lake as the engine scans it: lists the shards, selects those that a statement may need, and orders
//! them. Not here: reading a shard (`shard_reader`).
//!
//! A shard's file name gives the range of its names. So a lookup by name opens one file of hundreds, and rows come in
//! the order of names without a sort. The engine's own listing table would have to open every file for that.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, ScalarValue, Statistics, internal_datafusion_err, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, col};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;

use crate::lake::{Partition, TableAge};
use crate::table::TableKind;

use super::lake_location::LakeLocation;
use super::lost_shards::{are_gapless, manifests_of, refuse_lost, stem_of, with_lost};
use super::old_columns::OldColumns;
use super::plan_limits::{FOOTER_GUESS_BYTES, LOOKUP_SHARDS};
use super::read_ahead::ReadAhead;
use super::shard_reader::ShardReaderFactory;
use super::snapshot::Snapshot;

/// The column that every table is sorted by.
pub(super) const SORT_COLUMN: &str = "name";

/// The column that says whether a row belongs to the version that its package's tag `latest` points to.
pub(super) const LATEST_COLUMN: &str = "is_latest";

/// The engine needs a value that stands for any ending of a name: the last code point, repeated this many times. That
/// code point is not a character, so no name contains it.
const ANY_ENDING_CHARS: usize = 64;

/// The longest `in (…)` list whose names are all looked up in the ranges of the shards. A name costs one comparison per
/// shard, so thousands of names still cost less than opening one file.
const MOST_LISTED_NAMES: usize = 2_000;

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
    /// Whether only rows with `is_latest` are read.
    is_latest_only: bool,
}

/// The content of a table's folder.
#[derive(Debug)]
struct Listing {
    /// In the order of names.
    shards: Vec<PartitionedFile>,
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
    ) -> Self {
        ShardTable { location, folder, kind, schema, age, named, is_latest_only: false }
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

    async fn listing(&self, snapshot: &Snapshot) -> Result<Listing> {
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
        let shards = shards.into_iter().map(|(range, meta)| self.partitioned_file(range.as_ref(), meta)).collect();
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

    fn partitioned_file(&self, range: Option<&Partition>, meta: ObjectMeta) -> PartitionedFile {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(range) = range
            && let Some((index, field)) = self.schema.column_with_name(SORT_COLUMN)
            && let Some(column) = statistics.column_statistics.get_mut(index)
        {
            let start = range.start.clone().unwrap_or_default();
            let end = greatest_below(range.end.as_deref());
            // These are bounds, not values that occur. The engine prunes by "exact" bounds only. It takes them for
            // values only in the statistics of a table or a group, never in those of a file.
            column.min_value = Precision::Exact(text(field.data_type(), start));
            column.max_value = Precision::Exact(text(field.data_type(), end));
        }
        PartitionedFile::new_from_meta(meta)
            .with_metadata_size_hint(FOOTER_GUESS_BYTES)
            .with_statistics(Arc::new(statistics))
    }

    /// Returns the shards that may hold rows for which all `filters` hold.
    fn needed(
        &self,
        state: &dyn Session,
        shards: &[PartitionedFile],
        filters: &[Expr],
    ) -> Result<Vec<PartitionedFile>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(shards.to_vec()) };
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&self.schema))?)?;
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.schema))
            .with_max_in_list_size(MOST_LISTED_NAMES)
            .try_build(filter)?;
        let known: Vec<Arc<Statistics>> = shards.iter().filter_map(|shard| shard.statistics.clone()).collect();
        if known.len() != shards.len() {
            return Err(internal_datafusion_err!("a shard without bounds"));
        }
        let kept = predicate.prune(&PrunableStatistics::new(known, Arc::clone(&self.schema)))?;
        Ok(shards.iter().zip(kept).filter(|(_, kept)| *kept).map(|(shard, _)| shard.clone()).collect())
    }

    /// Returns the columns of a look-up of few names in a store that opens no files; `None` for any other scan.
    fn looked_up(
        &self,
        shard_count: usize,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Option<HashSet<String>> {
        let of_filters: HashSet<String> =
            filters.iter().flat_map(Expr::column_refs).map(|column| column.name.clone()).collect();
        if self.location.opens_files || shard_count > LOOKUP_SHARDS || !of_filters.contains(SORT_COLUMN) {
            return None;
        }
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
    fn guessed_statistics(&self, shards: &[PartitionedFile]) -> Statistics {
        let stored_bytes: u64 = shards.iter().map(|shard| shard.object_meta.size).sum();
        let mut rows = usize::try_from(stored_bytes / self.kind.spec().stored_bytes_per_row).unwrap_or(usize::MAX);
        if self.is_latest_only {
            rows /= VERSIONS_PER_PACKAGE;
        }
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(rows);
        statistics
    }
}

/// Returns whether a filter reads `is_latest`.
fn asks_for_latest(filter: &Expr) -> bool {
    filter.column_refs().iter().any(|column| column.name == LATEST_COLUMN)
}

fn text(data_type: &DataType, value: String) -> ScalarValue {
    match data_type {
        DataType::Utf8View => ScalarValue::Utf8View(Some(value)),
        DataType::LargeUtf8 => ScalarValue::LargeUtf8(Some(value)),
        _ => ScalarValue::Utf8(Some(value)),
    }
}

/// Returns a text below `end` that no name below `end` exceeds.
fn greatest_below(end: Option<&str>) -> String {
    let any_ending = || char::MAX.to_string().repeat(ANY_ENDING_CHARS);
    let Some(end) = end else { return any_ending() };
    let mut below = end.to_owned();
    if let Some(before) = below.pop().and_then(|last| ('\0'..last).next_back()) {
        below.push(before);
        below.push_str(&any_ending());
    }
    below
}

/// Divides the shards into at most `count` groups of about the same size. Each group holds neighbouring shards, so it
/// is in the order of names.
fn groups(shards: Vec<PartitionedFile>, count: usize) -> Vec<FileGroup> {
    let count = count.max(1) as u64;
    let total_bytes: u64 = shards.iter().map(|shard| shard.object_meta.size).sum();
    let group_bytes = total_bytes.div_ceil(count).max(1);
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = Vec::new();
    let mut before_bytes = 0;
    for shard in shards {
        let middle = before_bytes + shard.object_meta.size / 2;
        before_bytes += shard.object_meta.size;
        let index = middle / group_bytes;
        match groups.last_mut() {
            Some((last, group)) if *last == index => group.push(shard),
            _ => groups.push((index, vec![shard])),
        }
    }
    groups.into_iter().map(|(_, group)| FileGroup::new(group)).collect()
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
        let listing = self.listing(&snapshot).await?;
        let shards = self.needed(state, &listing.shards, filters)?;
        let (shards, absent): (Vec<_>, Vec<_>) = shards.into_iter().partition(|shard| shard.object_meta.size > 0);
        let absent = absent.into_iter().map(|shard| shard.object_meta.location).collect();
        refuse_lost(&self.location, &self.folder, self.kind, absent).await?;
        if shards.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema, projection)?)));
        }
        let kept = snapshot.keep(&self.location, shards).await;
        let shards = kept.map_err(|fault| DataFusionError::External(Box::new(fault)))?;
        let statistics = self.guessed_statistics(&shards);
        let looked_up = self.looked_up(shards.len(), projection, filters);
        let mut options = state.default_table_options().parquet;
        if self.is_latest_only || filters.iter().any(asks_for_latest) {
            // Rows of latest versions are scattered, and the cache holds the columns of a filter in whole batches. With
            // the cache, all rows of each column that a filter reads would be decoded, for one row in twenty.
            options.global.max_predicate_cache_size = Some(0);
        }
        // The names lead to one row group or two, and each Bloom filter would be a request.
        options.global.bloom_filter_on_read &= looked_up.is_none();
        let groups = groups(shards, state.config().target_partitions());
        let readers = ShardReaderFactory {
            kind: Some(self.kind),
            location: self.location.clone(),
            snapshot,
            footers: state.runtime_env().cache_manager.get_file_metadata_cache(),
            has_filter: self.is_latest_only || !filters.is_empty(),
            looked_up: looked_up.map(Arc::new),
            // A statement with a limit may need no other shard than the first.
            ahead: if limit.is_some() { None } else { ReadAhead::of(&groups) },
        };
        let mut source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(options)
            .with_metadata_size_hint(FOOTER_GUESS_BYTES)
            .with_parquet_file_reader_factory(Arc::new(readers));
        if self.is_latest_only {
            let is_latest = DFSchema::try_from(Arc::clone(&self.schema))
                .and_then(|schema| state.create_physical_expr(col(LATEST_COLUMN), &schema))?;
            source = source.with_predicate(is_latest);
        }
        let scan = FileScanConfigBuilder::new(self.location.store_url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_expr_adapter(Some(Arc::new(OldColumns)))
            .with_output_ordering(if listing.are_sorted { vec![self.by_name(state)?] } else { Vec::new() })
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_name_below_an_end_is_below_it_and_above_all_others() {
        for (end, others) in [
            (Some("c"), ["b", "bzzz", "b\u{ffff}"]),
            (Some("ca"), ["c", "c`z", "bz"]),
            (Some("c\0"), ["c", "b", ""]),
            (Some("\u{e000}"), ["z", "\u{d7ff}z", "\u{d7ff}"]),
            (None, ["z", "\u{ffff}", ""]),
        ] {
            let greatest = greatest_below(end);
            assert!(end.is_none_or(|end| greatest.as_str() < end), "{end:?}");
            assert!(others.iter().all(|other| *other <= greatest.as_str()), "{end:?}");
        }
    }

    #[test]
    fn groups_are_even_neighbours_and_lose_no_shard() {
        let shards: Vec<_> = (0..100).map(|index| PartitionedFile::new(format!("{index}"), 10 + index)).collect();
        let paths = |groups: &[FileGroup]| -> Vec<String> {
            groups.iter().flat_map(FileGroup::iter).map(|shard| shard.path().to_string()).collect()
        };
        for count in [0, 1, 3, 8, 200] {
            let groups = groups(shards.clone(), count);
            assert!(groups.len() <= count.max(1), "{count}");
            assert_eq!(paths(&groups), (0..100).map(|index| index.to_string()).collect::<Vec<_>>());
        }
        let sizes: Vec<u64> =
            groups(shards, 4).iter().map(|group| group.iter().map(|shard| shard.object_meta.size).sum()).collect();
        assert!(sizes.len() == 4 && sizes.iter().all(|size| (1_300..1_700).contains(size)), "{sizes:?}");
    }
}
