//! Restores a partition set that is lost, damaged or wrong. Manifests and file names contain the ranges of partitions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result, unless_damaged};
use crate::lake::{Manifest, OriginLayout, Partition, PartitionSet, newer_than_known};
use crate::pipeline::status::read_partition_set;
use crate::store::Store;
use crate::table::TableKind;
use crate::version::FORMAT_VERSION;

/// The partitions that the files of an origin show.
pub(super) struct Told {
    /// The partitions of readable manifests in their right place, and partitions with a shard of most tables, in the
    /// order of their starts.
    firm: Vec<Partition>,
    /// The partitions that fewer file names show, those with the most files first.
    by_name: Vec<Partition>,
}

impl Told {
    pub(super) async fn read(store: &Store, layout: &OriginLayout) -> Result<Told> {
        let mut manifests = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for path in store.list(&layout.manifests()).await? {
            // An unreadable manifest still has a name.
            match unless_damaged(store.read_record::<Manifest>(&path).await)?.flatten() {
                Some(manifest) if layout.manifest(&manifest.partition) == path => manifests.push(manifest.partition),
                _ => note_stem(&path, ".json", &mut names),
            }
        }
        for table in TableKind::ALL {
            for path in store.list(&layout.table(table)).await? {
                note_stem(&path, ".parquet", &mut names);
            }
        }
        let mut names: Vec<(String, usize)> = names.into_iter().collect();
        names.sort_by_key(|(_, files)| Reverse(*files));
        let named = names.into_iter().filter_map(|(stem, files)| Some((exactly(&stem)?, files)));
        Ok(Told::of(manifests, named))
    }

    fn of(manifests: Vec<Partition>, named: impl Iterator<Item = (Partition, usize)>) -> Told {
        let mut told = Told { firm: manifests, by_name: Vec::new() };
        for (partition, files) in named {
            let is_firm =
                files > TableKind::ALL.len() / 2 && told.firm.iter().all(|known| !overlaps(known, &partition));
            if is_firm { told.firm.push(partition) } else { told.by_name.push(partition) }
        }
        told.firm.sort_by(|one, other| one.start.cmp(&other.start));
        told
    }

    /// Returns whether no file belongs to a partition.
    pub(super) fn is_empty(&self) -> bool {
        self.firm.is_empty() && self.by_name.is_empty()
    }

    /// Returns whether a partition set cannot be the one with which the lake was written.
    pub(super) fn contradicts(&self, set: &PartitionSet) -> bool {
        let known: BTreeSet<String> = set.iter().map(|partition| partition.file_stem()).collect();
        self.overlap().is_none() && self.firm.iter().any(|partition| !known.contains(&partition.file_stem()))
    }

    /// Returns the inner boundaries of all partitions. If some partitions between them were never committed, those
    /// become one. Fails with the reason if there are no credible ones.
    pub(super) fn boundaries(&self) -> Result<Vec<String>, String> {
        if let Some((one, other)) = self.overlap() {
            return Err(format!("it cannot be made again while there are manifests of both {one} and {other}"));
        }
        let mut partitions = self.firm.clone();
        for partition in &self.by_name {
            if partitions.iter().all(|known| !overlaps(known, partition)) {
                partitions.push(partition.clone());
            }
        }
        if partitions.is_empty() {
            return Err("no file shows the partitions".to_owned());
        }
        let ends = partitions.into_iter().flat_map(|partition| [partition.start, partition.end]).flatten();
        Ok(ends.collect::<BTreeSet<String>>().into_iter().collect())
    }

    fn overlap(&self) -> Option<(&Partition, &Partition)> {
        let pairs = self.firm.iter().zip(self.firm.iter().skip(1));
        pairs.into_iter().find(|(one, other)| overlaps(one, other))
    }
}

fn note_stem(path: &str, suffix: &str, stems: &mut BTreeMap<String, usize>) {
    let file = path.rsplit('/').next().unwrap_or_default();
    if let Some(stem) = file.strip_suffix(suffix) {
        *stems.entry(stem.to_owned()).or_default() += 1;
    }
}

/// Returns the partition that a stem spells in full.
fn exactly(stem: &str) -> Option<Partition> {
    let partition = Partition::from_file_stem(stem)?;
    let is_range = partition.start.as_ref().zip(partition.end.as_ref()).is_none_or(|(start, end)| start < end);
    (is_range && partition.file_stem() == stem).then_some(partition)
}

