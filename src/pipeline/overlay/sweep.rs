//! Deletes the folders of deltas that the record does not name, under the lease of the overlay's writer: those of merges and
//! of deltas that were merged or folded when a process died.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::lake::{OriginLayout, Overlay};
use crate::store::Store;

pub(in crate::pipeline) async fn sweep(store: &Store, layout: &OriginLayout) -> Result<()> {
    let record = store.read_record::<Overlay>(&layout.overlay()).await?.unwrap_or_else(Overlay::empty);
    // The next delta may have documents in staging.
    let next = layout.delta(record.newest + 1, record.newest + 1);
    let mut kept: BTreeSet<String> = record.deltas.iter().map(|delta| delta.layout(layout).root().to_owned()).collect();
    kept.insert(next.root().to_owned());
    let mut found = BTreeSet::new();
    for path in store.list(&layout.overlay_folder()).await? {
        found.extend(layout.delta_at(&path).map(|delta| delta.root().to_owned()));
    }
    for folder in found.difference(&kept) {
        let commits = layout.delta_at(&format!("{folder}/")).and_then(|own| own.commits_of_delta());
        // A record that was replaced by an older one does not know it.
        if commits.is_some_and(|(_, last)| last > record.newest) {
            return Err(Error::lake(format!("{} names no delta as new as {folder}", layout.overlay()))
                .hint("if the record was restored from a backup, restore the newest one, or delete that folder"));
        }
        tracing::debug!(folder, "a delta that is not on record is swept");
        store.delete_folder(folder).await?;
    }
    Ok(())
}
