//! Reads the overlay of an origin as often as it is needed, beside those who write, merge and fold it.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::rows::{DeltaRows, Proven};
use super::view::OverlayView;
use crate::error::{ErrorKind, Result};
use crate::lake::OriginLayout;
use crate::store::Store;
use crate::table::TableKind;

/// How often work is done again because the overlay was replaced meanwhile.
pub(super) const MOST_TRIES: usize = 20;

/// The overlay of one origin for one process. Cheap to clone.
#[derive(Clone)]
pub(in crate::pipeline) struct OverlayReader {
    pub(super) store: Store,
    pub(super) layout: OriginLayout,
    proven: Proven,
    /// The overlay as it was read last.
    view: Arc<Mutex<OverlayView>>,
}

impl OverlayReader {
    pub(in crate::pipeline) fn new(store: &Store, layout: &OriginLayout) -> OverlayReader {
        let (store, layout) = (store.clone(), layout.clone());
        OverlayReader { store, layout, proven: Proven::default(), view: Arc::new(Mutex::new(OverlayView::empty())) }
    }

    /// Reads the overlay as it is now.
    pub(in crate::pipeline) async fn view(&self) -> Result<OverlayView> {
        let mut view = self.view.lock().await;
        *view = OverlayView::read(&self.store, &self.layout, &view).await?;
        Ok(view.clone())
    }

    /// Does `work` with the overlay as it is now, and again if something of the lake was not found and the record has other
    /// deltas by then: one that was merged or taken over is not lost.
    pub(in crate::pipeline) async fn with_view<T, F: Future<Output = Result<T>>>(
        &self,
        work: impl Fn(OverlayView) -> F,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            let view = self.view().await?;
            let deltas = view.record.deltas.clone();
            match Box::pin(work(view)).await {
                Err(error)
                    if error.kind() == ErrorKind::Lake
                        && tries < MOST_TRIES
                        && self.view().await.is_ok_and(|now| now.record.deltas != deltas) =>
                {
                    tracing::debug!(%error, "the overlay was replaced meanwhile");
                }
                done => return done,
            }
        }
    }

    /// Returns the rows that deltas have in a table.
    pub(in crate::pipeline) fn rows(&self, table: TableKind) -> DeltaRows<'_> {
        DeltaRows::new(&self.store, &self.proven, table)
    }
}
