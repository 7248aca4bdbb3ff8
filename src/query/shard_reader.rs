//! Reads byte ranges of one shard, always of the version that the statement reads (`snapshot`). Not here: decoding.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::CachedParquetMetaData;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, coalesce_ranges};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, MetadataFetch};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::shard::schema_version_of;
use crate::table::{TableKind, schema_version};

use super::failure::ShardFault;
use super::plan_limits::READ_GAP_BYTES;
use super::snapshot::{OpenShard, Snapshot};

/// Makes the readers of one scan.
#[derive(Debug)]
pub(super) struct ShardReaderFactory {
    pub(super) kind: TableKind,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) footers: Arc<FileMetadataCache>,
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
        Ok(Box::new(ShardReader {
            kind: self.kind,
            store: Arc::clone(&self.store),
            snapshot: Arc::clone(&self.snapshot),
            footers: Arc::clone(&self.footers),
            location: file.object_meta.location.clone(),
            // A part of a shard is planned by the size of its version.
            planned: file.range.is_some().then_some(file.object_meta),
            opened: None,
            footer_guess_bytes,
            metrics,
        }))
    }
}

/// Reads one shard.
struct ShardReader {
    kind: TableKind,
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
        let kept = self.footers.get(&self.location);
        // The cache itself compares sizes and times only.
        let kept = kept.filter(|kept| kept.meta.e_tag == shard.meta.e_tag && kept.is_valid_for(&shard.meta));
        let kept = kept.and_then(|kept| {
            let kept = kept.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?;
            Some(Arc::clone(kept.parquet_metadata()))
        });
        let footer = match kept {
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
        let entry = Arc::new(CachedParquetMetaData::new(Arc::clone(&footer)));
        self.footers.put(&self.location, CachedFileMetadataEntry::new(shard.meta.clone(), entry));
        Ok(footer)
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
            if schema_version_of(footer.file_metadata()) > schema_version(self.kind) {
                return Err(ShardFault::of_newer_version(&self.location).into());
            }
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
