//! Finds the rows of some names in a shard, and reads little else: it uses the statistics of the row groups, then the
//! column `name`, then the page index.

use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};

use super::adapt::{check_version, schema_version_of};
use super::reader::{ShardReader, text_column, unreadable};
use crate::error::{Error, Result};
use crate::npm::PackageName;
use crate::store::ShardFile;
use crate::table::{TableKind, schema};

/// Documents that are in memory at once.
const BATCH_DOCUMENTS: usize = 16;
/// Rows of other tables that are in memory at once.
const BATCH_ROWS: usize = 8_192;

/// A document of the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDocument {
    /// The name of its package.
    pub name: PackageName,
    /// The bytes that the registry served.
    pub bytes: Bytes,
}

/// Calls `each` with the document of every name of `names` that a shard of `packuments` has, in the order of names.
/// `names` must be ascending.
pub fn find_documents(
    file: ShardFile,
    names: &[PackageName],
    mut each: impl FnMut(HeldDocument) -> Result<()>,
) -> Result<()> {
    find_rows(TableKind::Packuments, file, names, &["name", "json", "bytes"], |batch| {
        documents(&batch)?.into_iter().try_for_each(&mut each)
    })
}

/// Calls `each` with the rows of every name of `names` that a shard of `kind` has, with the columns `columns`, in the order
/// of the shard. `names` must be ascending.
pub fn find_rows(
    kind: TableKind,
    file: ShardFile,
    names: &[PackageName],
    columns: &[&str],
    mut each: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load(&file, options).map_err(|error| unreadable(kind, &file, error))?;
    check_version(kind, schema_version_of(metadata.metadata().file_metadata()))?;
    for (group, group_metadata) in metadata.metadata().row_groups().iter().enumerate() {
        let names = names_within(group_metadata, names);
        if names.is_empty() {
            continue;
        }
        let rows = rows_of(names, read(kind, &file, &metadata, group, &["name"], None)?)?;
        if rows.is_empty() {
            continue;
        }
        let group_rows = usize::try_from(group_metadata.num_rows()).unwrap_or_default();
        let selection = RowSelection::from_consecutive_ranges(rows.into_iter(), group_rows);
        for batch in read(kind, &file, &metadata, group, columns, Some(selection))? {
            each(batch?)?;
        }
    }
    Ok(())
}

/// Returns the names of all documents of a shard of `packuments`, ascending.
pub fn document_names(file: ShardFile) -> Result<Vec<PackageName>> {
    let mut names = Vec::new();
    for batch in ShardReader::open_columns(TableKind::Packuments, file, &schema(TableKind::Packuments), &["name"])? {
        names.extend(text_column(&batch?, "name")?.iter().flatten().map(PackageName::new));
    }
    Ok(names)
}

/// Returns the names that may be in a row group, by the statistics of its column `name`.
fn names_within<'n>(group: &RowGroupMetaData, names: &'n [PackageName]) -> &'n [PackageName] {
    let mut columns = group.columns().iter();
    let statistics = columns.find(|column| column.column_path().string() == "name").and_then(|name| name.statistics());
    let bounds = statistics.and_then(|known| Some((known.min_bytes_opt()?, known.max_bytes_opt()?)));
    let Some((least, greatest)) = bounds else { return names };
    let from = names.partition_point(|name| name.as_str().as_bytes() < least);
    let to = names.partition_point(|name| name.as_str().as_bytes() <= greatest);
    names.get(from..to).unwrap_or_default()
}

fn read(
    kind: TableKind,
    file: &ShardFile,
    metadata: &ArrowReaderMetadata,
    group: usize,
    columns: &[&str],
    selection: Option<RowSelection>,
) -> Result<ShardReader> {
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone());
    let batch_rows = if kind == TableKind::Packuments { BATCH_DOCUMENTS } else { BATCH_ROWS };
    builder = builder.with_row_groups(vec![group]).with_batch_size(batch_rows);
    if let Some(selection) = selection {
        builder = builder.with_row_selection(selection);
    }
    ShardReader::build(kind, file.clone(), builder, &schema(kind), Some(columns))
}

/// Returns the rows, counted within the row group, whose name is one of `names`; both are ascending.
fn rows_of(names: &[PackageName], batches: ShardReader) -> Result<Vec<Range<usize>>> {
    let (mut rows, mut row) = (Vec::new(), 0);
    for batch in batches {
        let batch = batch?;
        for name in text_column(&batch, "name")?.iter().map(Option::unwrap_or_default) {
            if names.binary_search_by(|wanted| wanted.as_str().cmp(name)).is_ok() {
                rows.push(row..row + 1);
            }
            row += 1;
        }
    }
    Ok(rows)
}

fn documents(batch: &RecordBatch) -> Result<Vec<HeldDocument>> {
    let (names, texts) = (text_column(batch, "name")?, text_column(batch, "json")?);
    let bytes = batch
        .column_by_name("bytes")
        .and_then(|column| column.as_binary_opt::<i32>())
        .ok_or_else(|| Error::lake("a shard of packuments has no column bytes"))?;
    let of_row = |row: usize| {
        let body = if texts.is_valid(row) { texts.value(row).as_bytes() } else { bytes.value(row) };
        HeldDocument { name: PackageName::new(names.value(row)), bytes: Bytes::copy_from_slice(body) }
    };
    Ok((0..batch.num_rows()).map(of_row).collect())
}
