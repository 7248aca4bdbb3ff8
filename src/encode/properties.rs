//! How each table is encoded: sizes of pieces and row groups, encodings, statistics, filters. Changing anything here
//! changes the bytes of shards, and so is a change of the tool's version.

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch};

use super::groups::GroupSize;
use crate::table::TableKind;
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// Rows in a data page: what a point lookup decodes of each column.
const PAGE_ROWS: usize = 8_192;

/// Uncompressed bytes in a data page of the documents themselves. Larger ones compress a little better (documents of
/// one scope repeat each other), but a lookup decompresses one whole.
const DOCUMENT_PAGE_BYTES: usize = 1 << 20;

/// The size of a table's row groups: small enough that a lookup by name reads little and an update encodes little anew,
/// large enough that dictionaries pay.
pub(super) fn group_size(table: TableKind) -> GroupSize {
    let target = match table {
        TableKind::Packuments => 2 << 20,
        TableKind::Packages | TableKind::Outcomes => 2_048,
        TableKind::Versions => 4_096,
        _ => 16_384,
    };
    GroupSize { target }
}

/// Rows that the library's encoder is given at once. It looks whether a page is full only between two writes.
fn library_rows(table: TableKind) -> usize {
    if table == TableKind::Packuments { 256 } else { 1_024 }
}

/// Columns whose values hardly ever repeat: a dictionary of them is larger than they are.
fn unique_columns(table: TableKind) -> &'static [&'static str] {
    match table {
        TableKind::Docs => &["name", "rev"],
        TableKind::Packuments => &["name", "rev", "size_bytes", "json", "bytes"],
        TableKind::Packages => &["name", "rev", "description", "repository_url", "homepage", "bugs_url"],
        TableKind::Versions => {
            &["published_at", "tarball_url", "shasum", "integrity", "unpacked_size_bytes", "git_head"]
        }
        TableKind::Unpublished => &["published_at"],
        TableKind::Outcomes => &["name", "rev", "etag", "fetched_at"],
        TableKind::Quirks => &["sample"],
        _ => &[],
    }
}

/// Columns that are asked for by value in tables that are not sorted by them. `name` needs no filter: shards are
/// sorted by it, so statistics already say where a name can be.
fn filtered_columns(table: TableKind) -> &'static [&'static str] {
    match table {
        TableKind::Dependencies => &["dependency"],
        TableKind::Maintainers => &["maintainer"],
        TableKind::Stars => &["user"],
        _ => &[],
    }
}

/// Columns whose least and greatest value say nothing, since any page has nearly the same: texts in tables that are
/// sorted by another. To find them out, each value is compared twice. Columns that are mostly null keep theirs, as
/// they count the nulls.
fn columns_without_statistics(table: TableKind) -> &'static [&'static str] {
    match table {
        TableKind::Docs | TableKind::Packages => &["rev"],
        TableKind::Packuments => &["rev", "representation", "json", "bytes"],
        TableKind::Versions => &[
            "version",
            "license",
            "description",
            "main",
            "engines_node",
            "tarball_url",
            "shasum",
            "integrity",
            "git_head",
            "npm_version",
            "node_version",
            "fields.list.item",
        ],
        TableKind::Dependencies => &["version", "kind", "dependency", "requirement"],
        TableKind::Scripts => &["version", "script", "command"],
        TableKind::Stars => &["user"],
        TableKind::Quirks => &["sample"],
        _ => &[],
    }
}

/// The compressor of a table's columns: zstd at its first level, with a window and a table of what was seen that stay in the
/// processor's cache, and with longer steps where nothing repeats.
///
/// Documents are most of the bytes of a lake, and compressing them most of the work of keeping them: a fifth of the time
/// less for 5 % more bytes. The other tables' columns take a tenth less to encode, for 2 to 5 % more (`benches/runs`).
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

/// The writer's settings for a table.
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
    for column in unique_columns(table) {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(*column), false);
    }
    for column in columns_without_statistics(table) {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(parts(column)), EnabledStatistics::None);
    }
    for column in filtered_columns(table) {
        let column = ColumnPath::from(*column);
        // More different values than rows there cannot be; a filter for more would only be folded again.
        builder = builder
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_max_ndv(column, group_rows);
    }
    match table {
        TableKind::Packuments => {
            builder.set_column_data_page_size_limit(ColumnPath::from("json"), DOCUMENT_PAGE_BYTES).build()
        }
        TableKind::Docs => builder.set_column_encoding(ColumnPath::from("name"), Encoding::DELTA_BYTE_ARRAY).build(),
        TableKind::Versions => {
            // Milliseconds apart by days: packed differences are smaller than what zstd makes of whole times.
            let published_at = ColumnPath::from("published_at");
            builder
                .set_column_encoding(published_at.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_compression(published_at, Compression::UNCOMPRESSED)
                .build()
        }
        _ => builder.build(),
    }
}

/// The same for the Parquet library's own writer, which ends row groups itself: what ours are measured against.
pub fn library_properties(table: TableKind) -> WriterProperties {
    let target = usize::try_from(group_size(table).target).ok();
    let (rows, bytes) = if table == TableKind::Packuments { (None, target) } else { (target, None) };
    properties(table).into_builder().set_max_row_group_row_count(rows).set_max_row_group_bytes(bytes).build()
}

/// The parts of a dotted path.
fn parts(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

/// What the file says of itself beside the Arrow schema.
fn metadata(table: TableKind) -> Vec<KeyValue> {
    let pairs = [
        ("format_version", FORMAT_VERSION.to_string()),
        ("grain", table.grain().to_owned()),
        ("table", table.to_string()),
    ];
    pairs.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect()
}
