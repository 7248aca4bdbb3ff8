//! Compares our encoders with the Parquet library's: the same batches through [`ShardWriter`] and through `ArrowWriter`
//! with the same properties (statistics, pages, dictionaries, filters), in turns, in one process and on one thread.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson taskset -c 1 cargo bench --no-default-features --bench encoders`. A row group of
//! the library ends with the mean number of rows or bytes of ours. The library supports neither our parameters of zstd
//! (it compresses at level 1) nor lists of dictionaries: those are made plain before the clock starts.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, sink};

use all_docs::encode::{ShardWriter, library_properties};
use all_docs::npm::Representation;
use all_docs::table::{DocumentInput, DocumentTables, TableKind, schema};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use support::{corpus, process};

/// Rows are passed to the writers at this size, as in the pipeline.
const BUFFERED_BYTES: usize = 8 << 20;
/// Raw documents are passed to the writers at this size, as in the pipeline.
const RAW_BYTES: usize = 256 << 10;
/// Documents in a partition.
const PARTITION_DOCUMENTS: usize = 10_000;

/// The time that the encoding of a table took, and its result.
#[derive(Default)]
struct Taken {
    ours_ns: u64,
    library_ns: u64,
    our_bytes: u64,
    library_bytes: u64,
}

/// The two writers of one shard.
struct Pair {
    ours: ShardWriter<std::io::Sink>,
    library: ArrowWriter<std::io::Sink>,
}

#[derive(Default)]
struct Bench {
    pairs: BTreeMap<TableKind, Pair>,
    taken: BTreeMap<TableKind, Taken>,
}

fn main() {
    let Some(input) = std::env::var_os("ALL_DOCS_CORPUS") else {
        println!("skipped: set ALL_DOCS_CORPUS to a file of packuments, one a line");
        return;
    };
    let mut bench = Bench::default();
    let mut tables = DocumentTables::new(true);
    for (index, line) in BufReader::new(std::fs::File::open(input).unwrap()).split(b'\n').enumerate() {
        let bytes = &Bytes::from(line.unwrap());
        if index % PARTITION_DOCUMENTS == 0 {
            bench.write(tables.take_batches().unwrap());
            bench.end_shards();
        }
        let name = &corpus::name_of(bytes);
        tables.push(DocumentInput { name, announced_rev: "", representation: Representation::Full, bytes });
        if tables.raw_bytes() > RAW_BYTES {
            bench.write(tables.take_raw().unwrap().map(|rows| (TableKind::Packuments, rows)).into_iter().collect());
        }
        if tables.buffered_bytes() > BUFFERED_BYTES {
            bench.write(tables.take_batches().unwrap());
        }
    }
    bench.write(tables.take_batches().unwrap());
    bench.end_shards();
    println!("{:<14} {:>12} {:>12} {:>7} {:>12} {:>12}", "", "ours", "library's", "", "ours", "library's");
    let mut all = Taken::default();
    for (table, taken) in &bench.taken {
        print(table.as_str(), taken);
        if *table != TableKind::Packuments {
            all.ours_ns += taken.ours_ns;
            all.library_ns += taken.library_ns;
            all.our_bytes += taken.our_bytes;
            all.library_bytes += taken.library_bytes;
        }
    }
    print("without raw", &all);
}

fn print(what: &str, taken: &Taken) {
    let ms = |ns: u64| ns as f64 / 1e6;
    println!(
        "{what:<14} {:>9.1} ms {:>9.1} ms {:>5.2} x {:>12} {:>12} bytes",
        ms(taken.ours_ns),
        ms(taken.library_ns),
        taken.library_ns as f64 / taken.ours_ns.max(1) as f64,
        taken.our_bytes,
        taken.library_bytes,
    );
}

/// The library accepts dictionaries of texts, but no lists of them.
fn without_lists_of_dictionaries(batch: &RecordBatch, schema: &Schema) -> RecordBatch {
    let is_list = |array: &ArrayRef| matches!(array.data_type(), DataType::List(_));
    let columns = batch.columns().iter().zip(schema.fields());
    let columns: Vec<ArrayRef> = columns
        .map(|(array, field)| if is_list(array) { cast(array, field.data_type()).unwrap() } else { array.clone() })
        .collect();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    RecordBatch::try_from_iter_with_nullable(names.zip(columns).map(|(name, array)| (name, array, true))).unwrap()
}

impl Bench {
    fn write(&mut self, batches: Vec<(TableKind, RecordBatch)>) {
        for (table, batch) in batches {
            let pair = self.pairs.entry(table).or_insert_with(|| Pair {
                ours: ShardWriter::new(table, schema(table), sink()).unwrap(),
                library: ArrowWriter::try_new(sink(), schema(table), Some(library_properties(table))).unwrap(),
            });
            let taken = self.taken.entry(table).or_default();
            let plain = without_lists_of_dictionaries(&batch, &schema(table));
            let start = process::thread_ns();
            pair.ours.write(batch).unwrap();
            let middle = process::thread_ns();
            pair.library.write(&plain).unwrap();
            taken.ours_ns += middle - start;
            taken.library_ns += process::thread_ns() - middle;
        }
    }

    fn end_shards(&mut self) {
        for (table, Pair { ours, mut library }) in std::mem::take(&mut self.pairs) {
            let taken = self.taken.entry(table).or_default();
            let start = process::thread_ns();
            taken.our_bytes += ours.finish().unwrap().1.size_bytes;
            let middle = process::thread_ns();
            library.finish().unwrap();
            taken.library_bytes += library.bytes_written() as u64;
            taken.ours_ns += middle - start;
            taken.library_ns += process::thread_ns() - middle;
        }
    }
}
