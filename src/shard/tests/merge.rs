//! Tests the merge of an update with row groups so small that every case of their ends occurs. The result has the bytes
//! of a fresh shard, and unchanged row groups are not decoded.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::{batch, rows, writer};
use crate::encode::ShardWriter;
use crate::npm::{Outcome, Representation};
use crate::sample::World;
use crate::shard::ShardMerge;
use crate::store::ShardFile;
use crate::table::{DocumentInput, DocumentTables, OutcomeRow, OutcomesBuilder, TableKind, schema};

/// The mean number of rows in a row group; a row group then has at most 80 rows, and a name can have 400.
const GROUP_ROWS: u64 = 20;

fn fresh(world: &super::World) -> Vec<u8> {
    let mut writer = writer().with_group_target(GROUP_ROWS);
    writer.write(batch(&rows(world))).unwrap();
    writer.finish().unwrap().0
}

/// Merges the rows that the `decided` names have in `after` into the shard `before`, `names_at_once` names per call. Of
/// the last name of a call, `rows_at_once` rows come with the call, and the others with a second call, like those of a
/// large document.
fn merged(
    before: Vec<u8>,
    after: &super::World,
    decided: &BTreeSet<String>,
    names_at_once: usize,
    rows_at_once: usize,
) -> Vec<u8> {
    let file = ShardFile::Bytes(Bytes::from(before));
    let writer = writer().with_group_target(GROUP_ROWS);
    let mut merge = ShardMerge::open(writer, Some(file), CancellationToken::new()).unwrap();
    let decided: Vec<&str> = decided.iter().map(String::as_str).collect();
    for names in decided.chunks(names_at_once) {
        let new = names.iter().filter_map(|&name| after.get_key_value(name));
        let new: super::World = new.map(|(name, rows)| (name.clone(), *rows)).collect();
        let new = rows(&new);
        let of_last = new.iter().filter(|row| Some(&row.0) == names.last()).count();
        let (at_once, later) = new.split_at(new.len() - of_last.saturating_sub(rows_at_once));
        merge.replace(names, vec![batch(at_once)]).unwrap();
        merge.replace(&[], vec![batch(later)]).unwrap();
    }
    merge.finish().unwrap().0
}

fn worlds() -> impl Strategy<Value = super::World> {
    let rows = prop_oneof![8 => 0_usize..12, 2 => 12_usize..60, 1 => 60_usize..400];
    // Statistics show a long name cut.
    prop::collection::btree_map("[a-z@é]{1,3}|n{70}[ab]", (rows, 0_u8..3), 0..150)
}

/// The change of a name: its new rows, or none.
fn changes() -> impl Strategy<Value = super::World> {
    prop::collection::btree_map("[a-z@é]{1,3}", (0_usize..100, 3_u8..5), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn an_update_has_the_bytes_of_a_fresh_shard(
        before in worlds(), changes in changes(), some in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        names_at_once in 1_usize..4, rows_at_once in 0_usize..90,
    ) {
        let mut after = before.clone();
        let mut decided: BTreeSet<String> = changes.keys().cloned().collect();
        after.extend(changes);
        for (which, index) in some.iter().enumerate().filter(|_| !before.is_empty()) {
            let name = index.get(&before.keys().collect::<Vec<_>>()).to_string();
            match which {
                0 => drop(after.remove(&name)),
                1 => {} // Asked for again, and the same.
                _ => drop(after.insert(name.clone(), (which * 7, 9))),
            }
            decided.insert(name);
        }
        prop_assert!(merged(fresh(&before), &after, &decided, names_at_once, rows_at_once) == fresh(&after));
    }
}

/// Returns the first and last byte offsets of the row groups of a shard.
pub(super) fn group_places(file: &Bytes) -> Vec<(usize, usize)> {
    let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).unwrap();
    let place = |group: &parquet::file::metadata::RowGroupMetaData| {
        let (first, last) = (group.column(0).byte_range(), group.column(2).byte_range());
        (first.0 as usize, (last.0 + last.1) as usize)
    };
    metadata.metadata().row_groups().iter().map(place).collect()
}

