//! The documents that a lake holds of one origin, by name: the shard is known from the name alone, so a look-up opens one
//! file. Reads only.

use super::status::read_partition_set;
use crate::error::{Doing, Error, Result};
use crate::lake::{OriginLayout, Partition, PartitionSet};
use crate::npm::PackageName;
use crate::shard::{HeldDocument, HeldOutcome, ShardReader, doc_rows, document_names, find_documents, held_outcomes};
use crate::store::Store;
use crate::table::TableKind;
use crate::table::schema;

/// Names that are offered for one that is not there.
const NEAR_NAMES: usize = 3;
/// Least likeness of a name that is offered, 0 to 1.
const LEAST_LIKENESS: f64 = 0.85;

/// The documents of one origin of a lake.
#[derive(Debug, Clone)]
pub struct LakeDocuments {
    store: Store,
    layout: OriginLayout,
    set: PartitionSet,
}

/// What a lake knows of a name of which it holds no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// It was asked for, and this became of it.
    Outcome(HeldOutcome),
    /// The registry lists it, and it was not asked for.
    Listed,
    /// The registry did not list it. The names near it that are most like it.
    Unknown(Vec<String>),
}

impl LakeDocuments {
    /// Opens the documents of an origin.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] where the origin has no partitions yet.
    pub async fn open(store: &Store, layout: &OriginLayout) -> Result<LakeDocuments> {
        let set = read_partition_set(store, layout).await?.ok_or_else(|| {
            Error::lake(format!("the lake {} holds nothing of {} yet", store.location(), layout.name()))
                .hint("fill it: all-docs packument fetch NAME, or all-docs ingest")
        })?;
        Ok(LakeDocuments { store: store.clone(), layout: layout.clone(), set })
    }

    /// Cuts sorted names into those of one partition each, so that each shard is opened once.
    pub fn by_partition(&self, names: Vec<PackageName>) -> Vec<Vec<PackageName>> {
        let mut groups: Vec<(usize, Vec<PackageName>)> = Vec::new();
        for name in names {
            let index = self.set.index_of(name.as_str());
            match groups.last_mut() {
                Some((last, group)) if *last == index => group.push(name),
                _ => groups.push((index, vec![name])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// Calls `each` with the document of every name that the lake holds. The names are ascending and of one partition,
    /// as [`LakeDocuments::by_partition`] gives them. Blocks.
    pub fn read(&self, names: &[PackageName], each: impl FnMut(HeldDocument) -> Result<()>) -> Result<()> {
        let Some(first) = names.first() else { return Ok(()) };
        let path = self.path(TableKind::Packuments, first);
        match self.store.blocking().open(&path)? {
            Some(file) => find_documents(file, names, each).doing(|| format!("reading {path}")),
            None => Ok(()),
        }
    }

    /// The document of one name; `None` where the lake holds none. Blocks.
    pub fn find(&self, name: &PackageName) -> Result<Option<HeldDocument>> {
        let mut found = None;
        self.read(std::slice::from_ref(name), |document| {
            found = Some(document);
            Ok(())
        })?;
        Ok(found)
    }

    /// The names of a partition whose documents the lake holds, ascending. Blocks.
    pub fn names(&self, partition: &Partition) -> Result<Vec<PackageName>> {
        let path = self.layout.shard(TableKind::Packuments, partition);
        match self.store.blocking().open(&path)? {
            Some(file) => document_names(file).doing(|| format!("reading {path}")),
            None => Ok(Vec::new()),
        }
    }

    /// Why there is no document of a name. Blocks.
    pub fn why_absent(&self, name: &PackageName) -> Result<Absent> {
        for batch in self.rows(TableKind::Outcomes, name)?.into_iter().flatten() {
            if let Some(held) = held_outcomes(&batch?)?.into_iter().find(|held| held.name == *name) {
                return Ok(Absent::Outcome(held));
            }
        }
        let mut near: Vec<(f64, String)> = Vec::new();
        for batch in self.rows(TableKind::Docs, name)?.into_iter().flatten() {
            for row in doc_rows(&batch?)? {
                if row.name == *name {
                    return Ok(Absent::Listed);
                }
                let likeness = strsim::jaro_winkler(name.as_str(), row.name.as_str());
                if likeness >= LEAST_LIKENESS {
                    near.push((likeness, row.name.as_str().to_owned()));
                }
            }
        }
        near.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        Ok(Absent::Unknown(near.into_iter().take(NEAR_NAMES).map(|(_, name)| name).collect()))
    }

    fn rows(&self, table: TableKind, name: &PackageName) -> Result<Option<ShardReader>> {
        let path = self.path(table, name);
        let Some(file) = self.store.blocking().open(&path)? else { return Ok(None) };
        ShardReader::open(table, file, &schema(table)).doing(|| format!("reading {path}")).map(Some)
    }

    fn path(&self, table: TableKind, name: &PackageName) -> String {
        self.layout.shard(table, &self.set.get(self.set.index_of(name.as_str())))
    }
}
