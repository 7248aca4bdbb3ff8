//! The file of the package axis: `package_index.parquet`, sorted by name, so that a reader finds a name by the page
//! index. Not here: the axis in memory (`axis`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Date32Type, Field, Int32Type, Schema};
use bytes::Bytes;
use jiff::civil::Date;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use sha2::{Digest, Sha256};

use super::axis::PackageAxis;
use super::group::Group;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::OriginLayout;
use crate::npm::{day_number, day_of_number};
use crate::store::{ShardFile, Store, blocking};

/// The rows of a batch to be written, and of a row group.
const BATCH_ROWS: usize = 65_536;
/// The key of the digest of all values, in the metadata of the file. Pages have no checksum, and a wrong name would give the
/// cells of a row to another package.
const DIGEST: &str = "all_docs.axis_sha256";
/// The rows of a page: few, because a look-up of a name reads one.
const PAGE_ROWS: usize = 8_192;

impl PackageAxis {
    /// Reads the axis of an origin; one without rows if it has no arrays yet. Fails with [`ErrorKind::Lake`] if the file is
    /// damaged, and if it is gone and arrays are there.
    pub async fn read(store: &Store, layout: &OriginLayout) -> Result<PackageAxis> {
        if let Some(axis) = PackageAxis::find(store, layout).await? {
            return Ok(axis);
        }
        for folder in layout.arrays() {
            let group = Group::new(store, folder);
            if store.entry(&group.path()).await?.is_some() {
                return Err(Error::lake(format!(
                    "{} is gone, and {} is there",
                    layout.package_index(),
                    group.folder()
                ))
                .hint("all-docs arrays makes it again from the names in the arrays"));
            }
        }
        Ok(PackageAxis::default())
    }

    /// Reads the file of the axis; `None` if there is none. Fails with [`ErrorKind::Lake`] if it is damaged.
    pub(super) async fn find(store: &Store, layout: &OriginLayout) -> Result<Option<PackageAxis>> {
        let path = layout.package_index();
        let Some(file) = store.open_whole(&path).await? else { return Ok(None) };
        blocking("the reader of the package axis", move || read(file, &path).map(Some)).await
    }

    /// Returns the number of rows that the file of the axis has; `None` if there is none. Reads its end only.
    pub async fn count(store: &Store, layout: &OriginLayout) -> Result<Option<u64>> {
        let path = layout.package_index();
        let Some(file) = store.open_shard(&path).await? else { return Ok(None) };
        let count = move || {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone());
            let builder = builder.map_err(|error| file.failure(|| damaged(&path, error.to_string())))?;
            Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).ok())
        };
        blocking("the reader of the package axis", count).await
    }

    /// Reads the axis, and returns whether each byte of its file is the one that this version writes. Bytes without a meaning
    /// may differ, and another version may write others. `None` if there is no file.
    pub(super) async fn read_whole(store: &Store, layout: &OriginLayout) -> Result<Option<(PackageAxis, bool)>> {
        let path = layout.package_index();
        let Some(bytes) = store.get(&path).await? else { return Ok(None) };
        let Some(file) = store.open_whole(&path).await? else { return Ok(None) };
        let compared = blocking("the reader of the package axis", move || {
            let axis = read(file, &path)?;
            let is_exact = encode(&axis)? == bytes;
            Ok((axis, is_exact))
        });
        compared.await.map(Some)
    }

    /// Writes the axis as a whole. The caller holds the lease of the axis.
    pub async fn write(self: &Arc<Self>, store: &Store, layout: &OriginLayout) -> Result<()> {
        let axis = Arc::clone(self);
        let bytes = blocking("the writer of the package axis", move || encode(&axis)).await?;
        store.put(&layout.package_index(), bytes).await
    }
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, data_type, nullable, doc: &str| {
        Field::new(name, data_type, nullable).with_metadata([("doc".to_owned(), doc.to_owned())].into())
    };
    Arc::new(Schema::new(vec![
        field("name", DataType::Utf8, false, "The package's name."),
        field("row", DataType::Int32, false, "Its row in every array, from 0; it never changes."),
        field("since", DataType::Date32, false, "The day on which the row was added."),
        field(
            "gone",
            DataType::Date32,
            true,
            "The day on which the package was found to be gone; null if it is there.",
        ),
    ]))
}

/// Returns the digest of all rows, in hex.
fn digest(axis: &PackageAxis) -> String {
    let mut digest = Sha256::new();
    for row in 0..axis.rows() {
        let name = axis.name(row);
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name);
        let days = [axis.since(row), axis.gone(row)].map(|day| day.map_or(i32::MIN, day_number));
        days.iter().for_each(|day| digest.update(day.to_le_bytes()));
    }
    format!("{:x}", digest.finalize())
}

