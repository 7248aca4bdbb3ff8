//! Reads byte ranges of one shard, always of the version that the statement reads (`snapshot`). Not here: decoding.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
#[cfg(feature = "distributed")]
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, coalesce_ranges};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, MetadataFetch, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::shard::schema_version_of;
use crate::table::{TableKind, schema_version};

use super::failure::ShardFault;
use super::lake_location::LakeLocation;
use super::plan_limits::{
    FAR_READ_GAP_BYTES, FOOTER_GUESS_BYTES, LOOKUP_HEAD_BYTES, LOOKUP_READ_BYTES, READ_GAP_BYTES,
};
use super::ranged_shard::{RangedShard, Span};
use super::read_ahead::ReadAhead;
use super::snapshot::{OpenShard, Snapshot};

/// Makes the readers of one scan.
#[derive(Debug)]
pub(super) struct ShardReaderFactory {
    /// The table, whose schema version a shard must not exceed; `None` for a file without a version.
    pub(super) kind: Option<TableKind>,
    pub(super) location: LakeLocation,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) footers: Arc<FileMetadataCache>,
    /// Whether page indexes are of use: without a filter they are not.
    pub(super) has_filter: bool,
    /// The columns that a look-up of few names wants, which are then read together.
    pub(super) looked_up: Option<Arc<HashSet<String>>>,
    /// The shards whose footers are read ahead.
    pub(super) ahead: Option<ReadAhead>,
    /// Whether each shard must be the version that the plan has, because the plan depends on its bytes.
    pub(super) expects_versions: bool,
}

impl ShardReaderFactory {
    /// Makes one for reads without a filter, which read one shard after the other.
    pub(super) fn plain(
        kind: Option<TableKind>,
        location: &LakeLocation,
        snapshot: &Arc<Snapshot>,
        footers: &Arc<FileMetadataCache>,
    ) -> ShardReaderFactory {
        ShardReaderFactory {
            kind,
            location: location.clone(),
            snapshot: Arc::clone(snapshot),
            footers: Arc::clone(footers),
            has_filter: false,
            looked_up: None,
            ahead: None,
            expects_versions: false,
        }
    }

    fn policy(&self) -> PageIndexPolicy {
        if self.has_filter { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip }
    }

    /// Marks the files of a scan as those of these readers. The engine does not tell which readers a scan has.
    #[cfg(feature = "distributed")]
    pub(super) fn mark(self: &Arc<Self>, groups: Vec<FileGroup>) -> Vec<FileGroup> {
        let mark = |mut file: PartitionedFile| {
            file.extensions.insert_arc(Arc::clone(self));
            file
        };
        groups.into_iter().map(|group| group.into_inner().into_iter().map(mark).collect()).map(FileGroup::new).collect()
    }

    /// Returns the readers of a file that was marked.
    #[cfg(feature = "distributed")]
    pub(super) fn of(file: &PartitionedFile) -> Option<Arc<ShardReaderFactory>> {
        file.extensions.get_arc()
    }

    /// Returns a shard of a store that opens no files; `None` of one that does.
    fn ranged(&self, shard: &ObjectMeta) -> Option<Arc<RangedShard>> {
        let location = &self.location;
        if location.opens_files {
            return None;
        }
        Some(match &self.ahead {
            Some(ahead) => ahead.take(location, &self.snapshot, shard, self.policy()),
            None => self.snapshot.ranged(location, shard),
        })
    }
}

impl ParquetFileReaderFactory for ShardReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        footer_guess_bytes: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let metrics = ParquetFileMetrics::new(partition_index, file.object_meta.location.as_ref(), metrics);
        let location = file.object_meta.location.clone();
        if let Some(shard) = self.ranged(&file.object_meta) {
            return Ok(Box::new(RangedReader {
                kind: self.kind,
                shard,
                footers: Arc::clone(&self.footers),
                policy: self.policy(),
                looked_up: self.looked_up.clone(),
                footer: None,
                group: None,
                metrics,
            }));
        }
        // A part of a shard is planned by the size of its version, and some of its rows by their places in it.
        let is_of_version =
            self.expects_versions || file.range.is_some() || file.extension::<ParquetRowSelection>().is_some();
        Ok(Box::new(ShardReader {
            kind: self.kind,
            store: Arc::clone(&self.location.store),
            snapshot: Arc::clone(&self.snapshot),
            footers: Arc::clone(&self.footers),
            location,
            planned: is_of_version.then_some(file.object_meta),
            opened: None,
            footer_guess_bytes,
            metrics,
        }))
    }
}

