//! The overlay of an origin: what changed since the base shards were written, in deltas beside them, and the record that
//! says which of them count.
//!
//! A delta has the files of an origin with one partition of all names: a shard of each table, and a manifest. It holds all
//! rows of each of its names, and its manifest lists the names that are gone. The record is replaced as a whole, so a
//! reader that has read it once knows which deltas count for each partition. Not here: writing and merging deltas
//! (`pipeline/overlay`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{FileRole, OriginLayout, Partition, Record};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// The deltas that count, oldest first, and how far each partition has taken them over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// [`FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The version of the tool that wrote it last.
    pub tool_version: String,
    /// The number of the newest delta that there ever was, 0 if there was none. The next delta has the next number.
    pub newest: u64,
    /// The deltas, by ascending numbers that do not overlap.
    pub deltas: Vec<Delta>,
    /// By the file stem of a partition, the number of the newest delta whose rows its base shards have taken over. A
    /// partition that is not named has taken over none.
    pub folded: BTreeMap<String, u64>,
    /// By the file stem of a partition, how many commits of its base shards have begun since there is a record. A delta is put
    /// on record only if none has begun since it was compared with the base.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub base_commits: BTreeMap<String, u64>,
}

/// One delta of an overlay: the changes of one commit, or those of several commits merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The number of its first commit.
    pub first: u64,
    /// The number of its last commit; its own number if it is the delta of one commit.
    pub last: u64,
    /// The SHA-256 of the text of its manifest, in lower-case hex.
    pub manifest_sha256: String,
    /// How many names it holds, names that are gone included.
    pub names: u64,
    /// The size of all its shards.
    pub size_bytes: u64,
    /// The time at which the oldest of its rows was committed, in microseconds since 1970.
    pub oldest_at_us: i64,
}

impl Overlay {
    /// Returns an overlay without deltas.
    pub fn empty() -> Overlay {
        Overlay {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            newest: 0,
            deltas: Vec::new(),
            folded: BTreeMap::new(),
            base_commits: BTreeMap::new(),
        }
    }

    /// Returns whether a delta counts for the partition with a file stem: its base shards have not taken it over. A delta
    /// that was merged after that holds no rows of the partition from before.
    pub fn counts_for(&self, delta: &Delta, stem: &str) -> bool {
        self.folded.get(stem).is_none_or(|folded| delta.last > *folded)
    }

    /// Returns whether no partition took over a delta between this record and the record `now`. Only partitions whose file stems
    /// satisfy `is_of` are compared. If one did, its base shards may have newer rows than the deltas of this record.
    pub fn holds_until(&self, now: &Overlay, is_of: impl Fn(&str) -> bool) -> bool {
        let taken_over = |record: &Overlay| -> BTreeMap<String, u64> {
            let of = record.folded.iter().filter(|(stem, _)| is_of(stem));
            of.map(|(stem, last)| (stem.clone(), *last)).collect()
        };
        // A delta that is gone, and is in no merged one, was taken over by all.
        let is_there =
            |delta: &Delta| now.deltas.iter().any(|other| other.first <= delta.first && delta.last <= other.last);
        taken_over(self) == taken_over(now) && self.deltas.iter().all(is_there)
    }

    /// Returns the deltas that count for the partition with a file stem, newest first.
    pub fn of_partition<'a>(&'a self, stem: &'a str) -> impl Iterator<Item = &'a Delta> {
        self.deltas.iter().rev().filter(move |delta| self.counts_for(delta, stem))
    }
}

impl Record for Overlay {
    const NOUN: &'static str = "the record of the overlay";
    const DAMAGED_HINT: &'static str = "all-docs verify --repair makes it again from the manifests of the deltas";
}

impl Delta {
    /// Returns the paths of the delta: those of an origin whose only partition is [`Delta::PARTITION`].
    pub fn layout(&self, of: &OriginLayout) -> OriginLayout {
        of.delta(self.first, self.last)
    }

    /// The only partition of every delta.
    pub const PARTITION: Partition = Partition::ALL;
}

impl OriginLayout {
    /// Returns the folder of the overlay.
    pub fn overlay_folder(&self) -> String {
        format!("{}/overlay", self.root())
    }

    /// Returns the paths of the delta in whose folder a path lies; `None` for any other path.
    pub fn delta_at(&self, path: &str) -> Option<OriginLayout> {
        let below = path.strip_prefix(&self.overlay_folder())?.strip_prefix('/')?;
        let (folder, _) = below.split_once('/')?;
        let (first, last) = folder.split_once('-')?;
        let delta = self.delta(first.parse().ok()?, last.parse().ok()?);
        delta.root().ends_with(&format!("/{folder}")).then_some(delta)
    }

