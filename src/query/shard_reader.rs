//! Reads byte ranges of one shard, always of the version that the statement listed.
//!
//! An ingest may replace a shard while a statement reads it. A put is atomic, so each read sees one whole version. Two
//! reads may see two versions, and rows made of both would belong to neither. So each read asks for the listed version
//! by its ETag and fails if that is gone. Not here: decoding.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::DataFusionError;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, coalesce_ranges};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::shard::schema_version_of;
use crate::table::{TableKind, schema_version};

use super::failure::ShardFault;
use super::plan_limits::READ_GAP_BYTES;

/// Makes the readers of one scan.
#[derive(Debug)]
pub(super) struct ShardReaderFactory {
    kind: TableKind,
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
}

impl ShardReaderFactory {
    /// Makes the factory for shards of `kind`.
    pub(super) fn new(kind: TableKind, store: Arc<dyn ObjectStore>, footers: Arc<FileMetadataCache>) -> Self {
        ShardReaderFactory { kind, store, footers }
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
        Ok(Box::new(ShardReader {
            kind: self.kind,
            store: Arc::clone(&self.store),
            footers: Arc::clone(&self.footers),
            shard: file.object_meta,
            footer_guess_bytes,
            metrics,
        }))
    }
}

/// Reads one shard.
struct ShardReader {
    kind: TableKind,
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    shard: ObjectMeta,
    footer_guess_bytes: Option<usize>,
    metrics: ParquetFileMetrics,
}

impl ShardReader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        let options =
            GetOptions::new().with_range(Some(GetRange::Bounded(range))).with_if_match(self.shard.e_tag.clone());
        let read = async { self.store.get_opts(&self.shard.location, options).await?.bytes().await };
        read.await.map_err(|error| ShardFault::of_store(&self.shard.location, error).into())
    }
}

impl AsyncFileReader for ShardReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.metrics.bytes_scanned.add(length(&range));
        self.read(range).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.metrics.bytes_scanned.add(ranges.iter().map(length).sum());
        let reader = &*self;
        async move { coalesce_ranges(&ranges, |range| reader.read(range), READ_GAP_BYTES).await }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            // The footer itself is read without its ETag. If it belongs to a newer version, no later read succeeds.
            let footer = DFParquetMetadata::new(self.store.as_ref(), &self.shard)
                .with_file_metadata_cache(Some(Arc::clone(&self.footers)))
                .with_metadata_size_hint(self.footer_guess_bytes)
                .with_page_index_policy(options.map(ArrowReaderOptions::column_index_policy));
            let footer = footer.fetch_metadata().await;
            let footer = footer.map_err(|error| ShardFault::of_footer(&self.shard.location, error))?;
            if schema_version_of(footer.file_metadata()) > schema_version(self.kind) {
                return Err(ShardFault::of_newer_version(&self.shard.location).into());
            }
            Ok(footer)
        }
        .boxed()
    }
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}
