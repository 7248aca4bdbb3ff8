//! Documents to all tables, from a file to files, on the thread that calls: the anchor of `documents` and `rebuild`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use all_docs::encode::ShardWriter;
use all_docs::npm::Representation;
use all_docs::table::TableKind;
use all_docs::table::{DocumentInput, DocumentTables, schema};
use bytes::{Buf, Bytes};

use super::{corpus, process};

/// The size at which rows are written, as in the pipeline.
const BUFFERED_BYTES: usize = 8 << 20;
/// The size at which raw documents are written, as in the pipeline.
const RAW_BYTES: usize = 256 << 10;
/// The documents in a partition.
const PARTITION_DOCUMENTS: usize = 10_000;

/// The bytes of the file that are held at a time: few, so they are still in the processor's cache when they are
/// decoded.
const READ_BYTES: usize = 256 << 10;

type Writers = BTreeMap<TableKind, ShardWriter<File>>;

/// The sizes of the written shards, and the resources used.
pub struct Made {
    pub json_bytes: u64,
    pub shard_bytes: BTreeMap<TableKind, u64>,
    pub taken: process::Taken,
}

/// Makes the shards of the packuments in `input`, one a line, in a folder beside it, which it deletes. With `keep_raw`
/// also the shards of the documents themselves.
pub fn make(input: &Path, keep_raw: bool) -> Made {
    // Names are known from the listing and ends from the network, so finding them is not part of the work.
    let (mut names, mut sizes) = (Vec::new(), Vec::new());
    for line in BufReader::new(File::open(input).unwrap()).split(b'\n') {
        let line = line.unwrap();
        names.push(corpus::name_of(&line));
        sizes.push(line.len());
    }
    let folder = tempfile::tempdir_in(input.parent().unwrap()).unwrap();

    let measure = process::Measure::begin();
    let mut tables = DocumentTables::new(keep_raw);
    let mut writers = Writers::new();
    let mut json_bytes = 0;
    let mut shard_bytes: BTreeMap<TableKind, u64> = BTreeMap::new();
    let mut blocks = Blocks::open(input, &sizes);
    for (index, (name, size)) in names.iter().zip(&sizes).enumerate() {
        let bytes = &blocks.next_line(*size);
        if index % PARTITION_DOCUMENTS == 0 {
            finish(&mut tables, &mut writers, &mut shard_bytes);
            writers = create(folder.path(), index / PARTITION_DOCUMENTS);
        }
        json_bytes += bytes.len() as u64;
        tables.push(DocumentInput { name, announced_rev: "", representation: Representation::Full, bytes });
        if tables.raw_bytes() > RAW_BYTES
            && let Some(documents) = tables.take_raw().unwrap()
        {
            writers.get_mut(&TableKind::Packuments).unwrap().write(documents).unwrap();
        }
        if tables.buffered_bytes() > BUFFERED_BYTES {
            write(&mut tables, &mut writers);
        }
    }
    finish(&mut tables, &mut writers, &mut shard_bytes);
    Made { json_bytes, shard_bytes, taken: measure.end() }
}

/// A file of lines in blocks of whole lines. Lines share the memory of their block, as a body that came over the
/// network does. A block is reused when no line of it is held.
struct Blocks<'a> {
    file: File,
    block: Bytes,
    /// The sizes of the unread lines, without their ends.
    sizes: &'a [usize],
}

impl<'a> Blocks<'a> {
    fn open(path: &Path, sizes: &'a [usize]) -> Self {
        Blocks { file: File::open(path).unwrap(), block: Bytes::new(), sizes }
    }

    /// Returns the next line, without its end.
    fn next_line(&mut self, size: usize) -> Bytes {
        if self.block.is_empty() {
            self.read();
        }
        let line = self.block.split_to(size);
        self.block.advance(1);
        line
    }

    fn read(&mut self) {
        let mut block = std::mem::take(&mut self.block).try_into_mut().map(Vec::from).unwrap_or_default();
        let mut wanted_bytes = 0;
        while let Some((size, rest)) = self.sizes.split_first().filter(|_| wanted_bytes < READ_BYTES) {
            wanted_bytes += size + 1;
            self.sizes = rest;
        }
        block.reserve_exact(wanted_bytes);
        self.file.by_ref().take(wanted_bytes as u64).read_to_end(&mut block).unwrap();
        self.block = Bytes::from(block);
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
