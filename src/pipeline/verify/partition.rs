//! Checks the shards of one partition against its manifest. Not here: whether its tables fit together (`account`).

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest, Sha256};

use super::account::{Counts, Table, account};
use super::proof::{Fault, Finding, finding};
use crate::error::{Doing, Error, Result};
use crate::lake::{Manifest, OriginLayout, Partition, ShardMeta};
use crate::pipeline::lost::{REPAIR, lost_error};
use crate::pipeline::progress::Progress;
use crate::shard::{NameCursor, refuse_newer};
use crate::store::{ShardFile, Store};
use crate::table::TableKind;
use crate::table::schema;

/// How many bytes are digested at once.
const DIGEST_BUFFER_BYTES: usize = 1 << 18;

/// The partition to check.
pub(super) struct Work {
    pub(super) layout: OriginLayout,
    pub(super) partition: Partition,
    pub(super) manifest: Manifest,
    /// Its shards, opened when this was its manifest.
    pub(super) shards: BTreeMap<TableKind, Result<ShardFile>>,
    pub(super) progress: Arc<Progress>,
}

/// The counts of the data read, and the faults.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) is_committed: bool,
    pub(super) shards: u64,
    pub(super) rows: u64,
    pub(super) size_bytes: u64,
    pub(super) counts: Counts,
    /// Whether a shard that the counts need was not read, so they are left out.
    pub(super) is_uncounted: bool,
    /// Whether an earlier version of the tool wrote some of its shards.
    pub(super) is_old: bool,
    /// Another process was changing it all the time, so no statement is possible.
    pub(super) is_unsettled: bool,
    pub(super) findings: Vec<Finding>,
}

impl Checked {
    /// Makes the result for a partition with a single fault.
    pub(super) fn of(finding: Finding) -> Checked {
        Checked { findings: vec![finding], ..Checked::default() }
    }
}

/// Reads every shard of a partition twice: its bytes, then its names. Blocks.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if a newer version wrote one of them: repair must not treat that as
/// damage.
pub(super) fn check(mut work: Work) -> Result<Checked> {
    let (layout, partition) = (&work.layout, &work.partition);
    let mut checked = Checked { is_committed: true, is_old: work.manifest.is_old(), ..Checked::default() };
    let mut found = Vec::new();
    let manifest_path = layout.manifest(partition);
    if work.manifest.partition != *partition {
        let reason = format!("it is the manifest of {}, but in the place of {partition}", work.manifest.partition);
        found.push((manifest_path.clone(), Fault::Manifest, reason));
    }
    let mut tables = Vec::new();
    for (name, meta) in &work.manifest.shards {
        let Some(kind) = TableKind::parse(name) else {
            found.push((manifest_path.clone(), Fault::Manifest, format!("it names a table {name} that is unknown")));
            continue;
        };
        let path = layout.shard(kind, partition);
        checked.shards += 1;
        checked.size_bytes += meta.size_bytes;
        let opened = match work.shards.remove(&kind) {
            Some(Ok(file)) => {
                refuse_newer(kind, file.clone()).doing(|| format!("reading {path}"))?;
                open_table(kind, file, meta)
            }
            Some(Err(error)) => Err((Fault::of(&error), error.report())),
            None => Err((Fault::Missing, "it is gone, but its manifest names it".to_owned())),
        };
        match opened {
            Ok(table) => tables.push(table),
            Err((fault, reason)) => found.push((path, fault, reason)),
        }
    }
    for table in work.shards.keys() {
        let reason = "the manifest of its partition does not name it".to_owned();
        found.push((layout.shard(*table, partition), Fault::Manifest, reason));
    }
    let is_whole = found.is_empty();
    tables.sort_by_key(|table| table.kind);
    for table in &tables {
        work.progress.rows_expected.fetch_add(table.rows_expected, Ordering::Relaxed);
    }
    let accounted = account(partition, tables, is_whole, &work.progress);
    checked.rows = accounted.rows;
    found.extend(accounted.problems.into_iter().map(|(kind, fault, why)| (layout.shard(kind, partition), fault, why)));
    let is_unread = |(path, fault, _): &(String, Fault, String)| {
        let counted = [TableKind::Docs, TableKind::Packuments, TableKind::Outcomes];
        matches!(fault, Fault::Unreadable | Fault::Damaged | Fault::Missing)
            && counted.iter().any(|table| *path == layout.shard(*table, partition))
    };
    checked.is_uncounted = found.iter().any(is_unread);
    if !checked.is_uncounted {
        checked.counts = accounted.counts;
    }
    if is_whole && found.is_empty() && accounted.outcomes != work.manifest.outcomes {
        let (counted, said) = (&accounted.outcomes, &work.manifest.outcomes);
        found.push((manifest_path, Fault::Account, format!("it says outcomes {said:?}, and they are {counted:?}")));
    }
    checked.findings = found.into_iter().map(|what| finding(layout, what, Some(partition))).collect();
    Ok(checked)
}

