//! The numbers that decide how much of a lake a statement holds at once, each with its reason.

use datafusion::prelude::SessionConfig;

/// Rows a batch. DataFusion's own default; fewer cost more per row, more fall out of the cache.
const BATCH_ROWS: usize = 8192;

/// Rows a batch where whole documents are read. A document is some 60 kB and at most some MB, so a batch of the usual
/// size would be half a gigabyte.
pub(super) const DOCUMENT_BATCH_ROWS: usize = 256;

/// How many bytes of a shard's end are read at first. A footer of forty columns and ten row groups is some 40 kB;
/// half a megabyte, the engine's default, makes `count(*)` over hundreds of shards read hundreds of times that.
pub(super) const FOOTER_GUESS_BYTES: usize = 64 * 1024;

/// Ranges of a shard that lie closer than this are read as one: copying that much costs a local disk what one more
/// call does, and costs a bucket far less than one more request.
pub(super) const READ_GAP_BYTES: u64 = 256 * 1024;

/// The engine's settings for a lake.
pub(super) fn session_config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(BATCH_ROWS)
        // It would open every shard at plan time; the lake's file names tell enough.
        .with_collect_statistics(false)
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_parquet_pruning(true)
        .with_parquet_bloom_filter_pruning(true)
        .with_parquet_page_index_pruning(true);
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    parquet.metadata_size_hint = Some(FOOTER_GUESS_BYTES);
    config
}
