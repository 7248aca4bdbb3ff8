//! The numbers that limit how much of a lake a statement holds at once, each with its reason.

use datafusion::prelude::SessionConfig;

/// Rows per batch, DataFusion's own default. Smaller batches cost more per row; larger ones do not fit the cache.
const BATCH_ROWS: usize = 8192;

/// Rows per batch if the statement reads whole documents. A document has some 60 kB and at most some MB, so a batch of
/// the usual size would have half a gigabyte.
pub(super) const DOCUMENT_BATCH_ROWS: usize = 256;

/// Bytes of a shard's end that the first read takes. A footer of forty columns and ten row groups has some 40 kB. The
/// engine's default, half a megabyte, makes `count(*)` over hundreds of shards read hundreds of times that.
pub(super) const FOOTER_GUESS_BYTES: usize = 64 * 1024;

/// Ranges of a shard that lie closer than this are read as one. Copying that much costs as much as one more call on a
/// local disk, and far less than one more request to a bucket.
pub(super) const READ_GAP_BYTES: u64 = 256 * 1024;

/// The same in a store that opens no files: in the time of one more request it sends a megabyte or two.
pub(super) const FAR_READ_GAP_BYTES: u64 = 512 * 1024;

/// A statement that looks up names in at most this many shards reads the wanted columns of a row group at once, not those
/// of the filter first: the rest of so few row groups costs less than one more request.
pub(super) const LOOKUP_SHARDS: usize = 2;

/// It does so if they take at most this many bytes. A row group of any table takes some 0.3 MB.
pub(super) const LOOKUP_READ_BYTES: u64 = 768 * 1024;

/// If they take more, because of large documents, it reads the first columns of the row group, up to this many bytes,
/// and keeps them in the cache: names, revisions and sizes take some 10 kB. A later look-up then reads documents only.
pub(super) const LOOKUP_HEAD_BYTES: u64 = 64 * 1024;

/// Returns the engine's settings for a lake.
pub(super) fn session_config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(BATCH_ROWS)
        // Statistics would open every shard at plan time; the names of the lake's files are enough.
        .with_collect_statistics(false)
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_parquet_pruning(true)
        .with_parquet_bloom_filter_pruning(true)
        .with_parquet_page_index_pruning(true);
    // The engine gives the next file to whichever thread is free. It means not to do so where the order of rows counts, but its
    // rule for limits forgets that: `order by name limit 2` then has the rows of a delta behind those of a base shard.
    config.options_mut().execution.enable_file_stream_work_stealing = false;
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    parquet.metadata_size_hint = Some(FOOTER_GUESS_BYTES);
    config
}
