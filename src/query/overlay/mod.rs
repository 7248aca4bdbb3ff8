//! The overlay of an origin as a statement sees it. A statement reads the record of the overlay once, before it lists any
//! base shard. So it has the newest rows of each name, once: a base shard that took rows over meanwhile has the same ones,
//! and those in the base are left out.
//!
//! Not here: which rows count (`view`), leaving out the others (`counting`, and `mask`).

mod counting;
mod kept_rows;
mod mask;
mod names;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::AsArray;
use datafusion::catalog::Session;
use datafusion::error::{DataFusionError, Result};
use futures::future::try_join_all;
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::lake::{Delta, Manifest, OriginLayout, Overlay, PartitionSet, Record};
use crate::store::Part;
use crate::table::{TableKind, schema_version};

use super::failure::ShardFault;
use super::lake_location::LakeLocation;
use super::shard_bounds::{SORT_COLUMN, SourceFile};
use super::shard_reader::{ShardReaderFactory, read_columns};
use super::snapshot::Snapshot;

pub(super) use mask::{IsNewest, SOURCE_COLUMN, source_field};
pub(super) use view::{Source, View};

use names::Names;
use view::{DeltaContent, depends_on_partitions};

/// The views of one statement, by the origin, for all tables that it names.
#[derive(Debug, Default)]
pub(super) struct Overlays(Mutex<HashMap<usize, ViewOfOrigin>>);

/// The view of an origin, once it was read.
#[derive(Debug)]
struct ViewOfOrigin {
    #[cfg_attr(not(feature = "distributed"), expect(dead_code, reason = "workers are told of it"))]
    origin: (LakeLocation, String),
    cell: Arc<OnceCell<Option<Arc<View>>>>,
}

/// The overlay of one origin. It keeps what its deltas hold for the next statement.
#[derive(Debug)]
pub(super) struct OriginOverlay {
    location: LakeLocation,
    layout: OriginLayout,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the digest of the manifest.
    contents: HashMap<String, Arc<DeltaContent>>,
    view: Option<Arc<View>>,
    /// The tables of which a delta has a shard that an earlier version wrote.
    earlier: HashSet<TableKind>,
}

/// The means of a statement to read deltas.
struct Reading<'r> {
    listed: &'r HashMap<ObjectPath, ObjectMeta>,
    readers: ShardReaderFactory,
}

impl Overlays {
    /// Returns the views of a lake that the statement has read, each with the name of its origin.
    #[cfg(feature = "distributed")]
    pub(super) fn known(&self, lake: &LakeLocation) -> Vec<(String, Arc<View>)> {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_lake = cells.values().filter(|view| view.origin.0.is_same_lake(lake));
        of_lake.filter_map(|view| Some((view.origin.1.clone(), view.cell.get()?.clone()?))).collect()
    }
}

impl OriginOverlay {
    pub(super) fn new(location: LakeLocation, layout: OriginLayout) -> OriginOverlay {
        OriginOverlay { location, layout, kept: Mutex::default() }
    }

    /// Makes the fault of a machine that sees another record than the one that planned a statement.
    #[cfg(feature = "distributed")]
    pub(super) fn of_other_record(&self) -> DataFusionError {
        external(ShardFault::of_replaced(&self.path(&self.layout.overlay())))
    }

    /// Returns whether a statement has met a delta in which an earlier version wrote a table.
    pub(super) fn is_earlier(&self, table: TableKind) -> bool {
        self.kept().earlier.contains(&table)
    }

    /// Returns the overlay as the statement that is planned with `state` sees it; `None` if it holds nothing.
    pub(super) async fn view(&self, state: &dyn Session, snapshot: &Arc<Snapshot>) -> Result<Option<Arc<View>>> {
        let overlays = state.config().get_extension::<Overlays>().unwrap_or_default();
        let cell = {
            let mut cells = overlays.0.lock().unwrap_or_else(PoisonError::into_inner);
            let of_origin = cells.entry(std::ptr::from_ref(self) as usize).or_insert_with(|| ViewOfOrigin {
                origin: (self.location.clone(), self.layout.name().to_owned()),
                cell: Arc::default(),
            });
            Arc::clone(&of_origin.cell)
        };
        let view = cell.get_or_try_init(|| Box::pin(self.read(state, snapshot))).await;
        view.cloned()
    }

