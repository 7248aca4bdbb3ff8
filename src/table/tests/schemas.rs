//! `schemas.txt` pins the columns of each schema version of each table: a lake identifies its columns by the version
//! alone.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::*;
use crate::table::{schema, schema_version};

/// Has for each table and version a line `table version`, then an indented line for each column: its name and type, and
/// `?` if it may be null.
const PINNED: &str = include_str!("schemas.txt");

fn pinned() -> BTreeMap<(&'static str, u32), Vec<String>> {
    let mut versions: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut current = None;
    for line in PINNED.lines().filter(|line| !line.is_empty()) {
        if let Some(column) = line.strip_prefix("  ") {
            versions.get_mut(&current.unwrap()).unwrap().push(column.to_owned());
            continue;
        }
        let (table, version) = line.split_once(' ').unwrap();
        let key = (table, version.parse().unwrap());
        assert!(versions.insert(key, Vec::new()).is_none(), "schemas.txt has {line} twice");
        current = Some(key);
    }
    versions
}

fn type_of(field: &Field) -> String {
    let name = match field.data_type() {
        DataType::Utf8 => "text".to_owned(),
        DataType::Binary => "bytes".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => "utc_micros".to_owned(),
        DataType::List(item) => format!("list<{}>", type_of(item)),
        DataType::Struct(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| format!("{} {}", part.name(), type_of(part))).collect();
            format!("struct<{}>", parts.join(", "))
        }
        other => panic!("no table had a column of {other} yet: give it a name here"),
    };
    format!("{name}{}", if field.is_nullable() { "?" } else { "" })
}

fn columns_of(table: TableKind) -> Vec<String> {
    schema(table).fields().iter().map(|field| format!("{} {}", field.name(), type_of(field))).collect()
}

#[test]
fn a_change_of_columns_is_a_new_schema_version() {
    let pinned = pinned();
    for table in TableKind::ALL {
        let version = schema_version(table);
        let section = || format!("{table} {version}\n  {}\n", columns_of(table).join("\n  "));
        let Some(columns) = pinned.get(&(table.as_str(), version)) else {
            panic!("add the columns of {table} to src/table/tests/schemas.txt:\n\n{}", section());
        };
        assert!(
            *columns == columns_of(table),
            "the columns of {table} are no longer those of its schema version {version}. Raise `schema_version` in its \
             TABLE, keep its older sections in src/table/tests/schemas.txt, and add this one with the new version:\n\n{}",
            section()
        );
        let versions: Vec<u32> = pinned.keys().filter(|(name, _)| *name == table.as_str()).map(|key| key.1).collect();
        assert_eq!(versions, (1..=version).collect::<Vec<_>>(), "the versions of {table} in schemas.txt");
    }
    for (table, _) in pinned.keys() {
        assert!(TableKind::parse(table).is_some(), "schemas.txt has a table {table} that is not in the list of tables");
    }
}

#[test]
fn a_column_that_a_later_version_added_may_be_null() {
    let pinned = pinned();
    for ((table, version), columns) in pinned.iter().filter(|((_, version), _)| *version > 1) {
        let before = &pinned[&(*table, version - 1)];
        let name = |column: &str| column.split(' ').next().unwrap().to_owned();
        let known: Vec<String> = before.iter().map(|column| name(column)).collect();
        for column in columns.iter().filter(|column| !known.contains(&name(column))) {
            assert!(column.ends_with('?'), "{table} {version}: {column} is null in the rows of an older lake");
        }
    }
}

#[test]
fn the_registry_of_tables_holds_together() {
    let promoted: Vec<TableKind> = TableKind::in_order_of_promotion().collect();
    assert_eq!(promoted.last(), Some(&TableKind::Docs));
    assert_eq!(promoted[promoted.len() - 2], TableKind::Outcomes);
    let mut sorted = promoted;
    sorted.sort();
    assert_eq!(sorted, TableKind::ALL, "each table is promoted once, and ALL is in the order of the kinds");
    for table in TableKind::ALL {
        assert_eq!(TableKind::parse(table.as_str()), Some(table));
        assert_eq!(table.spec().columns[0].name, "name", "{table} is sorted by its first column");
        let metadata = schema(table).metadata().clone();
        assert_eq!(metadata["all_docs.schema_version"], schema_version(table).to_string());
    }
}
