//! Age: which tables of a partition an earlier version of the tool wrote, and whether a newer one wrote a record.
//!
//! Pure data. The pipeline reads the records; `shard/` adapts the columns of an earlier version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::Manifest;
use crate::table::{TableKind, schema_version};
use crate::version::FORMAT_VERSION;

/// Tells how the shard of a table differs from one that this version writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTable {
    /// It has the schema of an earlier version.
    Earlier,
    /// The manifest does not name it, because the version that wrote the manifest did not have the table.
    Missing,
}

impl Manifest {
    /// Returns the tables that this version writes in another form. `packuments` and the tables made of it are missing
    /// only if the partition has documents: a partition of names alone has only the table `docs`.
    pub fn old_tables(&self) -> impl Iterator<Item = (TableKind, OldTable)> {
        let has_documents = TableKind::of_answers().any(|table| self.shards.contains_key(table.as_str()));
        TableKind::ALL.into_iter().filter_map(move |table| match self.shards.get(table.as_str()) {
            Some(shard) => (shard.schema_version < schema_version(table)).then_some((table, OldTable::Earlier)),
            None => (has_documents && table != TableKind::Docs).then_some((table, OldTable::Missing)),
        })
    }

    /// Returns whether an earlier version wrote any of its shards, or lacked a table.
    pub fn is_old(&self) -> bool {
        self.old_tables().next().is_some()
    }
}

/// The partitions and tables of an origin that earlier versions wrote, and the shards that it should have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OriginAge {
    /// Partitions with an old table.
    pub partitions: u64,
    /// The old tables, by name.
    pub tables: BTreeMap<&'static str, TableAge>,
    /// The shards that its manifests name: by table, the stems of their files.
    #[serde(skip)]
    pub named: BTreeMap<&'static str, Arc<BTreeSet<String>>>,
}

/// How many partitions of a table earlier versions wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TableAge {
    /// Partitions whose shard has the schema of an earlier version.
    pub earlier: u64,
    /// Partitions without a shard, because the version that wrote them did not have the table.
    pub missing: u64,
}

impl OriginAge {
    /// Counts the old tables of these manifests, which belong to one origin, and lists the shards that they name.
    pub fn of<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> OriginAge {
        let mut age = OriginAge::default();
        let mut named: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for manifest in manifests {
            for table in TableKind::ALL.into_iter().filter(|table| manifest.shards.contains_key(table.as_str())) {
                named.entry(table.as_str()).or_default().insert(manifest.partition.file_stem());
            }
            age.partitions += u64::from(manifest.is_old());
            for (table, old) in manifest.old_tables() {
                let table = age.tables.entry(table.as_str()).or_default();
                match old {
                    OldTable::Earlier => table.earlier += 1,
                    OldTable::Missing => table.missing += 1,
                }
            }
        }
        age.named = named.into_iter().map(|(table, stems)| (table, Arc::new(stems))).collect();
        age
    }

    /// Returns the stems of the shards of a table that manifests name.
    pub fn named_of_table(&self, table: TableKind) -> Arc<BTreeSet<String>> {
        self.named.get(table.as_str()).cloned().unwrap_or_default()
    }

    /// Returns the age of a table.
    pub fn of_table(&self, table: TableKind) -> TableAge {
        self.tables.get(table.as_str()).copied().unwrap_or_default()
    }
}