    /// Returns the shards of a table in the deltas that hold the newest rows of any name, oldest first. A lost shard has no
    /// bytes. On a disk none has, because to look for those that a statement needs ([`OriginOverlay::found`]) is cheaper
    /// than to list those of all tables.
    pub(super) async fn shards(
        &self,
        view: &View,
        table: TableKind,
        snapshot: &Snapshot,
    ) -> Result<Vec<(Source, ObjectMeta)>> {
        let mut shards = Vec::new();
        for (place, delta) in view.deltas().iter().enumerate().filter(|(_, delta)| !delta.newest.is_empty()) {
            let Some(shard) = delta.content.manifest.shards.get(table.as_str()).filter(|shard| shard.rows > 0) else {
                continue;
            };
            if shard.schema_version < schema_version(table) && self.kept().earlier.insert(table) {
                // From the next plan on, columns that the earlier version lacked may be null.
                let location = self.path(&delta.delta.layout(&self.layout).shard(table, &Delta::PARTITION));
                return Err(external(ShardFault::of_replaced(&location)));
            }
            let location = self.path(&delta.delta.layout(&self.layout).shard(table, &Delta::PARTITION));
            shards.push((Source::Delta(place), location));
        }
        if self.location.opens_files {
            return Ok(shards.into_iter().map(|(source, location)| (source, absent(location))).collect());
        }
        let listed = self.listed(snapshot).await?;
        let find = |location: ObjectPath| listed.get(&location).cloned().unwrap_or_else(|| absent(location));
        Ok(shards.into_iter().map(|(source, location)| (source, find(location))).collect())
    }

    /// Looks for the shards of deltas among those that a statement needs. A lost shard has no bytes.
    pub(super) async fn found(&self, shards: Vec<SourceFile>, snapshot: &Snapshot) -> Result<Vec<SourceFile>> {
        if !self.location.opens_files {
            return Ok(shards);
        }
        let find = async |mut shard: SourceFile| {
            let is_of_delta = matches!(shard.source, Source::Delta(_));
            if is_of_delta && let Some(found) = snapshot.find(&self.location, &shard.file.object_meta.location).await? {
                shard.file.object_meta = found;
            }
            Ok(shard)
        };
        try_join_all(shards.into_iter().map(find)).await
    }

    /// Fails if one of the `absent` shards of deltas is lost. If the record is another one meanwhile, the shard may have
    /// been merged or taken over: the statement is planned again.
    pub(super) async fn refuse_lost(&self, view: &View, absent: &[ObjectMeta]) -> Result<()> {
        match absent.first() {
            None => Ok(()),
            Some(shard) if self.is_recorded(view.record()).await? => {
                Err(external(ShardFault::of_lost(&shard.location, false)))
            }
            Some(shard) => Err(external(ShardFault::of_replaced(&shard.location))),
        }
    }

    async fn read(&self, state: &dyn Session, snapshot: &Arc<Snapshot>) -> Result<Option<Arc<View>>> {
        let Some(record) = self.find(&self.layout.overlay()).await? else {
            return self.refuse_lost_record(snapshot).await.map(|()| None);
        };
        let overlay = Overlay::from_json(&self.layout.overlay(), &record).map_err(external)?;
        if overlay.deltas.is_empty() {
            return Ok(None);
        }
        let mut partitions = None;
        if depends_on_partitions(&overlay)
            && let Some(text) = self.find(&self.layout.partition_set()).await?
        {
            partitions = Some(PartitionSet::from_json(&self.layout.partition_set(), &text).map_err(external)?);
        }
        let kept = self.kept().view.clone().filter(|view| view.is_of(&record, partitions.as_ref()));
        if kept.is_some() {
            return Ok(kept);
        }
        let listed = self.listed(snapshot).await?;
        let footers = state.runtime_env().cache_manager.get_file_metadata_cache();
        let readers = ShardReaderFactory::plain(Some(TableKind::Docs), &self.location, snapshot, &footers);
        let reading = Reading { listed: &listed, readers };
        let contents = try_join_all(overlay.deltas.iter().map(|delta| self.content(delta, &record, &reading))).await?;
        let view = Arc::new(View::new(record, &overlay, partitions.as_ref(), contents));
        let mut kept = self.kept();
        let Kept { contents, view: newest, .. } = &mut *kept;
        contents.retain(|digest, _| overlay.deltas.iter().any(|delta| delta.manifest_sha256 == *digest));
        *newest = Some(Arc::clone(&view));
        Ok(Some(view))
    }

