//! A partition: a half-open range of names that is stored separately; and the ordered set of partitions that covers all
//! names.

use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

/// The longest file stem that is written out in full. File systems allow 255 bytes, suffixes included; derived
/// boundaries are far shorter, but a pivots file may name any key.
const MAX_STEM_BYTES: usize = 200;

/// Names from `start` (inclusive) to `end` (exclusive), by bytes. `None` is an open end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The least name in it.
    pub start: Option<String>,
    /// The least name above it.
    pub end: Option<String>,
}

impl Partition {
    /// The partition of all names.
    pub const ALL: Partition = Partition { start: None, end: None };

    /// Returns whether `name` is in it.
    pub fn contains(&self, name: &str) -> bool {
        self.start.as_deref().is_none_or(|start| start <= name) && self.is_below_end(name)
    }

    /// Returns whether `name` is below its end.
    pub fn is_below_end(&self, name: &str) -> bool {
        self.end.as_deref().is_none_or(|end| name < end)
    }

    /// Returns the file name of its shards without suffix: `hex(start)-hex(end)`, with `0` for an open start and `z`
    /// for an open end. Neither is hex of a name, and both sort into their place. (`_`, as in keys, would not do:
    /// pyarrow and Spark skip files whose name begins with an underscore.) If that is longer than a file system allows,
    /// each end is the hex of its first 24 bytes, `~`, and 16 digits of its SHA-256.
    pub fn file_stem(&self) -> String {
        let hex_or = |end: Option<&str>, open: &str| end.map_or_else(|| open.to_owned(), hex_key);
        let full = format!("{}-{}", hex_or(self.start.as_deref(), "0"), hex_or(self.end.as_deref(), "z"));
        if full.len() <= MAX_STEM_BYTES {
            return full;
        }
        format!("{}-{}", short_end(self.start.as_deref(), "0"), short_end(self.end.as_deref(), "z"))
    }

    /// Returns the range that a file stem spells, `None` if the text is no stem. An end that the stem had to shorten is
    /// open here, so the range may be wider than the partition, never narrower.
    pub fn from_file_stem(stem: &str) -> Option<Partition> {
        let (start, end) = stem.split_once('-')?;
        Some(Partition { start: stem_end(start, "0")?, end: stem_end(end, "z")? })
    }

    /// Returns the key by which work items and caches name it: `v1:partition:{origin}:{hex(start)}:{hex(end)}`.
    pub fn key(&self, origin: &str) -> String {
        format!("v1:partition:{origin}:{}:{}", hex_end(self.start.as_deref()), hex_end(self.end.as_deref()))
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.start {
            Some(start) => write!(f, "[{start:?}, ")?,
            None => f.write_str("[start, ")?,
        }
        match &self.end {
            Some(end) => write!(f, "{end:?})"),
            None => f.write_str("end)"),
        }
    }
}

/// Returns the lower-case hex of a text's UTF-8 bytes, as keys and file names spell it.
pub fn hex_key(text: &str) -> String {
    hex(text.as_bytes())
}

/// Returns the lower-case hex of bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn hex_end(end: Option<&str>) -> String {
    end.map_or_else(|| "_".to_owned(), hex_key)
}

/// Parses an end as a stem spells it: `Some(None)` if it is open or was shortened, `None` if it is not one.
fn stem_end(spelled: &str, open: &str) -> Option<Option<String>> {
    if spelled == open || spelled.contains('~') {
        return Some(None);
    }
    let (pairs, rest) = spelled.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|&[high, low]| Some(nibble(high)? << 4 | nibble(low)?)).collect();
    if rest.is_empty() { String::from_utf8(bytes?).ok().map(Some) } else { None }
}

fn nibble(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn short_end(end: Option<&str>, open: &str) -> String {
    let Some(end) = end else { return open.to_owned() };
    let head = &end.as_bytes()[..end.len().min(24)];
    format!("{}~{}", hex(head), &hex(&Sha256::digest(end.as_bytes()))[..16])
}

/// The partitions of an origin, in order and without gaps: N boundaries make N+1 partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSet {
    /// [`crate::version::FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The wanted number of rows per partition when the set was derived; `None` for ranges that were kept as they were.
    pub rows_per_partition: Option<u64>,
    /// The pivots from which the set was derived.
    pub pivots: Vec<String>,
    /// The inner boundaries, strictly ascending by bytes. A file with boundaries in another order is refused: look-ups
    /// would search names in the wrong partition.
    #[serde(deserialize_with = "ascending")]
    pub boundaries: Vec<String>,
}

