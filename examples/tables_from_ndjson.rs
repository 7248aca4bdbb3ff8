//! Converts a file of packuments, one a line, to one Parquet file a table: `DIR/<table>/all.parquet`. It works offline.
//! Without arguments it takes 200 invented packuments.
//!
//! cargo run --release --no-default-features --features pipeline --example tables_from_ndjson -- packuments.ndjson DIR [abbreviated]
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use all_docs::encode::ShardWriter;
use all_docs::error::{Context, Error, ErrorKind, Result};
use all_docs::npm::Representation;
use all_docs::sample::World;
use all_docs::table::TableKind;
use all_docs::table::{DocumentInput, DocumentTables, schema};
use bytes::Bytes;

/// The size at which buffered rows are written.
const BUFFERED_BYTES: usize = 32 << 20;

/// An iterator over documents.
type Documents = Box<dyn Iterator<Item = Result<Vec<u8>>>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (documents, directory, form) = match arguments.as_slice() {
        [] => (invented(), std::env::temp_dir().join("all-docs-tables"), Representation::Full),
        [input, directory] => (read(input)?, directory.into(), Representation::Full),
        [input, directory, form] if form == "abbreviated" => {
            (read(input)?, directory.into(), Representation::Abbreviated)
        }
        _ => return Err(Error::input("give a file of packuments, one a line, and a directory, or nothing")),
    };

    let mut tables = DocumentTables::new(true);
    let mut writers = BTreeMap::new();
    for table in TableKind::OF_DOCUMENTS {
        let folder = directory.join(table.as_str());
        let file = std::fs::create_dir_all(&folder).and_then(|()| File::create(folder.join("all.parquet")));
        let file = file.or_error(ErrorKind::Lake, || format!("cannot write into {}", folder.display()))?;
        writers.insert(table, ShardWriter::new(table, schema(table), file)?);
    }
    for line in documents {
        let line = Bytes::from(line?);
        let name = name_of(&line);
        let document = DocumentInput { name: &name, announced_rev: "", representation: form, bytes: &line };
        let decoded = tables.push(document);
        if let Some(detail) = decoded.detail {
            println!("{name}: {}: {detail}", decoded.outcome.as_str());
        }
        if tables.buffered_bytes() > BUFFERED_BYTES {
            write_rows(&mut tables, &mut writers)?;
        }
    }
    write_rows(&mut tables, &mut writers)?;
    for (table, writer) in writers {
        let (_, meta) = writer.finish()?;
        println!("{table:<12} {:>9} rows {:>11} bytes", meta.rows, meta.size_bytes);
    }
    println!("written to {}", directory.display());
    Ok(())
}

fn invented() -> Documents {
    let world = World::seeded(7, 200);
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    Box::new(names.into_iter().filter_map(move |name| world.document(&name)).map(|bytes| Ok(bytes.to_vec())))
}

fn read(input: &str) -> Result<Documents> {
    let file = File::open(input).or_error(ErrorKind::Input, || format!("cannot read {input}"))?;
    let input = input.to_owned();
    let lines = BufReader::with_capacity(1 << 20, file).split(b'\n');
    let lines = lines.map(move |line| line.or_error(ErrorKind::Input, || format!("cannot read {input}")));
    Ok(Box::new(lines.filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()))))
}

fn write_rows(tables: &mut DocumentTables, writers: &mut BTreeMap<TableKind, ShardWriter<File>>) -> Result<()> {
    for (table, batch) in tables.take_batches()? {
        if let Some(writer) = writers.get_mut(&table) {
            writer.write(batch)?;
        }
    }
    Ok(())
}

/// Reads the name in the document: no registry gave one here.
fn name_of(line: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    serde_json::from_slice(line).map_or_else(|_| String::new(), |named: Named| named.name)
}