/// Reads a column of a shard, or all of them, at once.
pub(super) async fn read_columns(
    shard: ObjectMeta,
    readers: &ShardReaderFactory,
    column: Option<&str>,
) -> Result<Vec<RecordBatch>, DataFusionError> {
    let file = PartitionedFile::new_from_meta(shard);
    let reader: Box<dyn AsyncFileReader> =
        readers.create_reader(0, file, Some(FOOTER_GUESS_BYTES), &ExecutionPlanMetricsSet::new())?;
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await?;
    let columns = match column {
        Some(column) => ProjectionMask::columns(builder.parquet_schema(), [column]),
        None => ProjectionMask::all(),
    };
    Ok(builder.with_projection(columns).build()?.try_collect().await?)
}

/// Reads one shard, from an open file.
struct ShardReader {
    kind: Option<TableKind>,
    store: Arc<dyn ObjectStore>,
    snapshot: Arc<Snapshot>,
    footers: Arc<FileMetadataCache>,
    location: ObjectPath,
    planned: Option<ObjectMeta>,
    opened: Option<Arc<OpenShard>>,
    footer_guess_bytes: Option<usize>,
    metrics: ParquetFileMetrics,
}

impl ShardReader {
    async fn shard(&mut self) -> Result<Arc<OpenShard>, ShardFault> {
        if let Some(shard) = &self.opened {
            return Ok(Arc::clone(shard));
        }
        let shard = self.snapshot.open(&self.store, &self.location, self.planned.as_ref()).await?;
        Ok(Arc::clone(self.opened.insert(shard)))
    }

    /// Returns the footer, with the page index if `policy` wants it. The session keeps the footers of each version.
    async fn footer(&mut self, policy: PageIndexPolicy) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let shard = self.shard().await?;
        let footer = match kept_footer(self.footers.as_ref(), &shard.meta) {
            Some(kept) if policy == PageIndexPolicy::Skip || has_page_index(&kept) => return Ok(kept),
            Some(kept) => {
                let reader = ParquetMetaDataReader::new_with_metadata(Arc::unwrap_or_clone(kept));
                let mut reader = reader.with_page_index_policy(policy);
                reader.load_page_index(Fetch(&shard)).await.and_then(|()| reader.finish())
            }
            None => {
                let reader = ParquetMetaDataReader::new().with_prefetch_hint(self.footer_guess_bytes);
                reader.with_page_index_policy(policy).load_and_finish(Fetch(&shard), shard.meta.size).await
            }
        };
        let footer = Arc::new(footer.map_err(|error| ShardFault::of_footer(&self.location, error))?);
        keep_footer(self.footers.as_ref(), &shard.meta, &footer);
        Ok(footer)
    }
}

/// Returns the footer of a version of a shard, if the session has kept it.
fn kept_footer(footers: &FileMetadataCache, version: &ObjectMeta) -> Option<Arc<ParquetMetaData>> {
    let kept = footers.get(&version.location)?;
    // The cache itself compares sizes and times only.
    if kept.meta.e_tag != version.e_tag || !kept.is_valid_for(version) {
        return None;
    }
    let footer = kept.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?;
    Some(Arc::clone(footer.parquet_metadata()))
}

fn keep_footer(footers: &FileMetadataCache, version: &ObjectMeta, footer: &Arc<ParquetMetaData>) {
    let entry = Arc::new(CachedParquetMetaData::new(Arc::clone(footer)));
    footers.put(&version.location, CachedFileMetadataEntry::new(version.clone(), entry));
}

fn check_version(kind: Option<TableKind>, shard: &ObjectPath, footer: &ParquetMetaData) -> Result<(), ParquetError> {
    match kind.is_some_and(|kind| schema_version_of(footer.file_metadata()) > schema_version(kind)) {
        true => Err(ShardFault::of_newer_version(shard).into()),
        false => Ok(()),
    }
}

impl AsyncFileReader for ShardReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.metrics.bytes_scanned.add(length(&range));
        async move { Ok(self.shard().await?.read(range).await?) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.metrics.bytes_scanned.add(ranges.iter().map(length).sum());
        async move {
            let shard = self.shard().await?;
            let read = |range| async { Ok::<_, ParquetError>(shard.read(range).await?) };
            coalesce_ranges(&ranges, read, READ_GAP_BYTES).await
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let policy = options.map_or(PageIndexPolicy::Optional, ArrowReaderOptions::column_index_policy);
            let footer = self.footer(policy).await?;
            check_version(self.kind, &self.location, &footer)?;
            Ok(footer)
        }
        .boxed()
    }
}

/// Reads the parts of a footer.
struct Fetch<'a>(&'a OpenShard);

impl MetadataFetch for Fetch<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move { Ok(self.0.read(range).await?) }.boxed()
    }
}

