//! The encoding of each table, derived from the hints of its columns: row groups, encodings, statistics, filters. Any
//! change here changes the bytes of shards, and so does a change of the tool's version.

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch};

use super::groups::GroupSize;
use crate::table::{ColumnEncoding, ColumnSpec, ColumnType, SCHEMA_VERSION_KEY, TableKind, schema_version};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// Rows in a data page: a point look-up decodes this many of each column.
const PAGE_ROWS: usize = 8_192;

/// Uncompressed bytes in a data page of documents. Larger pages compress slightly better (documents of one scope repeat
/// each other), but a look-up decompresses a whole page.
const DOCUMENT_PAGE_BYTES: usize = 1 << 20;

/// Returns the size of a table's row groups.
pub(super) fn group_size(table: TableKind) -> GroupSize {
    GroupSize { target: table.spec().group_size }
}

/// Returns the number of rows per write to the library's encoder. It checks only between two writes whether a page is
/// full.
fn library_rows(table: TableKind) -> usize {
    if table == TableKind::Packuments { 256 } else { 1_024 }
}

/// Creates the compressor of a table's columns: zstd at its first level, with a window and a hash table that stay in
/// the processor's cache, and with longer steps through data that does not repeat.
///
/// Documents are most of the bytes of a lake, and compression is most of the work of storing them. These settings take
/// a fifth less time for 5 % more bytes. The columns of other tables take a tenth less time to encode, for 2 to 5 %
/// more bytes (`benches/runs`).
pub(super) fn compressor(table: TableKind) -> std::io::Result<Compressor<'static>> {
    let (window_log, hash_log, min_match, step) = match table {
        TableKind::Packuments => (18, 14, 7, 3),
        _ => (17, 13, 6, 2),
    };
    let mut compressor = Compressor::new(ZstdLevel::default().compression_level())?;
    for parameter in [
        CParameter::WindowLog(window_log),
        CParameter::HashLog(hash_log),
        CParameter::MinMatch(min_match),
        CParameter::TargetLength(step),
        CParameter::LiteralCompressionMode(ParamSwitch::Enable),
    ] {
        compressor.set_parameter(parameter)?;
    }
    Ok(compressor)
}

/// Returns the writer's settings for a table.
pub(super) fn properties(table: TableKind) -> WriterProperties {
    let group_rows = group_size(table).limit();
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("all-docs version {TOOL_VERSION}"))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_write_batch_size(library_rows(table))
        .set_data_page_row_count_limit(PAGE_ROWS)
        // The shard writer ends row groups itself.
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
        .set_key_value_metadata(Some(metadata(table)));
    for column in table.spec().columns {
        builder = encoded(builder, column, group_rows);
    }
    builder.build()
}

/// Sets the properties of one column. No column has one of Parquet's delta encodings, although they would take 6 % fewer
/// bytes of `docs` and 1 % of `versions`: fastparquet lacks those of texts, and reads wrong numbers out of that of
/// numbers.
fn encoded(mut builder: WriterPropertiesBuilder, column: &ColumnSpec, group_rows: u64) -> WriterPropertiesBuilder {
    for path in leaf_paths(column) {
        if column.is_unique {
            builder = builder.set_column_dictionary_enabled(path.clone(), false);
        }
        if !column.has_statistics {
            builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        if column.has_filter {
            // There cannot be more distinct values than rows; a larger filter would only be folded again.
            builder = builder
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_max_ndv(path.clone(), group_rows);
        }
        builder = match column.encoding {
            ColumnEncoding::Usual => builder,
            ColumnEncoding::Documents => builder.set_column_data_page_size_limit(path, DOCUMENT_PAGE_BYTES),
        };
    }
    builder
}

/// Returns the columns of the file that hold a column of the table.
fn leaf_paths(column: &ColumnSpec) -> Vec<ColumnPath> {
    let below =
        |parts: &[&str]| ColumnPath::new([&[column.name], parts].concat().into_iter().map(str::to_owned).collect());
    match column.column_type {
        ColumnType::TextList => vec![below(&["list", "item"])],
        ColumnType::CommandList => vec![below(&["list", "item", "name"]), below(&["list", "item", "path"])],
        _ => vec![below(&[])],
    }
}

/// Returns the settings for the Parquet library's own writer, which ends row groups itself. Benches compare our
/// encoders with it.
pub fn library_properties(table: TableKind) -> WriterProperties {
    let target = usize::try_from(group_size(table).target).ok();
    let (rows, bytes) = if table == TableKind::Packuments { (None, target) } else { (target, None) };
    properties(table).into_builder().set_max_row_group_row_count(rows).set_max_row_group_bytes(bytes).build()
}

/// Returns the file's key-value metadata beside the Arrow schema.
fn metadata(table: TableKind) -> Vec<KeyValue> {
    let pairs = [
        (SCHEMA_VERSION_KEY, schema_version(table).to_string()),
        ("format_version", FORMAT_VERSION.to_string()),
        ("grain", table.grain().to_owned()),
        ("table", table.to_string()),
    ];
    pairs.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
}