    /// Returns the numbers of the first and the last commit of a delta, by its own paths.
    pub fn commits_of_delta(&self) -> Option<(u64, u64)> {
        let (first, last) = self.root().rsplit_once('/')?.1.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }

    /// Returns the purpose of a file of the overlay; `None` for any other path.
    pub(super) fn role_in_overlay<'a>(&self, path: &'a str) -> Option<FileRole<'a>> {
        let below = path.strip_prefix(&self.overlay_folder())?.strip_prefix('/')?;
        if path == self.overlay() {
            return Some(FileRole::Own);
        }
        let stem = Delta::PARTITION.file_stem();
        let is_own = self.delta_at(path).is_some_and(|delta| match delta.role(path) {
            FileRole::Own => true,
            FileRole::Table { file } => file.strip_suffix(".parquet") == Some(stem.as_str()),
            FileRole::Manifest { file } => file.strip_suffix(".json") == Some(stem.as_str()),
            FileRole::Staged { stem: of, is_named } => is_named && of == stem,
            FileRole::Events { .. } | FileRole::SetAside | FileRole::Unknown { .. } => false,
        });
        Some(if is_own { FileRole::Own } else { FileRole::Unknown { file: below } })
    }
}

/// Returns the names that `deltas` hold, each with the index of the newest delta that holds it. `names` are the names of
/// each delta, oldest first; a name that is gone counts as held.
pub fn newest_of_each<N: Ord>(names: impl IntoIterator<Item = BTreeSet<N>>) -> BTreeMap<N, usize> {
    let mut newest = BTreeMap::new();
    for (index, names) in names.into_iter().enumerate() {
        newest.extend(names.into_iter().map(|name| (name, index)));
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(first: u64, last: u64) -> Delta {
        Delta { first, last, manifest_sha256: String::new(), names: 1, size_bytes: 1, oldest_at_us: 0 }
    }

    #[test]
    fn a_partition_counts_only_what_it_has_not_taken_over() {
        let mut overlay = Overlay::empty();
        overlay.deltas = vec![delta(1, 4), delta(5, 5), delta(6, 6)];
        overlay.folded.insert("0-61".to_owned(), 5);
        let of = |stem| overlay.of_partition(stem).map(|delta| delta.last).collect::<Vec<_>>();
        assert_eq!((of("0-61"), of("61-z")), (vec![6], vec![6, 5, 4]));
    }

    #[test]
    fn a_record_is_true_of_base_shards_until_they_take_a_delta_over() {
        let record = |deltas: &[(u64, u64)], folded: &[(&str, u64)]| Overlay {
            deltas: deltas.iter().map(|(first, last)| delta(*first, *last)).collect(),
            folded: folded.iter().map(|(stem, last)| ((*stem).to_owned(), *last)).collect(),
            ..Overlay::empty()
        };
        let before = record(&[(1, 1), (2, 3)], &[("0-61", 1)]);
        for (now, is_true_yet) in [
            (before.clone(), true),
            // A new delta, and a merge.
            (record(&[(1, 4), (5, 5)], &[("0-61", 1)]), true),
            (record(&[(1, 1), (2, 3)], &[("0-61", 3)]), false),
            (record(&[(1, 1), (2, 3)], &[("0-61", 1), ("61-z", 3)]), false),
            // All partitions have taken over a delta.
            (record(&[(2, 3)], &[("0-61", 1)]), false),
        ] {
            assert_eq!(before.holds_until(&now, |_| true), is_true_yet, "{now:?}");
        }
        let of_another = record(&[(1, 1), (2, 3)], &[("0-61", 1), ("61-z", 3)]);
        assert!(before.holds_until(&of_another, |stem| stem == "0-61"));
    }

    #[test]
    fn the_newest_delta_counts_for_each_name() {
        let names = [BTreeSet::from(["a", "b"]), BTreeSet::from(["b", "c"])];
        assert_eq!(newest_of_each(names), BTreeMap::from([("a", 0), ("b", 1), ("c", 1)]));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let overlay = Overlay { deltas: vec![delta(1, 4)], newest: 4, ..Overlay::empty() };
        let text = overlay.to_json().expect("a record");
        assert_eq!(Overlay::from_json("overlay.json", &text).expect("a record"), overlay);
    }
}
