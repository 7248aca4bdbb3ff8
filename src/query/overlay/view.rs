//! Which source of a lake has the newest rows of each name: the base, or a delta of the overlay. Pure; not here: reading
//! the deltas (`mod`).

use std::sync::Arc;

#[cfg(feature = "distributed")]
use sha2::{Digest, Sha256};

use crate::lake::{Delta, Manifest, Overlay, Partition, PartitionSet};

use super::kept_rows::KeptRows;
use super::names::Names;

/// The contents of a delta, which never change.
#[derive(Debug)]
pub(super) struct DeltaContent {
    pub(super) manifest: Manifest,
    /// The names of which it has rows.
    pub(super) names: Names,
}

/// A source of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Source {
    /// A base shard without a name that a delta has, or any shard of an origin without an overlay.
    Untouched,
    /// A base shard.
    Base,
    /// A delta, by its place from the oldest on.
    Delta(usize),
}

/// The overlay of an origin as its record describes it at one time.
#[derive(Debug)]
pub(in crate::query) struct View {
    /// The text of the record.
    record: Vec<u8>,
    /// The boundaries of partitions that were taken into account.
    boundaries: Option<Vec<String>>,
    deltas: Vec<DeltaView>,
    /// The names whose rows in the base do not count: those that a delta has.
    hidden_in_base: Names,
    pub(super) kept_rows: KeptRows,
}

/// A delta of a view.
#[derive(Debug)]
pub(super) struct DeltaView {
    pub(super) delta: Delta,
    pub(super) content: Arc<DeltaContent>,
    /// The names whose newest rows it has.
    pub(super) newest: Names,
    /// The other names of which it has rows.
    hidden: Names,
}

impl Source {
    /// Returns the number that stands for it in the column of sources that a masked scan has.
    pub(in crate::query) fn number(self) -> i32 {
        match self {
            Source::Untouched => -1,
            Source::Base => 0,
            Source::Delta(place) => i32::try_from(place).unwrap_or(i32::MAX).saturating_add(1),
        }
    }

    pub(super) fn of_number(number: i32) -> Source {
        match usize::try_from(number) {
            Err(_) => Source::Untouched,
            Ok(0) => Source::Base,
            Ok(number) => Source::Delta(number - 1),
        }
    }
}

impl View {
    /// Makes the view of a record. `contents` are those of its deltas, in their order. `partitions` may be left out if no
    /// partition has taken any of the deltas over.
    pub(super) fn new(
        record: Vec<u8>,
        overlay: &Overlay,
        partitions: Option<&PartitionSet>,
        contents: Vec<Arc<DeltaContent>>,
    ) -> View {
        let folded = Folded::new(overlay, partitions);
        // The places of the names' deltas, the newest one of each name first.
        let mut held: Vec<(&str, usize)> = Vec::new();
        for (place, (delta, content)) in overlay.deltas.iter().zip(&contents).enumerate().rev() {
            let removed = content.manifest.removed.iter().map(String::as_str);
            let names = content.names.iter().chain(removed).filter(|name| folded.counts(delta, name));
            held.extend(names.map(|name| (name, place)));
        }
        // The sort is stable, and quick for the sorted runs of the deltas.
        held.sort_by_key(|(name, _)| *name);
        held.dedup_by(|(next, _), (kept, _)| next == kept);
        let hidden_in_base = Names::of(held.iter().map(|(name, _)| *name));
        let deltas = overlay.deltas.iter().zip(&contents).enumerate().map(|(place, (delta, content))| {
            let names = held.iter().filter(|(_, newest)| *newest == place).map(|(name, _)| *name);
            let newest = Names::of(names.filter(|name| content.names.contains(name)));
            let hidden = match newest.len() == content.names.len() {
                true => Names::of([]),
                false => Names::of(content.names.iter().filter(|name| !newest.contains(name))),
            };
            DeltaView { delta: delta.clone(), content: Arc::clone(content), newest, hidden }
        });
        let deltas = deltas.collect();
        let boundaries = partitions.map(|set| set.boundaries.clone());
        View { record, boundaries, deltas, hidden_in_base, kept_rows: KeptRows::default() }
    }