    /// Fails if there are deltas, although there is no record of them: it is older than each. In a far store this would be
    /// one more request for each statement.
    async fn refuse_lost_record(&self, snapshot: &Snapshot) -> Result<()> {
        if !self.location.opens_files {
            return Ok(());
        }
        let listed = self.listed(snapshot).await?;
        let in_lake =
            |path: &ObjectPath| Some(path.prefix_match(&self.location.root)?.collect::<ObjectPath>().to_string());
        let is_manifest = |path: &&ObjectPath| {
            let path = in_lake(path).unwrap_or_default();
            self.layout.delta_at(&path).is_some_and(|own| own.manifest(&Delta::PARTITION) == path)
        };
        match listed.keys().find(is_manifest) {
            None => Ok(()),
            Some(path) if self.find(&self.layout.overlay()).await?.is_some() => {
                Err(external(ShardFault::of_replaced(path)))
            }
            Some(path) => Err(external(ShardFault::of_lost_record(path))),
        }
    }

    async fn content(&self, delta: &Delta, record: &[u8], reading: &Reading<'_>) -> Result<Arc<DeltaContent>> {
        if let Some(kept) = self.kept().contents.get(&delta.manifest_sha256) {
            return Ok(Arc::clone(kept));
        }
        let layout = delta.layout(&self.layout);
        let path = layout.manifest(&Delta::PARTITION);
        let text = self.manifest(&path, reading).await?;
        if format!("{:x}", Sha256::digest(&text)) != delta.manifest_sha256 {
            let fault = match self.is_recorded(record).await? {
                true => ShardFault::of_unrecorded(&self.path(&path)),
                false => ShardFault::of_replaced(&self.path(&path)),
            };
            return Err(external(fault));
        }
        let manifest = Manifest::from_json(&path, &text).map_err(external)?;
        let mut names = Names::of([]);
        if manifest.rows(TableKind::Docs) > 0 {
            let docs = self.path(&layout.shard(TableKind::Docs, &Delta::PARTITION));
            names = match reading.listed.get(&docs).filter(|docs| docs.size > 0) {
                Some(docs) => read_names(docs.clone(), &reading.readers).await?,
                None if self.is_recorded(record).await? => return Err(external(ShardFault::of_lost(&docs, false))),
                None => return Err(external(ShardFault::of_replaced(&docs))),
            };
        }
        let content = Arc::new(DeltaContent { manifest, names });
        self.kept().contents.insert(delta.manifest_sha256.clone(), Arc::clone(&content));
        Ok(content)
    }

    /// Returns the text of a manifest, or nothing if it is not there. In a far store it is kept for later processes.
    async fn manifest(&self, path: &str, reading: &Reading<'_>) -> Result<Vec<u8>> {
        let whole = self.path(path);
        let version = reading.listed.get(&whole).and_then(|listed| listed.e_tag.clone());
        let (Some(cache), Some(version)) = (&self.location.cache, version) else {
            return Ok(self.find(path).await?.unwrap_or_default());
        };
        let url = format!("{}{whole}", self.location.store_url.as_str());
        if let Some(kept) = cache.get(&url, &version, Part::Whole).await {
            return Ok(kept.to_vec());
        }
        let text = self.find(path).await?.unwrap_or_default();
        cache.put(&url, &version, Part::Whole, text.clone().into()).await;
        Ok(text)
    }

    /// Returns all files of the overlay. One request lists them.
    async fn listed(&self, snapshot: &Snapshot) -> Result<HashMap<ObjectPath, ObjectMeta>> {
        let record = self.layout.overlay();
        let folder = self.path(record.rsplit_once('/').map_or("", |(folder, _)| folder));
        let listed = snapshot.list(&self.location, &folder).await?;
        Ok(listed.into_iter().map(|meta| (meta.location.clone(), meta)).collect())
    }

    /// Returns whether the record still has this text.
    async fn is_recorded(&self, record: &[u8]) -> Result<bool> {
        Ok(self.find(&self.layout.overlay()).await?.is_some_and(|now| now == record))
    }

    /// Returns the text of a small file of the lake; `None` if it is not there.
    async fn find(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.location.store.get(&self.path(path)).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self, path: &str) -> ObjectPath {
        let mut whole = self.location.root.clone();
        whole.extend(path.split('/'));
        whole
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands for a shard that is not there.
fn absent(location: ObjectPath) -> ObjectMeta {
    ObjectMeta { location, last_modified: Default::default(), size: 0, e_tag: None, version: None }
}

/// Reads the names of a shard.
async fn read_names(shard: ObjectMeta, readers: &ShardReaderFactory) -> Result<Names> {
    let batches = read_columns(shard, readers, Some(SORT_COLUMN)).await?;
    let columns = batches.iter().filter_map(|batch| batch.column_by_name(SORT_COLUMN)?.as_string_opt::<i32>());
    Ok(Names::of(columns.flat_map(|names| names.iter().flatten())))
}

fn external(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DataFusionError {
    DataFusionError::External(error.into())
}