fn ascending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let boundaries = Vec::<String>::deserialize(deserializer)?;
    match boundaries.is_sorted_by(|one, next| one < next) {
        true => Ok(boundaries),
        false => Err(D::Error::custom("its boundaries do not ascend")),
    }
}

impl PartitionSet {
    /// Returns how many partitions there are: one more than boundaries.
    pub fn count(&self) -> usize {
        self.boundaries.len() + 1
    }

    /// Returns the partition at `index`, counted from 0; an open one above the last boundary.
    pub fn get(&self, index: usize) -> Partition {
        let start = index.checked_sub(1).and_then(|before| self.boundaries.get(before)).cloned();
        Partition { start, end: self.boundaries.get(index).cloned() }
    }

    /// Returns all partitions in order.
    pub fn iter(&self) -> impl Iterator<Item = Partition> + '_ {
        (0..self.count()).map(|index| self.get(index))
    }

    /// Returns a short name of the set: two sets with the same boundaries have the same one.
    pub fn id(&self) -> String {
        let mut digest = Sha256::new();
        for boundary in &self.boundaries {
            digest.update((boundary.len() as u64).to_be_bytes());
            digest.update(boundary.as_bytes());
        }
        hex(&digest.finalize()[..8])
    }

    /// Returns whether a partition is one of the set.
    pub fn has(&self, partition: &Partition) -> bool {
        self.get(self.index_of(partition.start.as_deref().unwrap_or_default())) == *partition
    }

    /// Returns the index of the partition of `name`.
    pub fn index_of(&self, name: &str) -> usize {
        self.boundaries.partition_point(|boundary| boundary.as_str() <= name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(boundaries: &[&str]) -> PartitionSet {
        let boundaries = boundaries.iter().map(|&boundary| boundary.to_owned()).collect();
        PartitionSet { format_version: 1, rows_per_partition: None, pivots: Vec::new(), boundaries }
    }

    #[test]
    fn every_name_is_in_exactly_one_partition() {
        let set = set(&["a", "b"]);
        for name in ["", "-", "a", "a0", "b", "z", "\u{10ffff}"] {
            let holders: Vec<_> = set.iter().enumerate().filter(|(_, partition)| partition.contains(name)).collect();
            assert_eq!(holders.len(), 1, "{name:?}");
            assert_eq!(holders[0].0, set.index_of(name), "{name:?}");
        }
    }

    #[test]
    fn boundaries_that_do_not_ascend_are_refused() {
        for (boundaries, is_good) in [(r#"["a","b"]"#, true), (r#"["b","a"]"#, false), (r#"["a","a"]"#, false)] {
            let text =
                format!(r#"{{"format_version":1,"rows_per_partition":null,"pivots":[],"boundaries":{boundaries}}}"#);
            assert_eq!(serde_json::from_str::<PartitionSet>(&text).is_ok(), is_good, "{boundaries}");
        }
    }

    #[test]
    fn stems_and_keys_are_hex_with_open_ends() {
        let stems: Vec<_> = set(&["a", "b"]).iter().map(|partition| partition.file_stem()).collect();
        assert_eq!(stems, ["0-61", "61-62", "62-z"]);
        assert_eq!(set(&["a", "b"]).get(1).key("npm"), "v1:partition:npm:61:62");
    }

    #[test]
    fn a_stem_contains_its_range_and_never_a_narrower_one() {
        let set = set(&["@scope/a", "b", "\u{e4}"]);
        for partition in set.iter() {
            assert_eq!(Partition::from_file_stem(&partition.file_stem()), Some(partition));
        }
        let long = Partition { start: Some("x".repeat(214)), end: Some("y".to_owned()) };
        let told = Partition::from_file_stem(&long.file_stem());
        assert_eq!(told, Some(Partition { start: None, end: None }));
        for no_stem in ["", "61", "6-62", "zz-62", "ff-z", "_-62"] {
            assert_eq!(Partition::from_file_stem(no_stem), None, "{no_stem}");
        }
    }

    #[test]
    fn long_boundaries_make_short_distinct_stems() {
        let long = "x".repeat(214);
        let one = Partition { start: Some(long.clone() + "a"), end: Some(long.clone() + "b") };
        let two = Partition { start: Some(long.clone() + "b"), end: Some(long + "c") };
        assert!(one.file_stem().len() < 200);
        assert_ne!(one.file_stem(), two.file_stem());
    }
}
