//! Which partitions are to be folded: those of which the overlay has many rows, or old ones.

use std::collections::BTreeMap;
use std::time::Duration;

use super::view::OverlayView;
use crate::commit::read_manifests;
use crate::error::Result;
use crate::follow::CLOCK_SLACK_US;
use crate::lake::{OriginLayout, Partition, PartitionSet};
use crate::store::Store;
use crate::table::TableKind;

/// When a partition is folded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoldPolicy {
    /// If the overlay has at least this share of its names.
    pub rows: f64,
    /// If the overlay has had rows of it for this long.
    pub age: Duration,
}

impl Default for FoldPolicy {
    fn default() -> Self {
        FoldPolicy { rows: 0.05, age: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

impl FoldPolicy {
    /// Folds every partition of which the overlay has a row.
    pub const EVERYTHING: FoldPolicy = FoldPolicy { rows: 0.0, age: Duration::ZERO };
}

/// Returns the partitions that are to be folded at `now_us`, in microseconds since 1970. `base_rows` are the rows of each
/// partition of the base, by its file stem.
pub(in crate::pipeline) fn due_partitions(
    view: &OverlayView,
    set: &PartitionSet,
    base_rows: &BTreeMap<String, u64>,
    policy: FoldPolicy,
    now_us: i64,
) -> Vec<Partition> {
    let age_us = i64::try_from(policy.age.as_micros()).unwrap_or(i64::MAX);
    let is_due = |partition: &Partition| {
        let names = view.names_of(partition).len() as f64;
        let mut with_rows = view.counting(partition).filter(|held| held.names_in(partition).next().is_some());
        let rows = base_rows.get(&partition.file_stem()).copied().unwrap_or_default() as f64;
        // A time in the future is that of a clock that was wrong: nobody knows how old the row is.
        let is_old =
            |at_us: i64| now_us.saturating_sub(at_us) >= age_us || at_us > now_us.saturating_add(CLOCK_SLACK_US);
        names > 0.0 && (names >= policy.rows * rows || with_rows.any(|held| is_old(held.delta.oldest_at_us)))
    };
    set.iter().filter(is_due).collect()
}

/// Returns the rows of each partition of the base, by its file stem.
pub(in crate::pipeline) async fn rows_of_base(store: &Store, layout: &OriginLayout) -> Result<BTreeMap<String, u64>> {
    let manifests = read_manifests(store, layout).await?;
    Ok(manifests.into_iter().map(|manifest| (manifest.partition.file_stem(), manifest.rows(TableKind::Docs))).collect())
}
