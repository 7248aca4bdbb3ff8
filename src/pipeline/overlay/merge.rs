//! Merges deltas: some that stand together become one, in which the newest rows of each name count. Rows that a partition
//! has taken over are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::manifest::{count_outcomes, one_form, unfilled_of};
use super::record::{delta_of, replace};
use super::rows::{DeltaRows, Proven};
use super::view::{HeldDelta, OverlayView, Said};
use crate::commit::{Change, clear_staging, commit};
use crate::encode::ShardWriter;
use crate::error::{Doing, Error, Result};
use crate::lake::{Delta, Manifest, OriginLayout, PartitionSet};
use crate::npm::Outcome;
use crate::pipeline::lease::LeaseWatch;
use crate::store::{Store, blocking};
use crate::table::{TableKind, schema};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// How many deltas of one level are merged into one of the next. More than these of one level never stay for long. Tests
/// see several levels after few commits.
const FAN_IN: usize = if cfg!(test) { 3 } else { 8 };

/// Returns the level of a delta: the power of [`FAN_IN`] that the number of its commits reaches.
fn level(delta: &Delta) -> u32 {
    (delta.last - delta.first + 1).ilog(FAN_IN as u64)
}

/// Returns the places of the deltas that are to become one: the oldest of a level that has more than [`FAN_IN`].
pub(super) fn due(deltas: &[Delta]) -> Option<Range<usize>> {
    let mut start = 0;
    while let Some(first) = deltas.get(start) {
        let same = deltas.iter().skip(start).take_while(|delta| level(delta) == level(first)).count();
        if same > FAN_IN {
            return Some(start..start + FAN_IN);
        }
        start += same;
    }
    None
}

/// The means of the overlay's writer to replace deltas by one.
pub(super) struct Merging<'a> {
    pub(super) store: &'a Store,
    pub(super) layout: &'a OriginLayout,
    pub(super) set: &'a PartitionSet,
    /// That of the writer.
    pub(super) lease: &'a LeaseWatch,
    pub(super) stop: &'a CancellationToken,
}

impl Merging<'_> {
    /// Merges the deltas of `view` at `places` into one whose last commit is `last`. Returns the bytes written; `None` if the
    /// record changed meanwhile, so that the merged delta was dropped.
    pub(super) async fn merge(&self, view: &OverlayView, places: Range<usize>, last: u64) -> Result<Option<u64>> {
        let Merging { store, layout, set, lease, stop } = *self;
        let held = view.deltas.get(places).unwrap_or_default().to_vec();
        let Some(first) = held.first().map(|held| held.delta.first) else { return Ok(None) };
        let own = layout.delta(first, last);
        // A merge that a dead process began is made again.
        store.delete_folder(own.root()).await?;
        let mut names: BTreeMap<String, Arc<HeldDelta>> = BTreeMap::new();
        for partition in set.iter() {
            let stem = partition.file_stem();
            for held in held.iter().filter(|held| view.record.counts_for(&held.delta, &stem)) {
                names.extend(held.names_in(&partition).map(|name| (name.to_owned(), Arc::clone(held))));
            }
        }
        let task = Task { store: store.clone(), layout: own.clone(), names, stop: stop.clone() };
        let manifest = match blocking("merging deltas", move || task.build()).await {
            Ok(manifest) => manifest,
            Err(error) => {
                let _ = clear_staging(store, &own, &Delta::PARTITION).await;
                return Err(error);
            }
        };
        let change = Change { manifest: manifest.clone(), moved: TableKind::ALL.to_vec(), base: None };
        commit(store, &own, lease, &change).await?;
        let oldest_at_us = held.iter().map(|held| held.delta.oldest_at_us).min().unwrap_or_default();
        let merged = delta_of(&manifest, (first, last), oldest_at_us)?;
        let sources: Vec<Delta> = held.iter().map(|held| held.delta.clone()).collect();
        if !replace(store, layout, &view.record, &sources, &merged).await? {
            store.delete_folder(own.root()).await?;
            return Ok(None);
        }
        for source in &sources {
            store.delete_folder(source.layout(layout).root()).await?;
        }
        Ok(Some(merged.size_bytes))
    }
}

/// The build of a merged delta. Blocks.
struct Task {
    store: Store,
    layout: OriginLayout,
    /// The names, each with the delta that has its newest rows.
    names: BTreeMap<String, Arc<HeldDelta>>,
    stop: CancellationToken,
}

impl Task {
    fn build(self) -> Result<Manifest> {
        let (store, proven) = (&self.store, Proven::default());
        let mut shards = BTreeMap::new();
        for table in TableKind::ALL {
            let staged = store.stage(&self.layout.staged_shard(table, &Delta::PARTITION))?;
            let mut writer = ShardWriter::new(table, schema(table), staged)?;
            let mut rows = DeltaRows::new(store, &proven, table);
            for (name, held) in &self.names {
                if self.stop.is_cancelled() {
                    return Err(Error::interrupted());
                }
                for batch in rows.take(held, name)? {
                    writer.write(batch).doing(|| format!("writing the shard of {table}"))?;
                }
            }
            let (staged, meta) = writer.finish()?;
            staged.finish()?;
            shards.insert(table.to_string(), meta);
        }
        let outcomes = count_outcomes(store, &self.layout.staged_shard(TableKind::Outcomes, &Delta::PARTITION))?;
        let mut seen = BTreeSet::new();
        let sources: Vec<&Manifest> =
            self.names.values().filter(|held| seen.insert(held.delta.last)).map(|held| &held.manifest).collect();
        let limits = sources.iter().filter_map(|manifest| manifest.oversize_limit_bytes);
        let is_gone = |(name, held): &(&String, &Arc<HeldDelta>)| held.says(name) == Some(Said::Gone);
        Ok(Manifest {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            partition: Delta::PARTITION,
            written_at: jiff::Timestamp::now().to_string(),
            shards,
            listed_at_us: None,
            oversize_limit_bytes: limits.min().filter(|_| outcomes.contains_key(Outcome::Oversize.as_str())),
            outcomes,
            documents_form: one_form(sources.into_iter()),
            cut_from: None,
            unfilled: unfilled_of(&self.names).collect(),
            removed: self.names.iter().filter(is_gone).map(|(name, _)| name.clone()).collect(),
        })
    }
}
