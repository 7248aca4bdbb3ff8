//! The rows from which a partition is cut: those of the partitions of the lake that overlap it, and the newer ones of the
//! overlay.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::shards::tables;
use crate::error::Result;
use crate::lake::{Manifest, Partition, PartitionSet};
use crate::npm::Outcome;
use crate::pipeline::overlay::{HeldDelta, OverlayView, one_form, unfilled_of};
use crate::shard::NameCursor;
use crate::store::ShardFile;
use crate::table::{TableKind, schema};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// Returns the indexes of the partitions of `set` that have names of a partition.
pub(super) fn overlapping(set: &PartitionSet, partition: &Partition) -> RangeInclusive<usize> {
    let first = partition.start.as_ref().map_or(0, |start| set.index_of(start));
    let last = partition.end.as_ref().map_or(set.count() - 1, |end| {
        // The end itself is not in the partition.
        set.boundaries.partition_point(|boundary| boundary < end)
    });
    first..=last
}

/// The sources of a partition that is cut.
#[derive(Debug)]
pub(super) struct CutFrom {
    partition: Partition,
    /// In the order of names.
    pub(super) parts: Vec<Part>,
}

/// A partition of the lake that is copied.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) manifest: Manifest,
    /// The names of the cut of which the overlay has newer rows, or says that they are gone, each with its delta.
    pub(super) changed: BTreeMap<String, Arc<HeldDelta>>,
    /// The deltas that count for it and hold names of the cut, oldest first.
    pub(super) deltas: Vec<Arc<HeldDelta>>,
}

impl CutFrom {
    /// Finds what `partition` is cut from. `manifests` are those of the partitions that overlap it, in the order of names.
    pub(super) fn new(overlay: &OverlayView, manifests: Vec<Manifest>, partition: &Partition) -> CutFrom {
        let part = |manifest: Manifest| {
            let of = &manifest.partition;
            let is_in_cut = |held: &&Arc<HeldDelta>| held.names_in(of).any(|name| partition.contains(name));
            let deltas = overlay.counting(of).filter(is_in_cut).cloned().collect();
            let changed = overlay.names_of(of).into_iter().filter(|(name, _)| partition.contains(name));
            let changed = changed.map(|(name, held)| (name.to_owned(), Arc::clone(held))).collect();
            Part { manifest, changed, deltas }
        };
        CutFrom { partition: partition.clone(), parts: manifests.into_iter().map(part).collect() }
    }

    /// Returns the tables that the cut has. Fails with [`crate::error::ErrorKind::Lake`] for an unknown one.
    pub(super) fn tables(&self) -> Result<BTreeSet<TableKind>> {
        let mut named = BTreeSet::new();
        for manifest in self.parts.iter().flat_map(Part::manifests) {
            named.extend(tables(manifest)?.into_iter().map(|(table, _)| table));
        }
        Ok(named)
    }

    /// Returns the digest of everything that the sources hold.
    pub(super) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for part in &self.parts {
            digest.update(part.manifest.partition.file_stem());
            for (table, meta) in &part.manifest.shards {
                digest.update(format!("\n{table} {}", meta.sha256));
            }
            for held in &part.deltas {
                digest.update(format!("\ndelta {}", held.delta.manifest_sha256));
            }
            digest.update("\n");
        }
        format!("{:x}", digest.finalize())
    }

    /// Returns the manifest of the cut without its shards and what `outcomes` tells.
    pub(super) fn manifest(&self, outcomes: Outcomes) -> Manifest {
        // `None` is less than any time: one listing whose time is not known makes that of all unknown.
        let listed_at_us = self.parts.iter().map(|part| part.manifest.listed_at_us).min().flatten();
        Manifest {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            partition: self.partition.clone(),
            written_at: jiff::Timestamp::now().to_string(),
            shards: BTreeMap::new(),
            oversize_limit_bytes: outcomes.oversize_limit_bytes.filter(|_| !outcomes.has_unknown_limit),
            outcomes: outcomes.counts,
            listed_at_us,
            documents_form: one_form(self.parts.iter().flat_map(Part::manifests)),
            cut_from: Some(self.digest()),
            unfilled: self.parts.iter().flat_map(|part| part.unfilled(&self.partition)).collect(),
            removed: Vec::new(),
        }
    }
}

impl Part {
    fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        std::iter::once(&self.manifest).chain(self.deltas.iter().map(|held| &held.manifest))
    }

    /// Returns the names of [`Manifest::unfilled`] that are in the cut, ascending.
    fn unfilled(&self, cut: &Partition) -> BTreeSet<String> {
        let of_base = self.manifest.unfilled.iter();
        let of_base = of_base.filter(|name| cut.contains(name) && !self.changed.contains_key(*name)).cloned();
        of_base.chain(unfilled_of(&self.changed)).collect()
    }
}

/// The facts about the rows of `outcomes` in a partition.
#[derive(Default)]
pub(super) struct Outcomes {
    counts: BTreeMap<String, u64>,
    /// The least limit by which names were refused as too large. `None` if there are none.
    oversize_limit_bytes: Option<u64>,
    /// Whether the limit of some of them is not known.
    has_unknown_limit: bool,
}

impl Outcomes {
    /// Counts the rows of a shard whose names `is_counted` holds for. `source` is its manifest. Blocks.
    pub(super) fn add(&mut self, file: ShardFile, source: &Manifest, is_counted: impl Fn(&str) -> bool) -> Result<()> {
        let mut refused = 0;
        let mut cursor = NameCursor::open(TableKind::Outcomes, file, &schema(TableKind::Outcomes), &["outcome"])?;
        while let Some(is_counted) = cursor.name().map(&is_counted) {
            cursor.pass(|row| {
                if let Some(outcome) = row.text("outcome")?.filter(|_| is_counted) {
                    *self.counts.entry(outcome.to_owned()).or_default() += 1;
                    refused += u64::from(outcome == Outcome::Oversize.as_str());
                }
                Ok(())
            })?;
        }
        if refused > 0 {
            let limits = [self.oversize_limit_bytes, source.oversize_limit_bytes];
            self.oversize_limit_bytes = limits.into_iter().flatten().min();
            self.has_unknown_limit |= source.oversize_limit_bytes.is_none();
        }
        Ok(())
    }
}