/// Returns the reason why a record of the lake, given as JSON text, is of a newer version of the tool: its format, or
/// the schema version of a table that it names. Returns `None` if it is not newer, or holds no versions.
///
/// Reads the lake metadata, a partition set, a manifest and a commit intent, even if the rest of the record is unknown.
pub fn newer_than_known(record: &[u8]) -> Option<String> {
    let record: Value = serde_json::from_slice(record).ok()?;
    // The intent of a commit contains the new manifest.
    let record = record.get("manifest").unwrap_or(&record);
    let format = record.get("format_version").and_then(Value::as_u64).unwrap_or_default();
    if format > u64::from(FORMAT_VERSION) {
        return Some(format!("it has format {format}, and this all-docs knows {FORMAT_VERSION}"));
    }
    let members = |name| record.get(name).and_then(Value::as_object).into_iter().flatten();
    let of_page = members("schema_versions");
    let of_shards = members("shards").filter_map(|(table, shard)| Some((table, shard.get("schema_version")?)));
    of_page.chain(of_shards).find_map(|(table, version)| {
        let version = version.as_u64()?;
        match TableKind::parse(table).map(schema_version) {
            None => Some(format!("it has a table {table}, which this all-docs does not know")),
            Some(known) => (version > u64::from(known))
                .then(|| format!("it has version {version} of the schema of {table}, and this all-docs knows {known}")),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lake::{Partition, ShardMeta};

    fn manifest(tables: impl IntoIterator<Item = (TableKind, u32)>) -> Manifest {
        let shard = |version| ShardMeta {
            rows: 0,
            size_bytes: 0,
            sha256: String::new(),
            schema_version: version,
            tool_version: String::new(),
        };
        Manifest {
            format_version: FORMAT_VERSION,
            tool_version: String::new(),
            partition: Partition::ALL,
            written_at: String::new(),
            shards: tables.into_iter().map(|(table, version)| (table.to_string(), shard(version))).collect(),
            outcomes: BTreeMap::new(),
            listed_at_us: None,
            oversize_limit_bytes: None,
            documents_form: None,
            cut_from: None,
            unfilled: Vec::new(),
            removed: Vec::new(),
        }
    }

    fn current() -> impl Iterator<Item = (TableKind, u32)> {
        TableKind::ALL.into_iter().map(|table| (table, schema_version(table)))
    }

    #[test]
    fn a_partition_is_old_where_a_shard_is_or_a_table_is_missing() {
        assert!(!manifest(current()).is_old());
        assert!(!manifest([(TableKind::Docs, schema_version(TableKind::Docs))]).is_old(), "names alone");
        let without = manifest(current().filter(|(table, _)| *table != TableKind::Stars));
        assert_eq!(without.old_tables().collect::<Vec<_>>(), [(TableKind::Stars, OldTable::Missing)]);
        let earlier = manifest(current().map(|(table, version)| match table {
            TableKind::Versions => (table, version - 1),
            _ => (table, version),
        }));
        assert_eq!(earlier.old_tables().collect::<Vec<_>>(), [(TableKind::Versions, OldTable::Earlier)]);
        let age = OriginAge::of(&[manifest(current()), without, earlier]);
        assert_eq!(age.partitions, 2);
        assert_eq!(age.of_table(TableKind::Stars), TableAge { earlier: 0, missing: 1 });
        assert_eq!(age.of_table(TableKind::Versions), TableAge { earlier: 1, missing: 0 });
        assert_eq!(age.of_table(TableKind::Docs), TableAge::default());
        let stars = age.named_of_table(TableKind::Stars);
        assert_eq!(stars.iter().collect::<Vec<_>>(), ["0-z"]);
        assert!(OriginAge::of(&[]).named_of_table(TableKind::Stars).is_empty());
    }

    #[test]
    fn a_record_is_newer_by_its_format_a_schema_version_or_a_table() {
        let text = |manifest: &Manifest| serde_json::to_vec(manifest).unwrap();
        assert_eq!(newer_than_known(&text(&manifest(current()))), None);
        let newer = manifest(current().map(|(table, version)| (table, version + u32::from(table == TableKind::Stars))));
        assert!(newer_than_known(&text(&newer)).unwrap().contains("stars"));
        let format = Manifest { format_version: FORMAT_VERSION + 1, ..manifest(current()) };
        assert!(newer_than_known(&text(&format)).unwrap().contains("format"));
        for (record, is_newer) in [
            (r#"{"format_version": 2, "schema_versions": {"holograms": 1}}"#, true),
            (r#"{"format_version": 2, "schema_versions": {"stars": 99}}"#, true),
            (r#"{"format_version": 2, "schema_versions": {"stars": 1}, "unknown": {}}"#, false),
            (r#"{"format_version": 2, "shards": {"holograms": {"schema_version": 1}}}"#, true),
            // Format 1 had no such member: an unknown name in it is damage.
            (r#"{"format_version": 1, "shards": {"holograms": {"rows": 1}}}"#, false),
            (r#"{"format_version": 3, "everything": "else is unknown"}"#, true),
            ("{\"format_version\":", false),
            ("[]", false),
        ] {
            assert_eq!(newer_than_known(record.as_bytes()).is_some(), is_newer, "{record}");
        }
    }
}
