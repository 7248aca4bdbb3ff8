//! Compares the document of a package that the lake held with the one that replaces it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashbrown::HashSet;

use super::document::{Facts, ReleaseFacts, Source, VersionFacts};
use super::kind::EventKind;
use crate::npm::Representation;
use crate::npm::semver::Semver;

/// The longest text of an event in bytes. A document may have scripts and messages of any size.
const MAX_TEXT_BYTES: usize = 4 << 10;

/// A document of a package, in one form.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// Its form.
    pub representation: Representation,
    /// The bytes that the registry served.
    pub bytes: &'a [u8],
}

/// Something that happened between two documents of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// What happened.
    pub kind: EventKind,
    /// The version to which it happened; `None` if to the package.
    pub version: Option<String>,
    /// Which tag, maintainer, publisher, dependency or script.
    pub subject: Option<String>,
    /// The value before.
    pub before: Option<String>,
    /// The value after.
    pub after: Option<String>,
}

impl Happening {
    /// Makes a happening without any value.
    pub fn of(kind: EventKind) -> Happening {
        Happening { kind, version: None, subject: None, before: None, after: None }
    }

    fn version(self, version: &str) -> Happening {
        Happening { version: Some(bounded(version)), ..self }
    }

    fn subject(self, subject: &str) -> Happening {
        Happening { subject: Some(bounded(subject)), ..self }
    }

    fn values(self, before: Option<&str>, after: Option<&str>) -> Happening {
        Happening { before: before.map(bounded), after: after.map(bounded), ..self }
    }
}

fn bounded(text: &str) -> String {
    match text.len() <= MAX_TEXT_BYTES {
        true => text.to_owned(),
        false => format!("{}…", &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]),
    }
}

/// Returns what happened to the package `name` between two of its documents; `None` means that there is none. Equal
/// documents have no events, and neither has a pair of which one is malformed.
///
/// Members that one of the two forms lacks are not compared.
pub fn compare(name: &str, old: Option<Compared<'_>>, new: Option<Compared<'_>>) -> Vec<Happening> {
    if let (Some(old), Some(new)) = (old, new)
        && old.bytes == new.bytes
    {
        return Vec::new();
    }
    // A malformed document says nothing about its package.
    let (Some(old), Some(new)) = (read_if_any(name, old), read_if_any(name, new)) else { return Vec::new() };
    let (old, new) = (old.as_ref().map(Source::facts), new.as_ref().map(Source::facts));
    let is_live = |facts: &Option<Facts<'_>>| facts.as_ref().is_some_and(|facts| !facts.is_tombstone);
    let kind = match (&old, &new) {
        (Some(old), Some(new)) if !old.is_tombstone && !new.is_tombstone => return live(old, new),
        (None, Some(new)) if !new.is_tombstone => EventKind::PackageAdded,
        (Some(old), Some(new)) if old.is_tombstone && !new.is_tombstone => EventKind::PackageRestored,
        (Some(_), Some(_)) if is_live(&old) => EventKind::PackageUnpublished,
        (Some(_), None) if is_live(&old) => EventKind::PackageRemoved,
        _ => return Vec::new(),
    };
    vec![Happening::of(kind)]
}

/// Reads a document if there is one. `None` if it is malformed.
fn read_if_any<'a>(name: &'a str, side: Option<Compared<'a>>) -> Option<Option<Source<'a>>> {
    match side {
        None => Some(None),
        Some(side) => Source::read(name, side.representation, side.bytes).map(Some),
    }
}

/// Compares two documents that both have versions, or could have.
fn live(old: &Facts<'_>, new: &Facts<'_>) -> Vec<Happening> {
    let mut found = Vec::new();
    versions(old, new, &mut found);
    releases(old, new, &mut found);
    tags(old, new, &mut found);
    if old.is_full && new.is_full {
        people(old, new, &mut found);
        let changed = [
            (EventKind::LicenseChanged, &old.license, &new.license),
            (EventKind::RepositoryChanged, &old.repository, &new.repository),
        ];
        for (kind, before, after) in changed {
            if before != after {
                found.push(Happening::of(kind).values(before.as_deref(), after.as_deref()));
            }
        }
    }
    found
}

