//! Renews deltas that an earlier version of the tool wrote: makes their tables again from their documents, as those of one new
//! delta. Rows of two versions are never merged or folded.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::merge::Merging;
use super::record::{release_events, skip_number};
use super::view::{HeldDelta, OverlayView};
use super::writer_lease::writer_lease;
use crate::error::{Doing, Result};
use crate::lake::{Delta, OriginLayout};
use crate::pipeline::rebuild::Wanted;
use crate::pipeline::rebuild::build::Task;
use crate::pipeline::status::read_partition_set;
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// The command for which the lease is taken.
const PURPOSE: &str = "renew";

impl Merging<'_> {
    /// Makes one delta of this version of all deltas of `view`, if one of them is old. Its last number is that of an empty
    /// commit, so its folder is a new one. If the record changes meanwhile, nothing is changed.
    pub(super) async fn renew(&self, view: &OverlayView) -> Result<()> {
        if !view.is_old() {
            return Ok(());
        }
        let mut deltas = Vec::new();
        for held in &view.deltas {
            // The writer before may have died before it told them.
            release_events(self.store, &held.layout).await?;
            let renewed = renewed(self.store, held, self.stop).await;
            deltas.push(renewed.doing(|| format!("renewing {}", held.layout.root()))?);
        }
        let mut renewed = view.clone();
        renewed.deltas = deltas;
        renewed.record = skip_number(self.store, self.layout).await?;
        let merged = self.merge(&renewed, 0..view.deltas.len(), renewed.record.newest).await;
        merged.map(drop).doing(|| format!("renewing the overlay of {}", self.layout.name()))
    }
}

/// The same under the lease of the overlay's writer, for a command that is not the writer. Waits while another such command
/// renews it.
pub(in crate::pipeline) async fn renew_under_lease(
    store: &Store,
    layout: &OriginLayout,
    stop: &CancellationToken,
) -> Result<()> {
    if !OverlayView::read(store, layout, &OverlayView::empty()).await?.is_old() {
        return Ok(());
    }
    let doing = || format!("renewing the changes of {} that an earlier version of all-docs wrote", layout.name());
    let lease = writer_lease(store, layout, PURPOSE, stop).await.doing(doing)?;
    let view = OverlayView::read(store, layout, &OverlayView::empty()).await;
    let renewed = async {
        let Some(set) = read_partition_set(store, layout).await? else { return Ok(()) };
        Merging { store, layout, set: &set, lease: &lease.watch(), stop }.renew(&view?).await
    };
    let renewed = Box::pin(renewed).await;
    lease.end_after(renewed).await
}

/// Stages the tables of a delta that are not of this version. The result has the rows of this version.
async fn renewed(store: &Store, held: &Arc<HeldDelta>, stop: &CancellationToken) -> Result<Arc<HeldDelta>> {
    if !held.manifest.is_old() {
        return Ok(Arc::clone(held));
    }
    let tables = Wanted::default().of_opened(store, &held.layout, &held.manifest).await?;
    let task = Task {
        store: store.clone(),
        layout: held.layout.clone(),
        manifest: held.manifest.clone(),
        tables: tables.clone(),
        progress: Arc::default(),
        stop: stop.clone(),
        large_documents: Arc::default(),
    };
    let manifest = blocking("renewing a delta", move || task.build(None)).await?;
    let HeldDelta { delta, layout, docs, .. } = &**held;
    Ok(Arc::new(HeldDelta {
        delta: delta.clone(),
        layout: layout.clone(),
        manifest,
        docs: docs.clone(),
        staged: tables,
    }))
}

impl HeldDelta {
    /// Returns the path of the shard that has its rows of a table in the form of this version.
    pub(in crate::pipeline) fn current_shard(&self, table: TableKind) -> String {
        match self.staged.contains(&table) {
            true => self.layout.staged_shard(table, &Delta::PARTITION),
            false => self.layout.shard(table, &Delta::PARTITION),
        }
    }
}
