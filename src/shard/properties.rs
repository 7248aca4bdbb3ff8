//! How each table is encoded: sizes of pieces and row groups, encodings, statistics, filters. Changing anything here
//! changes the bytes of shards, and so is a change of the tool's version.

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::lake::{FORMAT_VERSION, TOOL_VERSION, TableKind};

/// Rows in a data page: what a point lookup decodes of each column.
const PAGE_ROWS: usize = 8_192;

/// Uncompressed bytes in a data page of the documents themselves. Larger ones compress a little better (documents of
/// one scope repeat each other), but a lookup decompresses one whole.
const DOCUMENT_PAGE_BYTES: usize = 1 << 20;

/// The documents of a row group of `packuments`: it ends with the row that reaches this many bytes,
pub(super) const DOCUMENT_GROUP_BYTES: usize = 16 << 20;

/// or with this many rows.
pub(super) const DOCUMENT_GROUP_ROWS: usize = 1_024;

/// Rows of a row group: small enough that a lookup by name reads little, large enough that dictionaries pay.
pub(super) fn group_rows(table: TableKind) -> usize {
    match table {
        TableKind::Packuments => DOCUMENT_GROUP_ROWS,
        TableKind::Versions => 32_768,
        TableKind::Dependencies | TableKind::Scripts => 131_072,
        _ => 65_536,
    }
}

/// Columns whose values hardly ever repeat: a dictionary of them is larger than they are.
fn unique_columns(table: TableKind) -> &'static [&'static str] {
    match table {
        TableKind::Docs => &["name", "rev"],
        TableKind::Packuments => &["name", "rev", "size_bytes", "json", "bytes"],
        TableKind::Packages => &["name", "rev", "description", "repository_url", "homepage", "bugs_url"],
        TableKind::Versions => &["published_at", "tarball_url", "shasum", "integrity", "unpacked_size_bytes"],
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

/// The writer's settings for a table.
pub(super) fn properties(table: TableKind) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("all-docs version {TOOL_VERSION}"))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(PAGE_ROWS)
        // The shard writer ends row groups itself.
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
        .set_key_value_metadata(Some(metadata(table)));
    for column in unique_columns(table) {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(*column), false);
    }
    for column in filtered_columns(table) {
        let path = ColumnPath::from(*column);
        builder = builder.set_column_bloom_filter_enabled(path, true);
    }
    special(table, builder).build()
}

fn special(table: TableKind, builder: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
    match table {
        TableKind::Packuments => {
            // The least and the greatest document say nothing, and would be copied to find out.
            ["json", "bytes"].into_iter().map(ColumnPath::from).fold(builder, |builder, column| {
                builder
                    .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
                    .set_column_data_page_size_limit(column, DOCUMENT_PAGE_BYTES)
            })
        }
        TableKind::Docs => builder.set_column_encoding(ColumnPath::from("name"), Encoding::DELTA_BYTE_ARRAY),
        _ => builder,
    }
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