fn encode(axis: &PackageAxis) -> Result<Bytes> {
    let mut order: Vec<u32> = (0..axis.rows()).collect();
    order.sort_unstable_by(|&one, &other| axis.name(one).cmp(axis.name(other)));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(BATCH_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false)
        .set_key_value_metadata(Some(vec![KeyValue::new(DIGEST.to_owned(), digest(axis))]))
        .build();
    let cannot_encode = || "cannot encode the package axis".to_owned();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema(), Some(properties)).or_error(ErrorKind::Internal, cannot_encode)?;
    for rows in order.chunks(BATCH_ROWS) {
        let day = |day: Option<Date>| day.map(day_number);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|&row| axis.name(row)))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|&row| row as i32))),
            Arc::new(Date32Array::from_iter(rows.iter().map(|&row| day(axis.since(row))))),
            Arc::new(Date32Array::from_iter(rows.iter().map(|&row| day(axis.gone(row))))),
        ];
        let batch = RecordBatch::try_new(schema(), columns).or_error(ErrorKind::Internal, cannot_encode)?;
        writer.write(&batch).or_error(ErrorKind::Internal, cannot_encode)?;
    }
    writer.into_inner().map(Bytes::from).or_error(ErrorKind::Internal, cannot_encode)
}

fn damaged(path: &str, cause: String) -> Error {
    Error::lake(format!("{path} is damaged: {cause}"))
        .hint("all-docs verify --repair makes it again from the names in the arrays")
}

fn read(file: ShardFile, path: &str) -> Result<PackageAxis> {
    let damaged = |cause: String| damaged(path, cause);
    let unreadable = |error: String| file.failure(|| damaged(error));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone());
    let builder = builder.map_err(|error| unreadable(error.to_string()))?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    if names != ["name", "row", "since", "gone"] {
        return Err(damaged(format!("it has the columns {}", names.join(", "))));
    }
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let said = metadata.into_iter().flatten().find(|pair| pair.key == DIGEST).and_then(|pair| pair.value.clone());
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
    let batches = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| unreadable(error.to_string()))?;
    let batches = batches.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(error.to_string()))?;
    // The file is in the order of the names, the axis in that of the rows: the place in the file of each row.
    let mut places = vec![u32::MAX; rows];
    let mut starts = Vec::with_capacity(batches.len());
    let mut start = 0;
    for batch in &batches {
        starts.push(start);
        let found = batch.column(1).as_primitive_opt::<Int32Type>().ok_or_else(|| damaged("row".to_owned()))?;
        for &row in found.values() {
            match usize::try_from(row).ok().and_then(|row| places.get_mut(row)) {
                Some(place) if *place == u32::MAX => *place = start,
                _ => return Err(damaged(format!("it has the row {row} twice, or too large"))),
            }
            start += 1;
        }
    }
    let mut axis = PackageAxis::default();
    for place in places {
        let batch_index = starts.partition_point(|&start| start <= place).saturating_sub(1);
        let (batch, index) = (&batches[batch_index], (place - starts[batch_index]) as usize);
        let day = |column: usize| {
            let days = batch.column(column).as_primitive_opt::<Date32Type>();
            days.map(|days| days.is_valid(index).then(|| day_of_number(days.value(index))))
        };
        let name = batch.column(0).as_string_opt::<i32>().map(|names| names.value(index));
        let (Some(name), Some(Some(since)), Some(gone)) = (name, day(2), day(3)) else {
            return Err(damaged("a column has another type".to_owned()));
        };
        let row = axis.add(name, since);
        axis.set_gone(row, gone);
    }
    if axis.rows() as usize != rows {
        return Err(damaged("it has a name twice".to_owned()));
    }
    if said != Some(digest(&axis)) {
        return Err(damaged("its rows are not those that were written".to_owned()));
    }
    Ok(axis)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::lake::Layout;

    #[tokio::test]
    async fn the_file_has_every_row_sorted_by_name_and_is_read_back() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        assert_eq!(PackageAxis::read(&store, &layout).await.unwrap().rows(), 0);
        let day = date(2026, 11, 29);
        let mut axis = PackageAxis::default();
        for name in ["react", "@a/b", "vue", "left-pad"] {
            axis.add(name, day);
        }
        axis.set_gone(3, Some(day));
        let axis = Arc::new(axis);
        axis.write(&store, &layout).await.unwrap();
        let read = PackageAxis::read(&store, &layout).await.unwrap();
        assert_eq!(read.rows(), 4);
        for row in 0..4 {
            assert_eq!((read.name(row), read.since(row), read.gone(row)), (axis.name(row), Some(day), axis.gone(row)));
        }
        let file = store.open_shard(&layout.package_index()).await.unwrap().unwrap();
        let mut batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let names = batches.next().unwrap().unwrap().column(0).as_string::<i32>().clone();
        assert_eq!(names.iter().flatten().collect::<Vec<_>>(), ["@a/b", "left-pad", "react", "vue"]);
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_error_and_never_an_axis_without_rows() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let mut axis = PackageAxis::default();
        axis.add("react", date(2026, 1, 1));
        Arc::new(axis).write(&store, &layout).await.unwrap();
        let bytes = store.get(&layout.package_index()).await.unwrap().unwrap();
        store.put(&layout.package_index(), bytes.slice(..bytes.len() - 9)).await.unwrap();
        let error = PackageAxis::read(&store, &layout).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake);
        assert!(error.hint_text().unwrap().contains("--repair"), "{}", error.report());
    }
}