/// Finds versions that came and went, and their deprecation.
fn versions(old: &Facts<'_>, new: &Facts<'_>, found: &mut Vec<Happening>) {
    for version in &new.versions {
        let held = old.version(&version.key);
        if held.is_none() {
            let kind = match old.vanished.contains(&version.key) {
                true => EventKind::VersionRepublished,
                false => EventKind::VersionPublished,
            };
            found.push(Happening::of(kind).version(&version.key));
        }
        let (before, after) = (held.and_then(|held| held.deprecated.as_deref()), version.deprecated.as_deref());
        if before != after {
            let kind = if after.is_some() { EventKind::Deprecated } else { EventKind::Undeprecated };
            found.push(Happening::of(kind).version(&version.key).values(before, after));
        }
    }
    let gone = old.versions.iter().filter(|version| new.version(&version.key).is_none());
    found.extend(gone.map(|version| Happening::of(EventKind::VersionUnpublished).version(&version.key)));
}

/// Compares each new version with the one before it.
fn releases(old: &Facts<'_>, new: &Facts<'_>, found: &mut Vec<Happening>) {
    let Some(newest) = new.versions.iter().rposition(|version| old.version(&version.key).is_none()) else { return };
    let mut publishers: HashSet<&str> =
        old.versions.iter().filter_map(|version| version.publisher.as_deref()).collect();
    let (mut earlier, mut held) = (Earlier::default(), Earlier::default());
    for (place, version) in new.versions.iter().enumerate() {
        let is_new = old.version(&version.key).is_none();
        if is_new {
            // The last case: all earlier versions are gone.
            let of_old = old.versions.last().filter(|_| old.is_full == new.is_full);
            let before = match earlier.before(&version.key) {
                Some(before) => new.release(before).map(|release| (before, release)),
                None => of_old.and_then(|before| Some((before, old.release(before)?))),
            };
            if place == newest {
                let held = held.before(&version.key).and_then(|before| new.release(before));
                let held = held.or_else(|| of_old.and_then(|before| old.release(before)));
                if let Some((before, after)) = held.zip(new.release(version)) {
                    dependencies(&version.key, &before, &after, found);
                }
            }
            let by = before.as_ref().and_then(|(before, _)| before.publisher.as_deref());
            if let Some(publisher) = version.publisher.as_deref()
                // Without any known publisher it is not known who is new.
                && !publishers.is_empty()
                && !publishers.contains(publisher)
            {
                let happening = Happening::of(EventKind::PublisherNew).version(&version.key).subject(publisher);
                found.push(happening.values(by, Some(publisher)));
            }
            if let (Some((_, before)), Some(after)) = (before, new.release(version)) {
                release_changes(&version.key, &before, &after, found);
            }
        }
        publishers.extend(version.publisher.as_deref());
        earlier.push(version);
        if !is_new {
            held.push(version);
        }
    }
}

/// The versions that were published before another one.
#[derive(Default)]
struct Earlier<'f, 's> {
    by_number: BTreeMap<String, &'f VersionFacts<'s>>,
    last: Option<&'f VersionFacts<'s>>,
}

impl<'f, 's> Earlier<'f, 's> {
    fn push(&mut self, version: &'f VersionFacts<'s>) {
        self.by_number.extend(Semver::parse(&version.key).map(|number| (number.sort_key(), version)));
        self.last = Some(version);
    }

    /// Returns the version to compare a new one with: the greatest of the lower ones, by the rules of semver; if there
    /// is none, the last one. So a fix of an old line is compared with that line.
    fn before(&self, version: &str) -> Option<&'f VersionFacts<'s>> {
        let lower = Semver::parse(version).and_then(|number| self.by_number.range(..number.sort_key()).next_back());
        lower.map(|(_, version)| *version).or(self.last)
    }
}

