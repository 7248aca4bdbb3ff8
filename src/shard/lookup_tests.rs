//! Tests that a look-up finds documents in every row group.
#![allow(clippy::unwrap_used)]

use super::lookup::*;
use crate::encode::ShardWriter;
use crate::error::ErrorKind;
use crate::npm::PackageName;
use crate::npm::Representation;
use crate::store::ShardFile;
use crate::table::TableKind;
use crate::table::{DocumentInput, DocumentTables, schema};
use bytes::Bytes;

fn shard(names: &[String], body: impl Fn(&str) -> Vec<u8>) -> ShardFile {
    let mut tables = DocumentTables::new(true);
    let mut writer = ShardWriter::new(TableKind::Packuments, schema(TableKind::Packuments), Vec::new()).unwrap();
    for name in names {
        let (announced_rev, bytes) = ("1-a", Bytes::from(body(name)));
        tables.push(DocumentInput { name, announced_rev, representation: Representation::Full, bytes: &bytes });
        for (table, rows) in tables.take_batches().unwrap() {
            if table == TableKind::Packuments {
                writer.write(rows).unwrap();
            }
        }
    }
    let (bytes, _) = writer.finish().unwrap();
    ShardFile::Bytes(bytes.into())
}

#[test]
fn the_wanted_documents_are_found_in_any_row_group_byte_for_byte() {
    let names: Vec<String> = (0..2_500).map(|n| format!("n{n:04}")).collect();
    let body = |name: &str| match name {
        "n1234" => b"{\"name\":\"n1234\",\"x\":\"\xff\"}".to_vec(),
        _ => format!("{{ \"name\": \"{name}\" }}\n").into_bytes(),
    };
    let file = shard(&names, body);
    let wanted = ["a", "n0000", "n0001", "n1023", "n1024", "n1234", "n12345", "n2499", "z"].map(PackageName::from);
    let mut found = Vec::new();
    find_documents(file.clone(), &wanted, |document| {
        assert_eq!(document.bytes, body(document.name.as_str()));
        found.push(document.name.as_str().to_owned());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, ["n0000", "n0001", "n1023", "n1024", "n1234", "n2499"]);
}

#[test]
fn a_file_that_is_no_shard_is_an_error() {
    let error = find_documents(ShardFile::Bytes(Bytes::from_static(b"nothing")), &[], |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake);
}
