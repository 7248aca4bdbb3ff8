//! How each table is encoded: sizes of pieces and row groups, encodings, statistics, filters. Changing anything here
//! changes the bytes of shards, and so is a change of the tool's version.

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::lake::{FORMAT_VERSION, TOOL_VERSION, TableKind};

/// Rows in a data page: what a point lookup decodes of each column.
const PAGE_ROWS: usize = 8_192;

/// Uncompressed bytes in a data page of the documents themselves. Larger ones compress a little better (documents of
/// one scope repeat each other), but a lookup decompresses one whole.
const DOCUMENT_PAGE_BYTES: usize = 1 << 20;

/// Where the pieces of a table end that are handed to the encoder one by one. Page and row-group ends are at ends of
/// pieces, so they depend on the rows alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cuts {
    /// A piece has this many rows,
    pub(super) piece_rows: usize,
    /// or ends with the row that reaches this many bytes of documents.
    pub(super) piece_bytes: usize,
    /// A row group has this many pieces: small enough that a lookup by name reads little, large enough that
    /// dictionaries pay.
    pub(super) group_pieces: usize,
}

/// The cuts of a table.
pub(super) fn cuts(table: TableKind) -> Cuts {
    match table {
        TableKind::Packuments => Cuts { piece_rows: 256, piece_bytes: 4 << 20, group_pieces: 4 },
        TableKind::Versions => Cuts { piece_rows: PAGE_ROWS, piece_bytes: usize::MAX, group_pieces: 4 },
        TableKind::Dependencies | TableKind::Scripts => {
            Cuts { piece_rows: PAGE_ROWS, piece_bytes: usize::MAX, group_pieces: 16 }
        }
        _ => Cuts { piece_rows: PAGE_ROWS, piece_bytes: usize::MAX, group_pieces: 8 },
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

/// Columns whose least and greatest value say nothing: of digests any page has nearly the same, and of documents they
/// would be copied to find out.
fn columns_without_statistics(table: TableKind) -> &'static [&'static str] {
    match table {
        TableKind::Packuments => &["json", "bytes"],
        TableKind::Versions => &["shasum", "integrity", "git_head", "fields.list.item"],
        TableKind::Quirks => &["sample"],
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
    for column in columns_without_statistics(table) {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(parts(column)), EnabledStatistics::None);
    }
    for column in filtered_columns(table) {
        builder = builder.set_column_bloom_filter_enabled(ColumnPath::from(*column), true);
    }
    match table {
        TableKind::Packuments => {
            builder.set_column_data_page_size_limit(ColumnPath::from("json"), DOCUMENT_PAGE_BYTES).build()
        }
        TableKind::Docs => builder.set_column_encoding(ColumnPath::from("name"), Encoding::DELTA_BYTE_ARRAY).build(),
        _ => builder.build(),
    }
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
