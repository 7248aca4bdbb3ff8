//! Tests columns of numbers, times, booleans and commands: their values are read back unchanged, and the bytes do not
//! depend on the batches.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, RecordBatch, StringArray, StructArray};
use arrow::array::{BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Encoding;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::{cut, read_as, repeated, written_as};
use crate::table::TableKind;

/// A row: a number, a time, a boolean, and a number of commands.
type Row = (Option<i64>, Option<i64>, Option<bool>, Option<usize>);

fn command_type(text: DataType) -> DataType {
    let parts: Fields = ["name", "path"].map(|part| Field::new(part, text.clone(), false)).to_vec().into();
    DataType::List(Arc::new(Field::new("item", DataType::Struct(parts), false)))
}

/// The encodings of `published_at` and `unpacked_size_bytes` are those of the table of versions.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("number", DataType::Int64, true),
        Field::new("unpacked_size_bytes", DataType::Int64, true),
        Field::new("published_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("truth", DataType::Boolean, true),
        Field::new("is_even", DataType::Boolean, false),
        Field::new("commands", command_type(DataType::Utf8), true),
    ]))
}

fn commands(rows: &[Row]) -> ListArray {
    let counts = rows.iter().map(|row| row.3.unwrap_or_default());
    let texts = |what: &'static str| {
        let texts = counts.clone().flat_map(move |count| (0..count).map(move |at| format!("{what}-{count}-{at}")));
        let texts: Vec<String> = texts.collect();
        Arc::new(StringArray::from_iter_values(texts)) as ArrayRef
    };
    let DataType::List(item) = command_type(DataType::Utf8) else { panic!("no list") };
    let DataType::Struct(parts) = item.data_type().clone() else { panic!("no struct") };
    let items = StructArray::new(parts, vec![texts("name"), texts("path")], None);
    let nulls = NullBuffer::from_iter(rows.iter().map(|row| row.3.is_some()));
    ListArray::new(item, OffsetBuffer::from_lengths(counts), Arc::new(items), Some(nulls))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let names = StringArray::from_iter_values((0..rows.len()).map(|row| format!("name-{}", row / 7)));
    let numbers: Int64Array = rows.iter().map(|row| row.0).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|row| row.1).collect();
    let truths: BooleanArray = rows.iter().map(|row| row.2).collect();
    let even: BooleanArray = rows.iter().map(|row| Some(row.0.unwrap_or_default() % 2 == 0)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names),
        Arc::new(numbers.clone()),
        Arc::new(numbers),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(truths),
        Arc::new(even),
        Arc::new(commands(rows)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn written(batches: impl IntoIterator<Item = RecordBatch>) -> Bytes {
    written_as(TableKind::Versions, schema(), batches)
}

fn read(file: Bytes) -> RecordBatch {
    read_as(&schema(), file)
}

/// Returns the same rows with the texts of commands as dictionaries.
fn with_dictionaries(batch: &RecordBatch) -> RecordBatch {
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut columns = batch.columns().to_vec();
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    columns[6] = cast(&columns[6], &command_type(text.clone())).unwrap();
    fields[6] = fields[6].clone().with_data_type(command_type(text));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = || prop_oneof![3 => 0_i64..4, 1 => any::<i64>()];
    let row = (
        prop::option::weighted(0.8, number()),
        prop::option::weighted(0.8, number()),
        prop::option::weighted(0.8, any::<bool>()),
        prop::option::weighted(0.6, 0_usize..4),
    );
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
        prop_assert!(written([with_dictionaries(&rows)]) == whole);
        prop_assert!(written(cut(&rows, &cuts)) == whole);
    }
}

#[test]
fn statistics_the_page_index_and_encodings_are_those_of_the_values() {
    // Two pages, the first without numbers.
    let row = |row: i64| ((row >= 8_192).then_some(row - 8_500), Some(row * 1_000), Some(row > 0), None);
    let file = written([batch(&(0..9_000).map(row).collect::<Vec<_>>())]);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
    let metadata = metadata.metadata();
    let group = metadata.row_group(0);
    for column in [1, 2] {
        let Some(Statistics::Int64(numbers)) = group.column(column).statistics() else { panic!("no statistics") };
        assert_eq!((numbers.min_opt(), numbers.max_opt()), (Some(&-308), Some(&499)));
        assert_eq!(numbers.null_count_opt(), Some(8_192));
    }
    let Some(Statistics::Boolean(truths)) = group.column(4).statistics() else { panic!("no statistics") };
    assert_eq!((truths.min_opt(), truths.max_opt()), (Some(&false), Some(&true)));
    let ColumnIndexMetaData::INT64(index) = &metadata.column_index().unwrap()[0][1] else { panic!("no column index") };
    assert!(index.is_null_page(0) && !index.is_null_page(1));
    assert_eq!((index.min_value(1), index.max_value(1)), (Some(&-308), Some(&499)));
    assert_eq!(metadata.offset_index().unwrap()[0][1].page_locations()[1].first_row_index, 8_192);
    for (column, encoding) in
        [(1, Encoding::RLE_DICTIONARY), (2, Encoding::PLAIN), (3, Encoding::PLAIN), (4, Encoding::PLAIN)]
    {
        let encodings: Vec<Encoding> = group.column(column).encodings().collect();
        assert!(encodings.contains(&encoding), "{column}: {encodings:?}");
        assert_eq!(encodings.contains(&Encoding::RLE_DICTIONARY), column == 1, "{column}: {encodings:?}");
    }
}
