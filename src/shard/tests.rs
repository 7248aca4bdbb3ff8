//! Tests the writer and the merge together: the bytes of a shard depend only on its rows.
#![allow(clippy::unwrap_used)]

mod cut;
mod documents;
mod flat;
mod merge;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::{ShardMerge, ShardReader};
use crate::encode::ShardWriter;
use crate::error::ErrorKind;
use crate::store::ShardFile;
use crate::table::TableKind;

const TABLE: TableKind = TableKind::DistTags;

/// The number of rows of each name, and a value that determines their contents.
type World = BTreeMap<String, (usize, u8)>;

fn schema() -> SchemaRef {
    let column = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![column("name"), column("tag"), column("version")]))
}

fn batch(rows: &[(&str, usize, u8)]) -> RecordBatch {
    let names = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let tags = StringArray::from_iter_values(rows.iter().map(|row| format!("tag-{}", row.1)));
    let versions = StringArray::from_iter_values(rows.iter().map(|row| format!("{}.0.0", row.2)));
    let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(tags), Arc::new(versions)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn rows(world: &World) -> Vec<(&str, usize, u8)> {
    let rows_of = |(name, &(count, content))| (0..count).map(move |row| (String::as_str(name), row, content));
    world.iter().flat_map(rows_of).collect()
}

fn writer() -> ShardWriter<Vec<u8>> {
    ShardWriter::new(TABLE, schema(), Vec::new()).unwrap()
}

/// Returns the shard of a world, written in batches of `batch_rows`.
fn fresh(world: &World, batch_rows: usize) -> Vec<u8> {
    let mut writer = writer();
    for rows in rows(world).chunks(batch_rows) {
        writer.write(batch(rows)).unwrap();
    }
    writer.finish().unwrap().0
}

/// Merges the changes between two worlds into the shard of the first, `names_at_once` names per call.
fn merged(before: &World, after: &World, batch_rows: usize, names_at_once: usize) -> Vec<u8> {
    let file = ShardFile::Bytes(Bytes::from(fresh(before, 1000)));
    let mut merge = ShardMerge::open(writer(), Some(file), CancellationToken::new()).unwrap();
    let all: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<&str> =
        all.into_iter().filter(|name| before.get(*name) != after.get(*name)).map(String::as_str).collect();
    for names in changed.chunks(names_at_once) {
        let new = names.iter().filter_map(|&name| after.get_key_value(name));
        let new: World = new.map(|(name, rows)| (name.clone(), *rows)).collect();
        let batches = rows(&new).chunks(batch_rows).map(batch).collect();
        merge.replace(names, batches).unwrap();
    }
    merge.finish().unwrap().0
}

fn worlds() -> impl Strategy<Value = World> {
    prop::collection::btree_map("[a-d@é]{1,3}", (0_usize..400, 0_u8..3), 0..90)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_update_has_the_bytes_of_a_fresh_shard(
        before in worlds(), after in worlds(), batch_rows in 1_usize..9_000, names_at_once in 1_usize..40,
    ) {
        prop_assert!(merged(&before, &after, batch_rows, names_at_once) == fresh(&after, 2_000));
    }

    #[test]
    fn bytes_do_not_depend_on_how_rows_were_batched(world in worlds(), batch_rows in 1_usize..20_000) {
        prop_assert!(fresh(&world, batch_rows) == fresh(&world, 777));
    }
}

#[test]
fn a_merge_that_is_to_stop_writes_nothing_more() {
    let world: World = (0..50_000).map(|number| (format!("name-{number:05}"), (1, 0))).collect();
    let stop = CancellationToken::new();
    let file = ShardFile::Bytes(Bytes::from(fresh(&world, 1000)));
    let mut merge = ShardMerge::open(writer(), Some(file), stop.clone()).unwrap();
    merge.replace(&["name-00007"], Vec::new()).unwrap();
    stop.cancel();
    let replaced = merge.replace(&["name-40000"], vec![batch(&[("name-40000", 1, 1)])]);
    assert_eq!(replaced.unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(merge.finish().unwrap_err().kind(), ErrorKind::Interrupted);
}

/// Writes a shard with few row groups, so that pages end because of their rows.
fn written_as(table: TableKind, schema: SchemaRef, batches: impl IntoIterator<Item = RecordBatch>) -> Bytes {
    let mut writer = ShardWriter::new(table, schema, Vec::new()).unwrap().with_group_target(32 << 10);
    batches.into_iter().for_each(|batch| writer.write(batch).unwrap());
    Bytes::from(writer.finish().unwrap().0)
}

/// Reads the rows of a shard with the library's own reader.
fn read_as(schema: &SchemaRef, file: Bytes) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    concat_batches(schema, &batches).unwrap()
}

/// Cuts the rows into pieces at any values of `cuts`.
fn cut(whole: &RecordBatch, cuts: &[usize]) -> Vec<RecordBatch> {
    let mut starts: Vec<usize> = cuts.iter().map(|cut| cut % (whole.num_rows() + 1)).collect();
    starts.extend([0, whole.num_rows()]);
    starts.sort_unstable();
    starts.windows(2).map(|ends| whole.slice(ends[0], ends[1] - ends[0])).collect()
}

/// Generates rows of `row`, some repeated many times in succession.
fn repeated<R: Clone + std::fmt::Debug>(row: impl Strategy<Value = R>) -> impl Strategy<Value = Vec<R>> {
    let run = (row, prop_oneof![4 => 1_usize..4, 1 => 1_usize..3_000]);
    let repeat = |runs: Vec<(R, usize)>| runs.into_iter().flat_map(|(row, count)| vec![row; count]).collect();
    prop::collection::vec(run, 0..40).prop_map(repeat)
}

#[test]
fn a_file_that_is_no_shard_or_ends_early_is_an_error() {
    let whole = fresh(&World::from([("a".to_owned(), (20, 1))]), 10);
    for length in [0, 3, 100, whole.len() - 1] {
        let file = ShardFile::Bytes(Bytes::copy_from_slice(&whole[..length]));
        assert!(ShardReader::open(TABLE, file, &schema()).is_err(), "{length} bytes of {}", whole.len());
    }
}
