//! Packuments in a file, one a line, to one Parquet file a table: `DIR/<table>/all.parquet`. Offline.
//!
//! cargo run --release --no-default-features --example tables_from_ndjson -- packuments.ndjson DIR [abbreviated]
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::Path;

use all_docs::error::{Context, Error, ErrorKind, Result};
use all_docs::lake::TableKind;
use all_docs::npm::Representation;
use all_docs::shard::ShardWriter;
use all_docs::table::{DocumentInput, DocumentTables, schema};

/// Rows are written on at this size.
const BUFFERED_BYTES: usize = 32 << 20;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, directory, form) = match arguments.as_slice() {
        [input, directory] => (input, directory, Representation::Full),
        [input, directory, form] if form == "abbreviated" => (input, directory, Representation::Abbreviated),
        _ => return Err(Error::input("give a file of packuments, one a line, and a directory")),
    };
    let open = File::open(input).or_error(ErrorKind::Input, || format!("cannot read {input}"))?;

    let mut tables = DocumentTables::new(true);
    let mut writers = BTreeMap::new();
    for table in TableKind::OF_DOCUMENTS {
        let folder = Path::new(directory).join(table.as_str());
        let file = std::fs::create_dir_all(&folder).and_then(|()| File::create(folder.join("all.parquet")));
        let file = file.or_error(ErrorKind::Lake, || format!("cannot write into {}", folder.display()))?;
        writers.insert(table, ShardWriter::new(table, schema(table), BufWriter::new(file))?);
    }
    for line in BufReader::with_capacity(1 << 20, open).split(b'\n') {
        let line = line.or_error(ErrorKind::Input, || format!("cannot read {input}"))?;
        if line.is_empty() {
            continue;
        }
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
    Ok(())
}

fn write_rows(
    tables: &mut DocumentTables,
    writers: &mut BTreeMap<TableKind, ShardWriter<BufWriter<File>>>,
) -> Result<()> {
    for (table, batch) in tables.take_batches()? {
        if let Some(writer) = writers.get_mut(&table) {
            writer.write(batch)?;
        }
    }
    Ok(())
}

/// The name that the document has itself: here no registry was asked for one.
fn name_of(line: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    serde_json::from_slice(line).map_or_else(|_| String::new(), |named: Named| named.name)
}
