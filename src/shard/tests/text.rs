//! Tests columns of text: values are read back unchanged, and the bytes do not depend on the batches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::Encoding;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::{cut, read_as, repeated, written_as};
use crate::table::TableKind;

/// A row: its text, and its list of texts.
type Row = (Option<String>, Option<Vec<String>>);

fn item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Utf8, false))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, true),
        Field::new("list", DataType::List(item()), true),
    ]))
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let names = StringArray::from_iter_values(rows.iter().enumerate().map(|(row, _)| format!("name-{}", row / 7)));
    let texts: StringArray = rows.iter().map(|row| row.0.as_deref()).collect();
    let items: Vec<&String> = rows.iter().flat_map(|row| row.1.iter().flatten()).collect();
    let items = StringArray::from_iter_values(items);
    let lengths = OffsetBuffer::from_lengths(rows.iter().map(|row| row.1.as_ref().map_or(0, Vec::len)));
    let nulls = NullBuffer::from_iter(rows.iter().map(|row| row.1.is_some()));
    let lists = ListArray::new(item(), lengths, Arc::new(items), Some(nulls));
    RecordBatch::try_new(schema(), vec![Arc::new(names), Arc::new(texts), Arc::new(lists)]).unwrap()
}

/// Returns the same rows with texts as dictionaries.
fn as_dictionaries(batch: &RecordBatch) -> RecordBatch {
    let list = DataType::List(Arc::new(Field::new("item", dictionary(), false)));
    let types = [dictionary(), dictionary(), list];
    let columns: Vec<ArrayRef> =
        batch.columns().iter().zip(&types).map(|(column, data_type)| cast(column, data_type).unwrap()).collect();
    let fields = batch.schema();
    let fields = fields.fields().iter().zip(types);
    let fields: Vec<Field> =
        fields.map(|(field, data_type)| field.as_ref().clone().with_data_type(data_type)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn written(batches: impl IntoIterator<Item = RecordBatch>) -> Bytes {
    written_as(TableKind::DistTags, schema(), batches)
}

fn read(file: Bytes) -> RecordBatch {
    read_as(&schema(), file)
}

/// Cuts the rows at `cuts`; every other piece has dictionaries.
fn pieces(whole: &RecordBatch, cuts: &[usize]) -> Vec<RecordBatch> {
    let slices = cut(whole, cuts).into_iter();
    slices.enumerate().map(|(index, rows)| if index % 2 == 0 { rows } else { as_dictionaries(&rows) }).collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = || prop_oneof![3 => "[ab]", 1 => "[a-é]{0,90}"];
    let row = (prop::option::weighted(0.8, text()), prop::option::weighted(0.8, prop::collection::vec(text(), 0..5)));
    repeated(row)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_are_read_back_and_give_the_same_bytes_in_any_batches(
        rows in rows(), cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let rows = batch(&rows);
        let whole = written([rows.clone()]);
        prop_assert!(read(whole.clone()) == rows);
        prop_assert!(written([as_dictionaries(&rows)]) == whole);
        prop_assert!(written(pieces(&rows, &cuts)) == whole);
    }
}

/// Returns rows for two pages, with long texts that do not repeat.
fn many_texts() -> Vec<Row> {
    let text = |row: usize| format!("{row:05}-{}", "x".repeat(400));
    (0..9_000).map(|row| (Some(text(row)), Some(vec![text(row), "same".to_owned()]))).collect()
}

#[test]
fn a_dictionary_that_grows_too_large_is_left_for_plain_pages() {
    let rows = batch(&many_texts());
    let whole = written([rows.clone()]);
    assert!(read(whole.clone()) == rows);
    assert!(written(pieces(&rows, &[1, 2_500, 2_501, 8_000])) == whole);
    let metadata = ArrowReaderMetadata::load(&whole, ArrowReaderOptions::new()).unwrap();
    for column in [1, 2] {
        let encodings: Vec<_> = metadata.metadata().row_group(0).column(column).encodings().collect();
        assert!(encodings.contains(&Encoding::RLE_DICTIONARY) && encodings.contains(&Encoding::PLAIN), "{encodings:?}");
    }
}

#[test]
fn statistics_and_the_page_index_match_the_pages() {
    let mut rows: Vec<Row> = many_texts();
    rows.iter_mut().take(8_192).for_each(|row| row.0 = None);
    let file = written([batch(&rows)]);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
    let group = metadata.metadata().row_group(0);
    let Some(Statistics::ByteArray(names)) = group.column(0).statistics() else { panic!("no statistics") };
    assert_eq!(names.min_bytes_opt(), Some(&b"name-0"[..]));
    assert_eq!((names.max_bytes_opt(), names.null_count_opt()), (Some(&b"name-999"[..]), Some(0)));
    let Some(Statistics::ByteArray(texts)) = group.column(1).statistics() else { panic!("no statistics") };
    assert_eq!(texts.null_count_opt(), Some(8_192));
    // Statistics show 64 bytes, and the greatest text is raised.
    assert_eq!(texts.min_bytes_opt().map(<[u8]>::len), Some(64));
    assert!(texts.max_bytes_opt().unwrap() > many_texts()[8_999].0.as_ref().unwrap().as_bytes());
    assert!(!texts.max_is_exact() && !texts.min_is_exact());

    let ColumnIndexMetaData::BYTE_ARRAY(index) = &metadata.metadata().column_index().unwrap()[0][1] else {
        panic!("no column index")
    };
    assert!(index.is_null_page(0) && !index.is_null_page(1));
    let pages = metadata.metadata().offset_index().unwrap()[0][1].page_locations();
    assert_eq!(pages[1].first_row_index, 8_192);

    // A reader that uses the index finds the row.
    let selection = RowSelection::from(vec![RowSelector::skip(8_700), RowSelector::select(1)]);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let found = reader.with_row_selection(selection).build().unwrap().next().unwrap().unwrap();
    assert_eq!(found.column(1).as_string::<i32>().value(0), rows[8_700].0.as_deref().unwrap());
    assert_eq!(found.column(2).as_list::<i32>().value(0).len(), 2);
}
