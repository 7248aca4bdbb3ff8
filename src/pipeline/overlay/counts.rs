//! How many names and documents a lake has more, or fewer, by its overlay than by its base.

use std::sync::Arc;

use super::known::Known;
use super::view::OverlayView;
use crate::error::Result;
use crate::lake::{OriginLayout, PartitionSet};
use crate::npm::PackageName;
use crate::store::{Store, blocking};

/// The differences that an overlay makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::pipeline) struct ChangedCounts {
    pub(in crate::pipeline) names: i64,
    pub(in crate::pipeline) documents: i64,
}

/// Counts the differences that the overlay of an origin makes. Reads the names of the partitions that it has rows of.
pub(in crate::pipeline) async fn changed_counts(
    store: &Store,
    layout: &OriginLayout,
    set: Option<PartitionSet>,
) -> Result<ChangedCounts> {
    let view = OverlayView::read(store, layout, &OverlayView::empty()).await?;
    let Some(set) = set.map(Arc::new).filter(|_| !view.deltas.is_empty()) else { return Ok(ChangedCounts::default()) };
    let base = Known::new(store, layout, &set, OverlayView::empty());
    let now = Known::new(store, layout, &set, view);
    let count = move || {
        let mut counts = ChangedCounts::default();
        let difference = |now: usize, before: usize| now as i64 - before as i64;
        for partition in set.iter() {
            let names: Vec<PackageName> = now.view().names_of(&partition).into_keys().map(PackageName::new).collect();
            if names.is_empty() {
                continue;
            }
            counts.names += difference(now.doc_rows(&names)?.len(), base.doc_rows(&names)?.len());
            let held =
                |known: &Known| -> Result<usize> { Ok(known.document_revs(&names.iter().cloned().collect())?.len()) };
            counts.documents += difference(held(&now)?, held(&base)?);
        }
        Ok(counts)
    };
    blocking("counting the names of the overlay", count).await
}
