//! The facts of a document that events are about. A value of another shape than documented is read as the tables read it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use crate::npm::Representation;
use crate::npm::json::{Kind, RawString};
use crate::npm::packument::{DistMember, DocumentMember, Outline, VersionMember, VersionOutline};
use crate::table::hooks::DocumentMembers;
use crate::table::limits;
use crate::table::quirks::QuirksTable;
use crate::table::read::{Reader, has_control_character};
use crate::table::scripts::INSTALL_SCRIPTS;
use crate::table::times::{Times, publication_order};
use crate::table::versions::VersionValues;

/// The members whose dependencies are installed with the package. The first one that names a dependency counts.
const INSTALLED: [VersionMember; 3] =
    [VersionMember::Dependencies, VersionMember::OptionalDependencies, VersionMember::PeerDependencies];

/// A document's text, and the places of its parts.
pub(super) struct Source<'a> {
    name: &'a str,
    representation: Representation,
    text: Cow<'a, str>,
    outline: Outline,
    has_control_characters: bool,
}

/// A document as events see it.
pub(super) struct Facts<'s> {
    source: &'s Source<'s>,
    pub(super) is_tombstone: bool,
    /// Whether the form has all members; the abbreviated one lacks maintainers, publishers and more.
    pub(super) is_full: bool,
    /// The versions in the order of publication.
    pub(super) versions: Vec<VersionFacts<'s>>,
    places: HashMap<Cow<'s, str>, usize>,
    /// The versions that `time` names and `versions` does not.
    pub(super) vanished: HashSet<Cow<'s, str>>,
    pub(super) tags: BTreeMap<Cow<'s, str>, Option<Cow<'s, str>>>,
    pub(super) maintainers: BTreeMap<Cow<'s, str>, Option<Cow<'s, str>>>,
    pub(super) license: Option<Cow<'s, str>>,
    pub(super) repository: Option<Cow<'s, str>>,
}

/// A version as events see it.
pub(super) struct VersionFacts<'s> {
    pub(super) key: Cow<'s, str>,
    pub(super) deprecated: Option<Cow<'s, str>>,
    pub(super) publisher: Option<Cow<'s, str>>,
    place: usize,
}

/// The rest of a version, read only of new ones and of those that they are compared with.
pub(super) struct ReleaseFacts<'s> {
    /// The scripts that run on install, each with its command.
    pub(super) install_scripts: BTreeMap<Cow<'s, str>, Cow<'s, str>>,
    /// The dependencies that are installed with it, each with its range.
    pub(super) dependencies: BTreeMap<Cow<'s, str>, Option<Cow<'s, str>>>,
    /// The kind of its provenance; empty if that is not said.
    pub(super) provenance: Option<Cow<'s, str>>,
    /// The service that published it without a user's token; empty if it is not named.
    pub(super) trusted_publisher: Option<Cow<'s, str>>,
}

impl<'a> Source<'a> {
    /// Reads the outline of a document; `None` if it is malformed.
    pub(super) fn read(name: &'a str, representation: Representation, bytes: &'a [u8]) -> Option<Source<'a>> {
        let text = match String::from_utf8_lossy(bytes) {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
            Cow::Owned(text) => Cow::Owned(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)),
        };
        let mut outline = Outline::default();
        outline.read(&text).ok()?;
        limits::check(&outline, &text, name).ok()?;
        let has_control_characters = has_control_character(text.as_bytes());
        Some(Source { name, representation, text, outline, has_control_characters })
    }

    /// Reads its facts.
    pub(super) fn facts(&self) -> Facts<'_> {
        // The tables note what did not fit.
        let mut quirks = QuirksTable::default();
        let mut reader = self.members().reader(None, &mut quirks);
        let raw = |member| self.outline.member(&self.text, member);
        let mut times = Times::read(&mut reader, raw(DocumentMember::Time));
        let outlines = self.outline.versions();
        let keys: Vec<Cow<'_, str>> = outlines.iter().map(|version| self.key(&mut reader, version)).collect();
        let order = publication_order(&times.published_at(&mut reader, &keys));
        let vanished = times.forgotten(&mut reader, &keys).into_iter().map(|forgotten| forgotten.version).collect();
        let mut versions: Vec<(i64, VersionFacts<'_>)> = Vec::with_capacity(keys.len());
        for (((place, version), key), index) in outlines.iter().enumerate().zip(keys).zip(order) {
            if version.members.is_some() {
                let values = VersionValues::new(&self.text, &self.outline, version);
                let deprecated = reader.deprecated(values.raw(VersionMember::Deprecated));
                let publisher = reader.person("_npmUser", values.raw(VersionMember::NpmUser)).name;
                versions.push((index, VersionFacts { key, deprecated, publisher, place }));
            }
        }
        versions.sort_by_key(|(index, _)| *index);
        let versions: Vec<VersionFacts<'_>> = versions.into_iter().map(|(_, version)| version).collect();
        let places = versions.iter().enumerate().map(|(place, version)| (version.key.clone(), place)).collect();
        let mut maintainers = BTreeMap::new();
        reader.people("maintainers", raw(DocumentMember::Maintainers), |person| {
            if let Some(name) = person.name {
                maintainers.insert(name, person.email);
            }
        });
        let tags = raw(DocumentMember::DistTags).or_else(|| raw(DocumentMember::Tags));
        let tags = reader.entries("dist-tags", tags).unwrap_or_default();
        let tags = tags.into_iter().map(|entry| (entry.key, reader.text_or_first("dist-tags", Some(entry.raw))));
        let tags = tags.collect();
        let [license, licenses, licence] =
            [DocumentMember::License, DocumentMember::Licenses, DocumentMember::Licence].map(raw);
        let repository = raw(DocumentMember::Repository).or_else(|| raw(DocumentMember::Repositories));
        Facts {
            source: self,
            is_tombstone: versions.is_empty() && times.is_unpublished,
            is_full: self.representation == Representation::Full,
            versions,
            places,
            vanished,
            tags,
            maintainers,
            license: reader.license(license, licenses, licence),
            repository: reader.repository("repository", repository).url,
        }
    }

    fn members(&self) -> DocumentMembers<'_> {
        DocumentMembers {
            name: self.name,
            text: &self.text,
            outline: &self.outline,
            has_control_characters: self.has_control_characters,
        }
    }

    fn key(&self, reader: &mut Reader<'_>, version: &VersionOutline) -> Cow<'_, str> {
        reader.unescape("versions", RawString::of_inner(version.key.of(&self.text)))
    }
}

