//! The `time` member of a document: the times of its creation, its last change, and the publication of each version.

use std::borrow::Cow;

use super::read::{Entry, Reader};
use crate::npm::QuirkCode;
use crate::npm::json::Kind;

/// The keys of `time` that are no version.
const RESERVED: [&str; 3] = ["created", "modified", "unpublished"];

/// The content of `time`.
#[derive(Debug, Default)]
pub(super) struct Times<'v> {
    /// The time of the document's creation, in microseconds since 1970, as all times here.
    pub(super) created_at: Option<i64>,
    /// The time of its last change.
    pub(super) modified_at: Option<i64>,
    /// The time at which the whole package was unpublished.
    pub(super) unpublished_at: Option<i64>,
    /// Whether it says that the whole package was unpublished.
    pub(super) is_unpublished: bool,
    /// The versions that a whole package had when it was unpublished.
    pub(super) unpublished_versions: Vec<Cow<'v, str>>,
    /// The other entries.
    versions: Vec<Entry<'v>>,
    /// Whether an entry belongs to a version of `versions`.
    is_published: Vec<bool>,
}

/// A version that is in `time` but not in `versions`.
pub(super) struct Forgotten<'v> {
    pub(super) version: Cow<'v, str>,
    pub(super) published_at: Option<i64>,
}

impl<'v> Times<'v> {
    /// Reads `raw`, the value of `time`.
    pub(super) fn read(reader: &mut Reader<'_>, raw: Option<&'v str>) -> Self {
        let mut times = Times::default();
        for entry in reader.entries("time", raw).unwrap_or_default() {
            match entry.key.as_ref() {
                "created" => times.created_at = reader.time("time.created", Some(entry.raw)),
                "modified" => times.modified_at = reader.time("time.modified", Some(entry.raw)),
                "unpublished" => times.read_unpublished(reader, entry.raw),
                _ => times.versions.push(entry),
            }
        }
        times.is_published = vec![false; times.versions.len()];
        times
    }

    fn read_unpublished(&mut self, reader: &mut Reader<'_>, raw: &'v str) {
        self.is_unpublished = Kind::of(raw) != Kind::Null;
        if Kind::of(raw) == Kind::String {
            self.unpublished_at = reader.time("time.unpublished", Some(raw));
            return;
        }
        let [time, versions] = reader.pick("time.unpublished", Some(raw), ["time", "versions"]);
        self.unpublished_at = reader.time("time.unpublished.time", time);
        let versions = reader.text_list("time.unpublished.versions", versions);
        self.unpublished_versions = versions.unwrap_or_default();
    }

    /// Returns the publication time of each of `keys`, the versions of the document.
    pub(super) fn published_at(&mut self, reader: &mut Reader<'_>, keys: &[Cow<'v, str>]) -> Vec<Option<i64>> {
        let mut places: Option<hashbrown::HashMap<&str, usize>> = None;
        let mut next = 0;
        let mut published = Vec::with_capacity(keys.len());
        for key in keys {
            // Nearly always `time` lists the versions in the order of `versions`.
            let place = if self.versions.get(next).is_some_and(|entry| entry.key == *key) {
                Some(next)
            } else {
                let places = places.get_or_insert_with(|| {
                    self.versions.iter().enumerate().map(|(place, entry)| (entry.key.as_ref(), place)).collect()
                });
                places.get(key.as_ref()).copied()
            };
            let Some((place, entry)) = place.and_then(|place| self.versions.get(place).map(|entry| (place, entry)))
            else {
                published.push(None);
                continue;
            };
            next = place + 1;
            if let Some(mark) = self.is_published.get_mut(place) {
                *mark = true;
            }
            published.push(read_version_time(reader, key, entry.raw));
        }
        published
    }

    /// Returns the versions that are in `time` but not in `versions`. Call it after [`Times::published_at`]. For a
    /// package that was unpublished as a whole it includes those that only `time.unpublished` lists.
    pub(super) fn forgotten(&self, reader: &mut Reader<'_>, keys: &[Cow<'v, str>]) -> Vec<Forgotten<'v>> {
        let unpublished = self.versions.iter().zip(&self.is_published).filter(|(_, is_published)| !**is_published);
        let mut forgotten = Vec::new();
        for (entry, _) in unpublished {
            let published_at = read_version_time(reader, &entry.key, entry.raw);
            forgotten.push(Forgotten { version: entry.key.clone(), published_at });
        }
        if !self.unpublished_versions.is_empty() {
            let mut known: hashbrown::HashSet<&str> = self.versions.iter().map(|entry| entry.key.as_ref()).collect();
            known.extend(keys.iter().map(AsRef::as_ref));
            for version in &self.unpublished_versions {
                if known.insert(version) && !RESERVED.contains(&version.as_ref()) {
                    forgotten.push(Forgotten { version: version.clone(), published_at: None });
                }
            }
        }
        forgotten
    }
}

fn read_version_time(reader: &mut Reader<'_>, version: &str, raw: &str) -> Option<i64> {
    if let Some(micros) = crate::npm::timestamp::parse_quoted_micros(raw) {
        return Some(micros);
    }
    if raw != "null" {
        reader.quirks.push(reader.name, Some(version), Some("time"), QuirkCode::NotATime, raw);
    }
    None
}

/// Returns the place of each version in the order of publication, from 0. A version without a time counts as published
/// with the one before it in the document. The order of the document decides between equal times.
pub(super) fn publication_order(published_at: &[Option<i64>]) -> Vec<i64> {
    let mut last = i64::MIN;
    let mut keys: Vec<(i64, usize)> = Vec::with_capacity(published_at.len());
    for (place, micros) in published_at.iter().enumerate() {
        last = micros.unwrap_or(last);
        keys.push((last, place));
    }
    keys.sort_unstable();
    let mut order = vec![0; keys.len()];
    for (rank, (_, place)) in keys.into_iter().enumerate() {
        if let Some(slot) = order.get_mut(place) {
            *slot = rank as i64;
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_publication() {
        assert_eq!(publication_order(&[Some(5), Some(3), None, Some(4), Some(3)]), [4, 0, 1, 3, 2]);
        assert_eq!(publication_order(&[None, None, Some(1)]), [0, 1, 2]);
    }
}
