//! Looks up the documents that a lake holds of one origin, by name: the newest one, of the base or of the overlay.
//! Read-only.

use std::sync::{Arc, Mutex, PoisonError};

use super::lost::lost_error;
use super::overlay::{Known, OverlayView};
use super::status::read_partition_set;
use crate::error::{Doing, Error, Result};
use crate::lake::{HeldOutcome, Manifest, OriginLayout, Partition, PartitionSet, Record};
use crate::npm::PackageName;
use crate::shard::{HeldDocument, ShardReader, doc_rows};
use crate::store::{ShardFile, Store};
use crate::table::TableKind;
use crate::table::schema;

/// How often a look-up begins again because the overlay was replaced meanwhile.
const MOST_TRIES: usize = 20;
/// How many similar names are suggested for a name that is not there.
const NEAR_NAMES: usize = 3;
/// The least likeness of a suggested name, 0 to 1.
const LEAST_LIKENESS: f64 = 0.85;

/// The documents of one origin of a lake.
#[derive(Clone)]
pub struct LakeDocuments {
    store: Store,
    layout: OriginLayout,
    set: Arc<PartitionSet>,
    /// The lake with the overlay as it was read last.
    known: Arc<Mutex<Arc<Known>>>,
}

impl std::fmt::Debug for LakeDocuments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeDocuments")
            .field("store", &self.store)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

/// The state of a name without a document in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// It was requested, with this outcome.
    Outcome(HeldOutcome),
    /// The registry lists it, and it was not requested.
    Listed,
    /// The registry did not list it. Holds the nearby names that are most like it.
    Unknown(Vec<String>),
}

impl LakeDocuments {
    /// Opens the documents of an origin.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the origin has no partitions yet.
    pub async fn open(store: &Store, layout: &OriginLayout) -> Result<LakeDocuments> {
        let set = read_partition_set(store, layout).await?.ok_or_else(|| {
            Error::lake(format!("the lake {} holds nothing of {} yet", store.location(), layout.name()))
                .hint("fill it: all-docs packument fetch NAME, or all-docs ingest")
        })?;
        let set = Arc::new(set);
        let view = OverlayView::read(store, layout, &OverlayView::empty()).await?;
        let known = Arc::new(Mutex::new(Arc::new(Known::new(store, layout, &set, view))));
        Ok(LakeDocuments { store: store.clone(), layout: layout.clone(), set, known })
    }

    /// Groups sorted names by partition, so that each shard is opened once.
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
    /// as [`LakeDocuments::by_partition`] returns them. Blocks.
    pub fn read(&self, names: &[PackageName], mut each: impl FnMut(HeldDocument) -> Result<()>) -> Result<()> {
        let (mut read, mut tries) = (0, 0);
        loop {
            tries += 1;
            let known = self.known();
            let left = names.get(read..).unwrap_or_default();
            let result = known.documents(left, |document| {
                read = names.partition_point(|name| *name <= document.name);
                each(document)
            });
            match result {
                // A merge or a fold may have taken the place of a delta: the rest is read from there.
                Err(error) if tries == MOST_TRIES || !self.is_replaced(&known)? => return Err(error),
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
        }
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the overlay again, and returns whether its record has other deltas than `known`.
    fn is_replaced(&self, known: &Known) -> Result<bool> {
        let view = OverlayView::read_blocking(&self.store, &self.layout, known.view())?;
        let is_replaced = view.record.deltas != known.view().record.deltas;
        let now = Arc::new(Known::new(&self.store, &self.layout, &self.set, view));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(is_replaced)
    }

    /// Returns the document of one name; `None` if the lake holds none. Blocks.
    pub fn find(&self, name: &PackageName) -> Result<Option<HeldDocument>> {
        let mut found = None;
        self.read(std::slice::from_ref(name), |document| {
            found = Some(document);
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the names of a partition whose documents the lake holds, ascending. Blocks.
    pub fn names(&self, partition: &Partition) -> Result<Vec<PackageName>> {
        self.known().names_with_document(partition)
    }

    /// Returns why there is no document of a name. Blocks.
    pub fn why_absent(&self, name: &PackageName) -> Result<Absent> {
        let names = std::slice::from_ref(name);
        if let Some(held) = self.known().outcomes(names)?.pop() {
            return Ok(Absent::Outcome(held));
        }
        if !self.known().doc_rows(names)?.is_empty() {
            return Ok(Absent::Listed);
        }
        let mut near: Vec<(f64, String)> = Vec::new();
        for batch in self.rows(TableKind::Docs, name)?.into_iter().flatten() {
            for row in doc_rows(&batch?)? {
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
        let Some((file, path)) = self.open_shard(table, &self.partition_of(name))? else { return Ok(None) };
        ShardReader::open(table, file, &schema(table)).doing(|| format!("reading {path}")).map(Some)
    }

    fn partition_of(&self, name: &PackageName) -> Partition {
        self.set.get(self.set.index_of(name.as_str()))
    }

    /// Opens a shard, and returns its path as well; `None` if no manifest names it.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] for a shard that its manifest names and that is not there: nothing is
    /// known then about its names.
    fn open_shard(&self, table: TableKind, partition: &Partition) -> Result<Option<(ShardFile, String)>> {
        let path = self.layout.shard(table, partition);
        let store = self.store.blocking();
        if let Some(file) = store.open(&path)? {
            return Ok(Some((file, path)));
        }
        let manifest_path = self.layout.manifest(partition);
        let Some(text) = store.get(&manifest_path)? else { return Ok(None) };
        if !Manifest::from_json(&manifest_path, &text)?.shards.contains_key(table.as_str()) {
            return Ok(None);
        }
        // Its first commit may have come in between.
        match store.open(&path)? {
            Some(file) => Ok(Some((file, path))),
            None => Err(lost_error(&path)),
        }
    }
}