    /// Returns whether it is the view of a record and of partitions.
    pub(super) fn is_of(&self, record: &[u8], partitions: Option<&PartitionSet>) -> bool {
        self.record == record && self.boundaries.as_ref() == partitions.map(|set| &set.boundaries)
    }

    /// Returns what tells it from any other view of the origin: a machine that makes it of the same record and partitions
    /// has the same one.
    #[cfg(feature = "distributed")]
    pub(in crate::query) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        digest.update((self.record.len() as u64).to_le_bytes());
        digest.update(&self.record);
        for boundary in self.boundaries.iter().flatten() {
            digest.update((boundary.len() as u64).to_le_bytes());
            digest.update(boundary);
        }
        format!("{:x}", digest.finalize())
    }

    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }

    pub(super) fn deltas(&self) -> &[DeltaView] {
        &self.deltas
    }

    /// Returns the source that a base shard with this range is. The range of a foreign file is not known.
    pub(in crate::query) fn of_base(&self, range: Option<&Partition>) -> Source {
        let (start, end) = range.map_or((None, None), |range| (range.start.as_deref(), range.end.as_deref()));
        if self.hidden_in_base.has_any_of(start, end) { Source::Base } else { Source::Untouched }
    }

    /// Returns the names whose rows in a source do not count; `None` if there are none.
    pub(super) fn hidden(&self, source: Source) -> Option<&Names> {
        match source {
            Source::Untouched => None,
            Source::Base => Some(&self.hidden_in_base),
            Source::Delta(place) => self.deltas.get(place).map(|delta| &delta.hidden),
        }
        .filter(|hidden| !hidden.is_empty())
    }

    /// Returns whether any row of a source does not count.
    pub(in crate::query) fn hides_any(&self, source: Source) -> bool {
        self.hidden(source).is_some()
    }

    /// Returns whether a source has rows of a name that do not count.
    pub(in crate::query) fn hides(&self, source: Source, name: &str) -> bool {
        self.hidden(source).is_some_and(|hidden| hidden.contains(name))
    }

    /// Returns whether a source may have rows that count of a name.
    pub(in crate::query) fn may_have(&self, source: Source, name: &str) -> bool {
        match source {
            Source::Untouched => true,
            Source::Base => !self.hidden_in_base.contains(name),
            Source::Delta(place) => self.deltas.get(place).is_some_and(|delta| delta.newest.contains(name)),
        }
    }

    /// Returns the first and the last name whose newest rows a delta has.
    pub(in crate::query) fn ends_of(&self, source: Source) -> Option<(&str, &str)> {
        let Source::Delta(place) = source else { return None };
        let newest = &self.deltas.get(place)?.newest;
        let last = newest.len().checked_sub(1)?;
        Some((newest.get(0), newest.get(last)))
    }
}

/// How far each partition has taken deltas over.
struct Folded<'o> {
    partitions: Option<&'o PartitionSet>,
    /// By the index of the partition, the number of the newest delta.
    newest: Vec<u64>,
    greatest: u64,
}

impl Folded<'_> {
    fn new<'o>(overlay: &Overlay, partitions: Option<&'o PartitionSet>) -> Folded<'o> {
        let of_partition =
            |partition: Partition| overlay.folded.get(&partition.file_stem()).copied().unwrap_or_default();
        let newest: Vec<u64> = partitions.iter().flat_map(|set| set.iter()).map(of_partition).collect();
        Folded { partitions, greatest: newest.iter().copied().max().unwrap_or_default(), newest }
    }

    /// Returns whether the rows of a name in a delta count, as [`Overlay::counts_for`] defines.
    fn counts(&self, delta: &Delta, name: &str) -> bool {
        if delta.last > self.greatest {
            return true;
        }
        let folded = self.partitions.and_then(|set| self.newest.get(set.index_of(name)));
        folded.is_none_or(|folded| delta.last > *folded)
    }
}

