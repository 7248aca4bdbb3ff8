//! Documents to all tables, from a file to files: the whole process, its rate and its peak of memory.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson taskset -c 1 cargo bench --no-default-features --bench documents -- [--raw]`.
//! With `--raw` the documents themselves are kept as well, as `ingest` does. The file is read in blocks, so that
//! the peak is that of the work; a partition is 10,000 documents, as in a lake.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use all_docs::lake::TableKind;
use all_docs::npm::Representation;
use all_docs::shard::ShardWriter;
use all_docs::table::{DocumentInput, DocumentTables, schema};
use bytes::Bytes;
use support::{corpus, process};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows are written on at this size, as the pipeline does.
const BUFFERED_BYTES: usize = 8 << 20;
/// Documents in a partition.
const PARTITION_DOCUMENTS: usize = 10_000;

/// Bytes of the file that are held at a time: few, so that they are still in the processor's cache when they are decoded.
const READ_BYTES: usize = 256 << 10;

type Writers = BTreeMap<TableKind, ShardWriter<File>>;

fn main() {
    let keep_raw = std::env::args().any(|argument| argument == "--raw");
    let Some(input) = std::env::var_os("ALL_DOCS_CORPUS") else {
        println!("skipped: set ALL_DOCS_CORPUS to a file of packuments, one a line");
        return;
    };
    let input = Path::new(&input);
    // Names are known from the listing, so finding them is not part of the work.
    let mut names = Vec::new();
    for_each_line(input, |line| names.push(corpus::name_of(line)));
    let folder = tempfile::tempdir_in(input.parent().unwrap()).unwrap();

    let measure = process::Measure::begin();
    let mut tables = DocumentTables::new(keep_raw);
    let mut writers = Writers::new();
    let mut json_bytes = 0;
    let mut shard_bytes: BTreeMap<TableKind, u64> = BTreeMap::new();
    let mut names = names.iter().enumerate();
    for_each_line(input, |bytes| {
        let (index, name) = names.next().unwrap();
        if index % PARTITION_DOCUMENTS == 0 {
            finish(&mut tables, &mut writers, &mut shard_bytes);
            writers = create(folder.path(), index / PARTITION_DOCUMENTS);
        }
        json_bytes += bytes.len() as u64;
        tables.push(DocumentInput { name, announced_rev: "", representation: Representation::Full, bytes });
        if tables.buffered_bytes() > BUFFERED_BYTES {
            write(&mut tables, &mut writers);
        }
    });
    finish(&mut tables, &mut writers, &mut shard_bytes);
    let taken = measure.end();

    println!("documents to all tables, raw documents {}", if keep_raw { "kept" } else { "not kept" });
    println!("{json_bytes} bytes of JSON in {}", taken.describe(json_bytes));
    println!("peak of memory {} MB", process::peak_memory_bytes() / 1_000_000);
    for (table, bytes) in shard_bytes {
        println!("{table:<14} {bytes:>11} bytes");
    }
}

/// Calls `each` with every line. It shares the memory of the block that it was read with, as a body that came over the
/// network does; a block of which no line is held is used again.
fn for_each_line(path: &Path, mut each: impl FnMut(&Bytes)) {
    let mut file = File::open(path).unwrap();
    let mut block = Vec::with_capacity(READ_BYTES);
    loop {
        let room = (block.capacity() - block.len()).max(READ_BYTES / 2);
        let read = file.by_ref().take(room as u64).read_to_end(&mut block).unwrap();
        let whole = Bytes::from(block);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &whole) {
            each(&whole.slice(start..end));
            start = end + 1;
        }
        block = match whole.try_into_mut() {
            Ok(same) => {
                let mut same = Vec::from(same);
                same.drain(..start);
                same
            }
            Err(shared) => {
                let rest = &shared[start..];
                let mut next = Vec::with_capacity(READ_BYTES.max(2 * rest.len()));
                next.extend_from_slice(rest);
                next
            }
        };
        if read == 0 {
            assert!(block.is_empty(), "the last line has no end");
            break;
        }
    }
}

fn create(folder: &Path, partition: usize) -> Writers {
    let mut writers = Writers::new();
    for table in TableKind::OF_DOCUMENTS {
        let file = File::create(folder.join(format!("{table}-{partition}.parquet"))).unwrap();
        writers.insert(table, ShardWriter::new(table, schema(table), file).unwrap());
    }
    writers
}

fn write(tables: &mut DocumentTables, writers: &mut Writers) {
    for (table, batch) in tables.take_batches().unwrap() {
        writers.get_mut(&table).unwrap().write(batch).unwrap();
    }
}

fn finish(tables: &mut DocumentTables, writers: &mut Writers, shard_bytes: &mut BTreeMap<TableKind, u64>) {
    write(tables, writers);
    for (table, writer) in std::mem::take(writers) {
        *shard_bytes.entry(table).or_default() += writer.finish().unwrap().1.size_bytes;
    }
}
