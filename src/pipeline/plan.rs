//! Plan: what one partition needs, from what it held and what the registry lists now.
//!
//! It reads shards, so it runs on a thread that may block. It asks the registry for nothing and writes nothing.

use std::collections::HashMap;

use crate::diff::{self, Diff};
use crate::error::{Doing, Error, Result};
use crate::fetch::FetchItem;
use crate::lake::{Manifest, OriginLayout, Partition, TableKind};
use crate::npm::{ChangeKind, DocRow, Outcome, PackageName, Representation};
use crate::shard::{HeldOutcome, ShardReader, doc_rows, held_outcomes, held_representations};
use crate::store::{ShardFile, Store};
use crate::table::schema;

/// Which names an ingest fetches the documents of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All that the registry lists.
    All,
    /// These, ascending and without duplicates.
    Names(Vec<PackageName>),
}

impl Selection {
    /// The selection of these names in any order.
    pub fn of(mut names: Vec<PackageName>) -> Selection {
        names.sort_unstable();
        names.dedup();
        Selection::Names(names)
    }

    /// Whether `name` is selected.
    pub fn contains(&self, name: &PackageName) -> bool {
        match self {
            Selection::All => true,
            Selection::Names(names) => names.binary_search(name).is_ok(),
        }
    }

    /// The selected names of a partition that are not among its `rows`; none where everything is selected.
    fn missing_from(&self, partition: &Partition, rows: &[DocRow]) -> Vec<PackageName> {
        let Selection::Names(names) = self else { return Vec::new() };
        let is_listed = |name: &PackageName| rows.binary_search_by(|row| row.name.cmp(name)).is_ok();
        names.iter().filter(|name| partition.contains(name.as_str()) && !is_listed(name)).cloned().collect()
    }
}

/// What is wanted of every partition.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Which form of documents; `None` for names and revisions only.
    pub(super) representation: Option<Representation>,
    pub(super) selection: Selection,
    /// Whether documents that are held at the announced revision are asked for again.
    pub(super) refresh: bool,
}

/// What one partition needs.
#[derive(Debug)]
pub(super) struct PartitionPlan {
    /// Documents to ask for, ascending.
    pub(super) fetch: Vec<FetchItem>,
    /// Names that the registry no longer lists, ascending.
    pub(super) removed: Vec<PackageName>,
    /// Names that it lists now and did not before.
    pub(super) added_count: u64,
    /// Names at another revision than before.
    pub(super) changed_count: u64,
    /// Selected names that the registry does not list.
    pub(super) unlisted: Vec<PackageName>,
    has_docs: bool,
    has_documents: bool,
    wants_documents: bool,
    held: HashMap<PackageName, Outcome>,
}

impl PartitionPlan {
    /// Whether the table `docs` gets a new shard.
    pub(super) fn writes_docs(&self) -> bool {
        !self.has_docs || self.added_count + self.changed_count > 0 || !self.removed.is_empty()
    }

    /// Whether the document tables and `outcomes` get new shards.
    pub(super) fn writes_documents(&self) -> bool {
        let first_documents = self.wants_documents && !self.has_documents;
        first_documents || !self.fetch.is_empty() || (self.has_documents && !self.removed.is_empty())
    }

    /// Whether the partition is as the registry is.
    pub(super) fn is_unchanged(&self) -> bool {
        !self.writes_docs() && !self.writes_documents()
    }

    /// What the lake holds for a name that is asked for conditionally.
    pub(super) fn held_outcome(&self, name: &str) -> Option<Outcome> {
        self.held.get(name).copied()
    }
}

/// Opens the previous shard of a table, where the manifest says that there is one.
pub(super) fn open_previous(
    store: &Store,
    layout: &OriginLayout,
    manifest: Option<&Manifest>,
    partition: &Partition,
    table: TableKind,
) -> Result<Option<ShardFile>> {
    if !manifest.is_some_and(|manifest| manifest.shards.contains_key(table.as_str())) {
        return Ok(None);
    }
    let path = layout.shard(table, partition);
    match futures::executor::block_on(store.open_shard(&path))? {
        Some(file) => Ok(Some(file)),
        None => Err(Error::lake(format!("the shard {path} is gone, but its manifest names it"))
            .hint(format!("delete {}: the next ingest makes the partition anew", layout.manifest(partition)))),
    }
}

/// Compares what the registry lists with what the partition held.
pub(super) fn plan(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    previous: Option<&Manifest>,
    rows: &[DocRow],
    wanted: &Wanted,
) -> Result<PartitionPlan> {
    let open = |table| open_previous(store, layout, previous, partition, table);
    let mut old_rows = Vec::new();
    let docs = open(TableKind::Docs)?;
    let has_docs = docs.is_some();
    if let Some(file) = docs {
        for batch in ShardReader::open(TableKind::Docs, file, &schema(TableKind::Docs))? {
            old_rows.extend(doc_rows(&batch?)?);
        }
    }
    let (mut added_count, mut changed_count, mut removed) = (0, 0, Vec::new());
    for change in Diff::new(old_rows.iter(), rows.iter()) {
        let change = change.doing(|| format!("comparing the partition {partition} with what the registry lists"))?;
        match change.kind {
            ChangeKind::Added => added_count += 1,
            ChangeKind::Changed => changed_count += 1,
            ChangeKind::Removed => removed.push(change.name),
        }
    }
    let has_documents = previous.is_some_and(|manifest| manifest.shards.contains_key(TableKind::Outcomes.as_str()));
    let mut plan = PartitionPlan {
        fetch: Vec::new(),
        removed,
        added_count,
        changed_count,
        unlisted: wanted.selection.missing_from(partition, rows),
        has_docs,
        has_documents,
        wants_documents: wanted.representation.is_some(),
        held: HashMap::new(),
    };
    if let Some(representation) = wanted.representation {
        let held = read_held(store, layout, previous, partition)?;
        plan_fetch(&mut plan, rows, held, representation, wanted)?;
    }
    Ok(plan)
}

/// What the lake holds of each name that was asked for before, ascending.
fn read_held(
    store: &Store,
    layout: &OriginLayout,
    previous: Option<&Manifest>,
    partition: &Partition,
) -> Result<Vec<HeldOutcome>> {
    let mut held = Vec::new();
    if let Some(file) = open_previous(store, layout, previous, partition, TableKind::Outcomes)? {
        for batch in ShardReader::open(TableKind::Outcomes, file, &schema(TableKind::Outcomes))? {
            held.extend(held_outcomes(&batch?)?);
        }
    }
    Ok(held)
}