/// Returns whether the partitions matter: one of them has taken over a delta that the record names.
pub(super) fn depends_on_partitions(overlay: &Overlay) -> bool {
    let oldest = overlay.deltas.iter().map(|delta| delta.last).min();
    oldest.is_some_and(|oldest| overlay.folded.values().any(|folded| oldest <= *folded))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lake::newest_of_each;

    fn content(names: &[&str], removed: &[&str]) -> Arc<DeltaContent> {
        let manifest = serde_json::json!({
            "format_version": 1, "tool_version": "", "partition": Delta::PARTITION, "written_at": "", "shards": {},
            "outcomes": {}, "removed": removed,
        });
        let manifest = serde_json::from_value(manifest).unwrap();
        Arc::new(DeltaContent { manifest, names: Names::of(names.iter().copied()) })
    }

    fn overlay(lasts: &[u64], folded: &[(&str, u64)]) -> Overlay {
        let delta = |&last: &u64| Delta {
            first: last,
            last,
            manifest_sha256: String::new(),
            names: 0,
            size_bytes: 0,
            oldest_at_us: 0,
        };
        let folded = folded.iter().map(|(stem, last)| ((*stem).to_owned(), *last)).collect();
        Overlay { deltas: lasts.iter().map(delta).collect(), folded, ..Overlay::empty() }
    }

    #[test]
    fn each_name_has_one_newest_source() {
        let contents = vec![content(&["a", "b", "x"], &[]), content(&["b", "c"], &["a"]), content(&["x"], &["n"])];
        let view = View::new(Vec::new(), &overlay(&[1, 2, 3], &[]), None, contents);
        let hidden = |source| view.hidden(source).map(|names| names.iter().collect::<Vec<_>>()).unwrap_or_default();
        assert_eq!(hidden(Source::Base), ["a", "b", "c", "n", "x"]);
        assert_eq!(hidden(Source::Delta(0)), ["a", "b", "x"]);
        assert!(!view.hides_any(Source::Delta(1)) && !view.hides_any(Source::Untouched));
        assert_eq!(view.ends_of(Source::Delta(0)), None);
        assert_eq!(view.ends_of(Source::Delta(1)), Some(("b", "c")));
        let all = [Source::Base, Source::Delta(0), Source::Delta(1), Source::Delta(2)];
        for (name, having) in [("a", vec![]), ("b", vec![all[2]]), ("x", vec![all[3]]), ("free", vec![all[0]])] {
            let found: Vec<_> = all.into_iter().filter(|source| view.may_have(*source, name)).collect();
            assert_eq!(found, having, "{name}");
        }
        let sets = [vec!["a", "b", "x"], vec!["a", "b", "c"], vec!["n", "x"]];
        let newest = newest_of_each(sets.map(|names| names.into_iter().collect()));
        assert_eq!(newest.keys().copied().collect::<Vec<_>>(), hidden(Source::Base));
    }

    #[test]
    fn what_a_partition_has_taken_over_counts_no_more() {
        let set = PartitionSet {
            format_version: 1,
            rows_per_partition: None,
            pivots: Vec::new(),
            boundaries: vec!["m".to_owned()],
        };
        let stem = set.get(0).file_stem();
        let contents = vec![content(&["a", "x"], &[]), content(&["b", "y"], &["c", "z"])];
        let record = overlay(&[1, 2], &[(stem.as_str(), 1)]);
        assert!(depends_on_partitions(&record) && !depends_on_partitions(&overlay(&[2], &[(stem.as_str(), 1)])));
        let view = View::new(Vec::new(), &record, Some(&set), contents);
        let hidden = |source| view.hidden(source).map(|names| names.iter().collect::<Vec<_>>()).unwrap_or_default();
        assert_eq!(hidden(Source::Base), ["b", "c", "x", "y", "z"]);
        assert_eq!(hidden(Source::Delta(0)), ["a"]);
        assert_eq!(view.of_base(Some(&set.get(0))), Source::Base);
        let before_b = Partition { start: None, end: Some("b".to_owned()) };
        assert_eq!((view.of_base(Some(&before_b)), view.of_base(None)), (Source::Untouched, Source::Base));
    }
}