fn has_page_index(footer: &ParquetMetaData) -> bool {
    footer.column_index().is_some() && footer.offset_index().is_some()
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

/// Reads one shard by ranges.
struct RangedReader {
    kind: Option<TableKind>,
    shard: Arc<RangedShard>,
    footers: Arc<FileMetadataCache>,
    policy: PageIndexPolicy,
    looked_up: Option<Arc<HashSet<String>>>,
    footer: Option<Arc<ParquetMetaData>>,
    /// The row group of a look-up, or the part of it that is wanted.
    group: Option<Span>,
    metrics: ParquetFileMetrics,
}

impl RangedReader {
    async fn footer(&self) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let version = &self.shard.meta;
        let footer = match kept_footer(self.footers.as_ref(), version) {
            Some(kept) if self.policy == PageIndexPolicy::Skip || has_page_index(&kept) => return Ok(kept),
            Some(kept) => self.shard.with_index(&kept, self.policy).await,
            None => self.shard.footer(self.policy).await,
        };
        let footer = footer.map_err(|error| ShardFault::of_footer(&version.location, error))?;
        keep_footer(self.footers.as_ref(), version, &footer);
        Ok(footer)
    }

    /// Returns the part of a row group that a look-up reads at once, if it reads these ranges of the group so.
    fn part_of(&self, ranges: &[Range<u64>]) -> Option<GroupPart> {
        let (columns, footer) = (self.looked_up.as_ref()?, self.footer.as_ref()?);
        let first = ranges.iter().map(|range| range.start).min()?;
        let range_of = |column: &ColumnChunkMetaData| {
            let (start, length) = column.byte_range();
            start..start.saturating_add(length)
        };
        let group = footer
            .row_groups()
            .iter()
            .find(|group| group.columns().iter().any(|column| range_of(column).contains(&first)))?;
        let covers = |part: &Range<u64>| {
            let covers = |range: &Range<u64>| part.start <= range.start && range.end <= part.end;
            ranges.iter().all(covers) && part.end <= self.shard.meta.size
        };
        let size = |range: &Range<u64>| range.end.saturating_sub(range.start);
        let span = |one: Range<u64>, other: Range<u64>| one.start.min(other.start)..one.end.max(other.end);
        let is_wanted = |column: &&ColumnChunkMetaData| {
            column.column_path().parts().first().is_some_and(|name| columns.contains(name))
        };
        let wanted = group.columns().iter().filter(is_wanted).map(range_of).reduce(span)?;
        if size(&wanted) <= LOOKUP_READ_BYTES {
            return covers(&wanted).then_some(GroupPart::Wanted(wanted));
        }
        let mut head = range_of(group.columns().first()?);
        for next in group.columns().iter().skip(1).map(range_of) {
            let longer = span(head.clone(), next);
            if size(&longer) > LOOKUP_HEAD_BYTES {
                break;
            }
            head = longer;
        }
        (size(&head) <= LOOKUP_HEAD_BYTES && covers(&head)).then_some(GroupPart::Head(head))
    }

    async fn read(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, ParquetError> {
        let known = |part: &Option<Span>| -> Vec<Option<Bytes>> {
            ranges.iter().map(|range| part.as_ref().and_then(|part| part.slice(range))).collect()
        };
        let mut found = known(&self.group);
        if found.iter().any(Option::is_none)
            && let Some(part) = self.part_of(&ranges)
        {
            let part = match part {
                GroupPart::Wanted(range) => Span::new(range.start, self.shard.read(range).await?),
                GroupPart::Head(range) => Span::new(range.start, self.shard.read_kept(range).await?),
            };
            self.group = Some(part);
            found = known(&self.group);
        }
        let others = ranges.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(range, _)| range.clone());
        let read = |range| async { Ok::<_, ParquetError>(self.shard.read(range).await?) };
        let mut others = coalesce_ranges(&others.collect::<Vec<_>>(), read, FAR_READ_GAP_BYTES).await?.into_iter();
        Ok(found.into_iter().filter_map(|found| found.or_else(|| others.next())).collect())
    }
}

/// A part of a row group that a look-up reads at once.
enum GroupPart {
    /// All wanted columns.
    Wanted(Range<u64>),
    /// The first columns, if those are too large.
    Head(Range<u64>),
}

impl AsyncFileReader for RangedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.metrics.bytes_scanned.add(length(&range));
        async move { Ok(self.shard.read(range).await?) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.metrics.bytes_scanned.add(ranges.iter().map(length).sum());
        self.read(ranges).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let footer = self.footer().await?;
            check_version(self.kind, &self.shard.meta.location, &footer)?;
            Ok(Arc::clone(self.footer.insert(footer)))
        }
        .boxed()
    }
}