fn overlaps(one: &Partition, other: &Partition) -> bool {
    let begins_below = |start: &Option<String>, end: &Option<String>| {
        start.as_ref().zip(end.as_ref()).is_none_or(|(start, end)| start < end)
    };
    begins_below(&one.start, &other.end) && begins_below(&other.start, &one.end)
}

/// Returns whether a folder is that of an origin: it holds a partition set, or a manifest in its place.
pub(super) async fn is_origin(store: &Store, layout: &OriginLayout) -> bool {
    matches!(read_partition_set(store, layout).await, Ok(Some(_)))
        || Told::read(store, layout).await.is_ok_and(|told| !told.firm.is_empty())
}

/// Restores the set if it is unreadable or cannot be true, and other files show it. Returns whether it did.
///
/// Fails with [`crate::error::ErrorKind::Lake`] for a set that a newer version wrote.
pub(super) async fn mend_partition_set(store: &Store, layout: &OriginLayout) -> Result<bool> {
    let told = Told::read(store, layout).await?;
    let held = match read_partition_set(store, layout).await {
        Ok(Some(set)) if !told.contradicts(&set) => return Ok(false),
        Ok(held) => held,
        Err(error) => refuse_newer(store, layout, error).await?,
    };
    let Ok(boundaries) = told.boundaries() else { return Ok(false) };
    let set = PartitionSet {
        format_version: FORMAT_VERSION,
        rows_per_partition: held.as_ref().and_then(|set| set.rows_per_partition),
        pivots: held.map(|set| set.pivots).unwrap_or_default(),
        boundaries,
    };
    store.put_record(&layout.partition_set(), &set).await?;
    Ok(true)
}

/// Refuses files of a newer version: this version does not know the rules by which they were made.
async fn refuse_newer(store: &Store, layout: &OriginLayout, error: Error) -> Result<Option<PartitionSet>> {
    match store.get(&layout.partition_set()).await? {
        Some(text) if newer_than_known(&text).is_some() => Err(error),
        _ => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn partitions(stems: &[&str]) -> Vec<Partition> {
        stems.iter().map(|stem| exactly(stem).unwrap()).collect()
    }

    fn told(manifests: &[&str], by_name: &[&str]) -> Told {
        Told::of(partitions(manifests), partitions(by_name).into_iter().map(|partition| (partition, 1)))
    }

    #[test]
    fn boundaries_come_from_manifests_then_from_names_and_gaps_are_one_partition() {
        assert_eq!(told(&["0-67", "67-70", "70-z"], &[]).boundaries().unwrap(), ["g", "p"]);
        assert_eq!(told(&["0-67", "70-z"], &["67-70", "68-69"]).boundaries().unwrap(), ["g", "p"]);
        assert_eq!(told(&["0-67"], &["70-z", "61-62"]).boundaries().unwrap(), ["g", "p"]);
        assert_eq!(told(&[], &["0-z"]).boundaries().unwrap(), Vec::<String>::new());
        assert!(told(&[], &[]).boundaries().is_err());
        let why = told(&["0-67", "61-70"], &[]).boundaries().unwrap_err();
        assert!(why.contains("[start, \"g\")") && why.contains("[\"a\", \"p\")"), "{why}");
    }

    #[test]
    fn a_set_is_contradicted_by_manifests_that_fit_each_other_and_not_it() {
        let set = |boundaries: &[&str]| PartitionSet {
            format_version: FORMAT_VERSION,
            rows_per_partition: None,
            pivots: Vec::new(),
            boundaries: boundaries.iter().map(|&boundary| boundary.to_owned()).collect(),
        };
        let sound = told(&["0-67", "70-z"], &["61-62"]);
        assert!(!sound.contradicts(&set(&["g", "p"])));
        assert!(sound.contradicts(&set(&["g", "q"])) && sound.contradicts(&set(&["p"])));
        assert!(!told(&["0-67", "61-62"], &[]).contradicts(&set(&["g"])), "one of them is foreign");
        let by_shards =
            |files| Told::of(partitions(&["0-67"]), partitions(&["67-z"]).into_iter().map(|each| (each, files)));
        assert!(by_shards(TableKind::ALL.len()).contradicts(&set(&["g", "p"])));
        assert!(!by_shards(1).contradicts(&set(&["g", "p"])), "a copy of one shard says nothing");
    }

    #[test]
    fn a_file_name_without_a_range_is_ignored() {
        for stem in ["notes", "70-67", "67-67", "0-6", "67~x-z"] {
            assert_eq!(exactly(stem), None, "{stem}");
        }
    }
}