/// Compares the dependencies of the newest version with those of a version that was there before.
fn dependencies(version: &str, before: &ReleaseFacts<'_>, after: &ReleaseFacts<'_>, found: &mut Vec<Happening>) {
    let happening = |kind, dependency| Happening::of(kind).version(version).subject(dependency);
    for (dependency, range) in &after.dependencies {
        if !before.dependencies.contains_key(dependency) {
            found.push(happening(EventKind::DependencyAdded, dependency).values(None, range.as_deref()));
        }
    }
    for (dependency, range) in &before.dependencies {
        if !after.dependencies.contains_key(dependency) {
            found.push(happening(EventKind::DependencyRemoved, dependency).values(range.as_deref(), None));
        }
    }
}

fn release_changes(version: &str, before: &ReleaseFacts<'_>, after: &ReleaseFacts<'_>, found: &mut Vec<Happening>) {
    let happening = |kind| Happening::of(kind).version(version);
    for (script, command) in &after.install_scripts {
        let earlier = before.install_scripts.get(script);
        let kind = match earlier {
            None => EventKind::InstallScriptAdded,
            Some(earlier) if earlier != command => EventKind::InstallScriptChanged,
            Some(_) => continue,
        };
        found.push(happening(kind).subject(script).values(earlier.map(Cow::as_ref), Some(command)));
    }
    for (script, command) in &before.install_scripts {
        if !after.install_scripts.contains_key(script) {
            found.push(happening(EventKind::InstallScriptRemoved).subject(script).values(Some(command), None));
        }
    }
    let mut gained_or_lost =
        |[gained, lost]: [EventKind; 2], before: &Option<Cow<'_, str>>, after: &Option<Cow<'_, str>>| {
            let kind = match (before, after) {
                (None, Some(_)) => gained,
                (Some(_), None) => lost,
                _ => return,
            };
            found.push(happening(kind).values(before.as_deref(), after.as_deref()));
        };
    gained_or_lost([EventKind::ProvenanceGained, EventKind::ProvenanceLost], &before.provenance, &after.provenance);
    let kinds = [EventKind::TrustedPublishingGained, EventKind::TrustedPublishingLost];
    gained_or_lost(kinds, &before.trusted_publisher, &after.trusted_publisher);
}

fn tags(old: &Facts<'_>, new: &Facts<'_>, found: &mut Vec<Happening>) {
    for (tag, version) in &new.tags {
        let (before, after) = (old.tags.get(tag), version.as_deref());
        let kind = match before {
            None => EventKind::DistTagAdded,
            Some(before) if before.as_deref() != after => EventKind::DistTagMoved,
            Some(_) => continue,
        };
        let happening = Happening::of(kind).subject(tag).values(before.and_then(|before| before.as_deref()), after);
        found.push(Happening { version: happening.after.clone(), ..happening });
    }
    for (tag, version) in old.tags.iter().filter(|(tag, _)| !new.tags.contains_key(*tag)) {
        let happening = Happening::of(EventKind::DistTagRemoved).subject(tag).values(version.as_deref(), None);
        found.push(Happening { version: happening.before.clone(), ..happening });
    }
}

fn people(old: &Facts<'_>, new: &Facts<'_>, found: &mut Vec<Happening>) {
    for (name, email) in new.maintainers.iter().filter(|(name, _)| !old.maintainers.contains_key(*name)) {
        found.push(Happening::of(EventKind::MaintainerAdded).subject(name).values(None, email.as_deref()));
    }
    for (name, email) in old.maintainers.iter().filter(|(name, _)| !new.maintainers.contains_key(*name)) {
        found.push(Happening::of(EventKind::MaintainerRemoved).subject(name).values(email.as_deref(), None));
    }
}
