//! Members of the manifest of a merged delta or a folded partition, by the sources that its rows come from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::known::is_among;
use super::view::HeldDelta;
use crate::error::{Error, Result};
use crate::lake::Manifest;
use crate::shard::NameCursor;
use crate::store::Store;
use crate::table::{TableKind, schema};

/// Returns those of `names` that are in [`Manifest::unfilled`] of their delta, ascending.
pub(in crate::pipeline) fn unfilled_of(names: &BTreeMap<String, Arc<HeldDelta>>) -> impl Iterator<Item = String> {
    names.iter().filter(|(name, held)| is_among(&held.manifest.unfilled, name)).map(|(name, _)| name.clone())
}

/// Returns the form of all documents of some manifests, if they have one and it is known.
pub(in crate::pipeline) fn one_form<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> Option<String> {
    let with_documents = manifests.filter(|manifest| manifest.rows(TableKind::Packuments) > 0);
    let forms: BTreeSet<Option<&String>> = with_documents.map(|manifest| manifest.documents_form.as_ref()).collect();
    match forms.len() {
        1 => forms.first().copied().flatten().cloned(),
        _ => None,
    }
}

/// Counts the names by outcome of a shard that is staged. Blocks.
pub(super) fn count_outcomes(store: &Store, path: &str) -> Result<BTreeMap<String, u64>> {
    let file = store.blocking().open(path)?.ok_or_else(|| Error::lake(format!("the staged shard {path} vanished")))?;
    let mut counts = BTreeMap::new();
    let mut cursor = NameCursor::open(TableKind::Outcomes, file, &schema(TableKind::Outcomes), &["outcome"])?;
    while cursor.name().is_some() {
        cursor.pass(|row| {
            *counts.entry(row.text("outcome")?.unwrap_or_default().to_owned()).or_insert(0) += 1;
            Ok(())
        })?;
    }
    Ok(counts)
}