/// Reads a shard whose bytes are those that its manifest names.
fn open_table(kind: TableKind, file: ShardFile, meta: &ShardMeta) -> Result<Table, (Fault, String)> {
    let fault = |error: Error| (Fault::of(&error), error.report());
    if let Some(difference) = difference(&file, meta).map_err(fault)? {
        return Err((Fault::Damaged, difference));
    }
    let cursor = NameCursor::open(kind, file, &schema(kind), Table::columns(kind)).map_err(fault)?;
    let (found, said) = (cursor.schema_version(), meta.schema_version);
    if found != said {
        return Err((Fault::Damaged, format!("it has version {found} of the schema, and its manifest says {said}")));
    }
    Ok(Table { kind, cursor, rows_expected: meta.rows })
}

/// Opens a cursor over a shard, whatever its manifest says; returns `None` if there is no such file.
pub(super) fn open_cursor(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    kind: TableKind,
    columns: &[&str],
) -> Result<Option<NameCursor>> {
    match store.blocking().open(&layout.shard(kind, partition))? {
        Some(file) => NameCursor::open(kind, file, &schema(kind), columns).map(Some),
        None => Ok(None),
    }
}

/// Opens a shard if it is the one that the manifest names, byte for byte. Blocks.
pub(super) fn open_as_named(
    store: &Store,
    layout: &OriginLayout,
    manifest: &Manifest,
    kind: TableKind,
) -> Result<Option<ShardFile>> {
    let Some(meta) = manifest.shards.get(kind.as_str()) else { return Ok(None) };
    let Some(file) = store.blocking().open_whole(&layout.shard(kind, &manifest.partition))? else { return Ok(None) };
    Ok(difference(&file, meta)?.is_none().then_some(file))
}

/// Opens a shard to be read as a whole. Fails with [`crate::error::ErrorKind::Lake`] unless its bytes are those that its
/// manifest names, and if a newer version wrote it. A shard that will be replaced is opened with this: otherwise the
/// next manifest would vouch for damage. Blocks.
pub(in crate::pipeline) fn open_sound(
    store: &Store,
    layout: &OriginLayout,
    manifest: &Manifest,
    table: TableKind,
) -> Result<ShardFile> {
    let path = layout.shard(table, &manifest.partition);
    let file = store.blocking().open_whole(&path)?;
    let file = file.ok_or_else(|| lost_error(&path))?;
    refuse_newer(table, file.clone()).doing(|| format!("reading {path}"))?;
    let difference = match manifest.shards.get(table.as_str()) {
        Some(meta) => difference(&file, meta)?,
        None => None,
    };
    match difference {
        None => Ok(file),
        Some(difference) => Err(Error::lake(format!("the shard {path} is damaged: {difference}")).hint(REPAIR)),
    }
}

/// Describes how a file's bytes differ from those that a manifest names; `None` if they are the same. Fails if the
/// operating system refuses to read it.
fn difference(file: &ShardFile, meta: &ShardMeta) -> Result<Option<String>> {
    let digest = digest(file.clone());
    let (size_bytes, sha256) =
        digest.map_err(|error| file.failure(|| Error::lake("a shard cannot be read").source(error)))?;
    if size_bytes != meta.size_bytes {
        return Ok(Some(format!("it has {size_bytes} bytes, and its manifest says {}", meta.size_bytes)));
    }
    let is_same = sha256 == meta.sha256;
    Ok((!is_same).then(|| "its bytes are not those that its manifest names: their digest differs".to_owned()))
}

/// Returns the size in bytes, and the SHA-256 in lower-case hex.
fn digest(file: ShardFile) -> std::io::Result<(u64, String)> {
    let mut reader = file.into_read();
    let mut buffer = vec![0; DIGEST_BUFFER_BYTES];
    let mut digest = Sha256::new();
    let mut size_bytes = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok((size_bytes, format!("{:x}", digest.finalize())));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        size_bytes += read as u64;
    }
}