#[test]
fn row_groups_without_a_change_are_not_decoded() {
    let world: super::World = (0..400).map(|number| (format!("name-{number:03}"), (number % 9, 0))).collect();
    let whole = Bytes::from(fresh(&world));
    let places = group_places(&whole);
    assert!(places.len() > 50, "{} row groups", places.len());
    let mut after = world.clone();
    after.insert("name-200".to_owned(), (200 % 9, 1));
    let decided = BTreeSet::from(["name-200".to_owned()]);
    let expected = merged(whole.to_vec(), &after, &decided, 1, 1);
    assert!(expected == fresh(&after));
    // The merge cannot have read the bytes that are made unreadable here, and the result contains all of them.
    let mut spoilt_groups = 0;
    for (start, end) in places {
        let mut spoilt = whole.to_vec();
        spoilt[start..end].fill(0xff);
        let file = ShardFile::Bytes(Bytes::from(spoilt));
        let writer = writer().with_group_target(GROUP_ROWS);
        let mut merge = ShardMerge::open(writer, Some(file), CancellationToken::new()).unwrap();
        let new = after.get_key_value("name-200").map(|(name, rows)| (name.clone(), *rows));
        let replaced = merge.replace(&["name-200"], vec![batch(&self::rows(&new.into_iter().collect()))]);
        let Ok((copied, _)) = replaced.and_then(|()| merge.finish()) else { continue };
        spoilt_groups += 1;
        assert_eq!(copied.len(), expected.len());
        let differing = copied.iter().zip(&expected).filter(|(one, other)| one != other).count();
        assert!(differing > 0 && differing <= end - start);
    }
    assert!(spoilt_groups + 3 >= group_places(&whole).len(), "{spoilt_groups} were copied");
}

/// Returns the rows of all tables for some responses: rows of documents, and the outcomes of the requests.
fn tables(world: &World, names: &BTreeSet<String>) -> BTreeMap<TableKind, Vec<arrow::array::RecordBatch>> {
    let mut documents = DocumentTables::new(true);
    let mut outcomes = OutcomesBuilder::new();
    for name in names {
        let Some(bytes) = world.document(name) else { continue };
        let representation = Representation::Full;
        documents.push(DocumentInput { name, announced_rev: "1-0", representation, bytes: &bytes });
        outcomes.push(&OutcomeRow {
            name,
            rev: Some("1-0"),
            outcome: Outcome::Present,
            http_status: (name.len() % 3 > 0).then_some(200),
            etag: Some(name),
            last_modified: None,
            attempts: name.len() as u32,
            fetched_at_micros: Some(1),
            detail: None,
            next_request_at_micros: None,
            repetitions: 1,
            credentials: None,
        });
    }
    let mut tables: BTreeMap<TableKind, Vec<_>> = BTreeMap::new();
    for (table, rows) in documents.take_batches().unwrap() {
        tables.entry(table).or_default().push(rows);
    }
    tables.entry(TableKind::Outcomes).or_default().push(outcomes.take_batch().unwrap());
    tables
}

fn small_writer(table: TableKind) -> ShardWriter<Vec<u8>> {
    let target = if table == TableKind::Packuments { 60_000 } else { GROUP_ROWS };
    ShardWriter::new(table, schema(table), Vec::new()).unwrap().with_group_target(target)
}

fn fresh_shards(world: &World) -> BTreeMap<TableKind, Vec<u8>> {
    let names = world.names().map(str::to_owned).collect();
    let mut rows = tables(world, &names);
    let shard = |table| {
        let mut writer = small_writer(table);
        rows.remove(&table).into_iter().flatten().for_each(|rows| writer.write(rows).unwrap());
        (table, writer.finish().unwrap().0)
    };
    TableKind::of_answers().map(shard).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn an_update_of_every_table_has_the_bytes_of_fresh_shards(
        seed in 0_u64..1_000, edits in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4), 1..8),
    ) {
        let mut world = World::seeded(seed, 60);
        world.put_raw("bytes", "1-a", &b"{\"name\":\"bytes\",\"x\":\"\xff\"}"[..]);
        let before = fresh_shards(&world);
        let names: Vec<String> = world.names().map(str::to_owned).collect();
        let mut decided = BTreeSet::new();
        for (index, edit) in edits {
            let name = index.get(&names).clone();
            match edit {
                0 => world.delete(&name),
                1 => world.unpublish(&name),
                2 => world.publish(&format!("{name}-new"), "1.0.0"),
                _ => world.publish(&name, "999.0.0"),
            }
            decided.extend([format!("{name}-new"), name]);
        }
        let mut rows = tables(&world, &decided);
        let decided: Vec<&str> = decided.iter().map(String::as_str).collect();
        for (table, expected) in fresh_shards(&world) {
            let previous = ShardFile::Bytes(Bytes::from(before[&table].clone()));
            let mut merge = ShardMerge::open(small_writer(table), Some(previous), CancellationToken::new()).unwrap();
            merge.replace(&decided, rows.remove(&table).unwrap_or_default()).unwrap();
            prop_assert!(merge.finish().unwrap().0 == expected, "{table} differs");
        }
    }
}