impl<'s> Facts<'s> {
    /// Returns the version of that number.
    pub(super) fn version(&self, key: &str) -> Option<&VersionFacts<'s>> {
        self.versions.get(*self.places.get(key)?)
    }

    /// Reads the rest of a version of this document.
    pub(super) fn release(&self, version: &VersionFacts<'s>) -> Option<ReleaseFacts<'s>> {
        let source = self.source;
        let outline = source.outline.versions().get(version.place)?;
        let values = VersionValues::new(&source.text, &source.outline, outline);
        let mut quirks = QuirksTable::default();
        let mut reader = source.members().reader(None, &mut quirks);
        let user = values.raw(VersionMember::NpmUser).filter(|user| Kind::of(user) == Kind::Object);
        let [trusted] = reader.pick("_npmUser", user, ["trustedPublisher"]);
        let [service] = reader.pick("_npmUser", trusted, ["id"]);
        let attestations = match values.dist {
            Some(dist) => dist.raw(&source.text, DistMember::Attestations),
            None => reader.pick("dist", values.raw(VersionMember::Dist), [DistMember::Attestations.key()])[0],
        };
        let [provenance] = reader.pick("dist", attestations, ["provenance"]);
        let [predicate] = reader.pick("dist", provenance, ["predicateType"]);
        let named = |text: Option<Cow<'s, str>>| text.unwrap_or_default();
        Some(ReleaseFacts {
            install_scripts: self.install_scripts(&mut reader, &values),
            dependencies: dependencies(&mut reader, &values),
            provenance: provenance.map(|_| named(reader.text("dist", predicate))),
            trusted_publisher: trusted.map(|_| named(reader.text("_npmUser", service))),
        })
    }

    fn install_scripts(
        &self,
        reader: &mut Reader<'_>,
        values: &VersionValues<'s>,
    ) -> BTreeMap<Cow<'s, str>, Cow<'s, str>> {
        if !self.is_full {
            // The abbreviated form says only that there is one.
            let member = VersionMember::HasInstallScript;
            let has_one = reader.boolean(member.key(), values.raw(member)) == Some(true);
            return has_one.then_some((Cow::Borrowed(member.key()), Cow::Borrowed("true"))).into_iter().collect();
        }
        let entries = reader.entries("scripts", values.raw(VersionMember::Scripts)).unwrap_or_default();
        let installing = entries.into_iter().filter(|entry| INSTALL_SCRIPTS.contains(&entry.key.as_ref()));
        let commands = installing.filter_map(|entry| Some((reader.unescape("scripts", entry.string()?), entry.key)));
        commands.filter(|(command, _)| !command.is_empty()).map(|(command, script)| (script, command)).collect()
    }
}

fn dependencies<'s>(
    reader: &mut Reader<'_>,
    values: &VersionValues<'s>,
) -> BTreeMap<Cow<'s, str>, Option<Cow<'s, str>>> {
    let mut found = BTreeMap::new();
    for member in INSTALLED {
        let Some(raw) = values.raw(member) else { continue };
        if Kind::of(raw) == Kind::Object {
            for entry in reader.entries(member.key(), Some(raw)).unwrap_or_default() {
                let range = entry.string().map(|range| reader.unescape(member.key(), range));
                found.entry(entry.key).or_insert(range);
            }
        } else {
            for (dependency, range) in reader.dependency_list(member.key(), raw) {
                found.entry(Cow::Owned(dependency)).or_insert(range.map(Cow::Owned));
            }
        }
    }
    found
}
