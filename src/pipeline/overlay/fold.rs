//! Fold: takes the rows of a partition out of the deltas into its base shards. The base then has the bytes of a fresh
//! ingest of the same documents.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::manifest::{count_outcomes, one_form, unfilled_of};
use super::reader::{MOST_TRIES, OverlayReader};
use super::record::note_folded;
use super::renew::renew_under_lease;
use super::view::{HeldDelta, OverlayView};
use crate::commit::{Change, Right, clear_staging, commit};
use crate::encode::ShardWriter;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::{Manifest, OriginLayout, Partition, Record};
use crate::npm::Outcome;
use crate::pipeline::lease::LeaseWatch;
use crate::pipeline::verify::open_sound;
use crate::shard::ShardMerge;
use crate::store::{Store, blocking};
use crate::table::{TableKind, schema};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// The end of an attempt to fold a partition.
enum Taken {
    /// The overlay has nothing of it.
    Nothing,
    /// An earlier version wrote a delta.
    Old,
    /// So many names, as of the delta with this number.
    Names(u64, u64),
}

/// The folds of one origin by one process.
#[derive(Clone)]
pub(in crate::pipeline) struct Fold {
    pub(in crate::pipeline) overlay: OverlayReader,
    /// Cancelled when the run ends early: a fold ends at its next name.
    stop: CancellationToken,
}

impl Fold {
    pub(in crate::pipeline) fn new(store: &Store, layout: &OriginLayout, stop: CancellationToken) -> Fold {
        Fold { overlay: OverlayReader::new(store, layout), stop }
    }

    /// Takes the rows that the overlay has of a partition into its base shards, and returns of how many names. `lease` is
    /// that of the partition. No commit of the partition is interrupted, and its shards are of this version.
    ///
    /// Fails as [`crate::commit::commit`] does, and if a shard is lost or damaged.
    pub(in crate::pipeline) async fn partition(&self, partition: &Partition, lease: &LeaseWatch) -> Result<u64> {
        let OverlayReader { store, layout, .. } = &self.overlay;
        let mut names = 0;
        for _ in 0..MOST_TRIES {
            let taken = self.overlay.with_view(move |view| async move {
                if view.has_none_of(partition) {
                    return Ok(Taken::Nothing);
                }
                if view.is_old() {
                    return Ok(Taken::Old);
                }
                let names = self.take_over(partition, &view, lease).await?;
                Ok(Taken::Names(names, view.record.newest))
            });
            match taken.await.doing(|| format!("folding the partition {partition}"))? {
                Taken::Nothing => return Ok(names),
                Taken::Old => renew_under_lease(store, layout, &self.stop).await?,
                Taken::Names(taken, newest) => {
                    names = taken;
                    if note_folded(store, layout, &partition.file_stem(), newest).await? {
                        return Ok(names);
                    }
                }
            }
        }
        Err(Error::lake(format!("deltas of {} were merged again and again meanwhile", layout.name()))
            .hint("run the same command again"))
    }

    async fn take_over(&self, partition: &Partition, view: &OverlayView, lease: &LeaseWatch) -> Result<u64> {
        let OverlayReader { store, layout, .. } = &self.overlay;
        let path = layout.manifest(partition);
        let base = store.get(&path).await?;
        let manifest = base.as_ref().map(|text| Manifest::from_json(&path, text)).transpose()?;
        let names: BTreeMap<String, Arc<HeldDelta>> =
            view.names_of(partition).into_iter().map(|(name, held)| (name.to_owned(), Arc::clone(held))).collect();
        if manifest.as_ref().is_some_and(Manifest::is_old) {
            return Err(Error::lake("an earlier version of all-docs wrote the partition")
                .hint("all-docs rebuild rebuilds it without a request"));
        }
        let count = names.len() as u64;
        let task = Task { fold: self.clone(), partition: partition.clone(), manifest, names };
        let manifest = match blocking("folding a partition", move || task.build()).await {
            Ok(manifest) => manifest,
            Err(error) => {
                // Without the lease, the staged files are those of another process. The first error is the one to report.
                if lease.confirm().await.is_ok() {
                    let _ = clear_staging(store, layout, partition).await;
                }
                return Err(error);
            }
        };
        let change = Change { manifest, moved: TableKind::ALL.to_vec(), base };
        let (store, layout, lease) = (store.clone(), layout.clone(), lease.clone());
        // Runs to its end, even if this future is dropped meanwhile.
        let committed = tokio::spawn(async move { commit(&store, &layout, &lease, &change).await }).await;
        committed.or_error(ErrorKind::Internal, || "a commit's task died".to_owned())??;
        Ok(count)
    }
}

/// The build of a folded partition. Blocks.
struct Task {
    fold: Fold,
    partition: Partition,
    manifest: Option<Manifest>,
    /// The names to take over, each with the delta that has its newest rows.
    names: BTreeMap<String, Arc<HeldDelta>>,
}

impl Task {
    fn build(self) -> Result<Manifest> {
        let Fold { overlay, stop } = &self.fold;
        let OverlayReader { store, layout, .. } = overlay;
        let mut shards = BTreeMap::new();
        for table in TableKind::ALL {
            let named = self.manifest.as_ref().filter(|manifest| manifest.shards.contains_key(table.as_str()));
            let previous = named.map(|manifest| open_sound(store, layout, manifest, table)).transpose()?;
            let staged = store.stage(&layout.staged_shard(table, &self.partition))?;
            let mut merge = ShardMerge::open(ShardWriter::new(table, schema(table), staged)?, previous, stop.clone())?;
            let mut rows = overlay.rows(table);
            for (name, held) in &self.names {
                if stop.is_cancelled() {
                    return Err(Error::interrupted());
                }
                merge.replace(&[name], rows.take(held, name)?).doing(|| format!("writing the shard of {table}"))?;
            }
            let (staged, meta) = merge.finish().doing(|| format!("writing the shard of {table}"))?;
            staged.finish()?;
            shards.insert(table.to_string(), meta);
        }
        let outcomes = count_outcomes(store, &layout.staged_shard(TableKind::Outcomes, &self.partition))?;
        let before = self.manifest.as_ref();
        let mut taken: BTreeMap<u64, &Manifest> = BTreeMap::new();
        taken.extend(self.names.values().map(|held| (held.delta.last, &held.manifest)));
        let sources = || before.into_iter().chain(taken.values().copied());
        let limits = sources().filter_map(|manifest| manifest.oversize_limit_bytes);
        Ok(Manifest {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            partition: self.partition.clone(),
            written_at: jiff::Timestamp::now().to_string(),
            shards,
            listed_at_us: before.and_then(|manifest| manifest.listed_at_us),
            oversize_limit_bytes: limits.min().filter(|_| outcomes.contains_key(Outcome::Oversize.as_str())),
            outcomes,
            documents_form: one_form(sources()),
            cut_from: None,
            unfilled: self.unfilled(),
            removed: Vec::new(),
        })
    }
}

impl Task {
    /// Returns the names of [`Manifest::unfilled`].
    fn unfilled(&self) -> Vec<String> {
        let before = self.manifest.iter().flat_map(|manifest| &manifest.unfilled);
        let kept = before.filter(|name| !self.names.contains_key(*name));
        let mut unfilled: Vec<String> = kept.cloned().chain(unfilled_of(&self.names)).collect();
        unfilled.sort_unstable();
        unfilled
    }
}
