//! Tests the shards of documents: every table, including lists and row groups.

use std::collections::BTreeMap;

use crate::encode::ShardWriter;
use crate::npm::Representation;
use crate::sample::World;
use crate::table::TableKind;
use crate::table::{DocumentInput, DocumentTables, schema};

/// Returns the bytes and the number of rows of all shards of a world. Rows are written after each `documents_at_once`
/// documents.
fn shards(world: &World, documents_at_once: usize) -> BTreeMap<TableKind, (Vec<u8>, u64)> {
    let mut writers = BTreeMap::new();
    for table in TableKind::OF_DOCUMENTS {
        writers.insert(table, ShardWriter::new(table, schema(table), Vec::new()).unwrap());
    }
    let mut tables = DocumentTables::new(true);
    let names: Vec<&str> = world.names().collect();
    for names in names.chunks(documents_at_once) {
        for name in names {
            let bytes = world.document(name).unwrap();
            let representation = Representation::Full;
            tables.push(DocumentInput { name, announced_rev: "1-0", representation, bytes: &bytes });
        }
        for (table, batch) in tables.take_batches().unwrap() {
            writers.get_mut(&table).unwrap().write(batch).unwrap();
        }
    }
    let finish = |writer: ShardWriter<Vec<u8>>| {
        let (bytes, meta) = writer.finish().unwrap();
        (bytes, meta.rows)
    };
    writers.into_iter().map(|(table, writer)| (table, finish(writer))).collect()
}

#[test]
fn the_same_rows_give_the_same_bytes_in_any_batches() {
    let mut world = World::seeded(5, 600);
    world.add_odd_documents();
    let whole = shards(&world, usize::MAX);
    // There are several chunks, and the batches are cut within them.
    assert!(whole[&TableKind::Versions].1 > 4_096, "{} versions", whole[&TableKind::Versions].1);
    for documents_at_once in [1, 7, 100] {
        let pieces = shards(&world, documents_at_once);
        for (table, (bytes, rows)) in &whole {
            assert_eq!(pieces[table].1, *rows, "rows of {table}");
            assert!(pieces[table].0 == *bytes, "{table} differs when written {documents_at_once} documents at a time");
        }
    }
}
