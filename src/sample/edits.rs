//! Edits of packages while a registry runs: versions come and go, packages die, events come late or never.
//!
//! The world's clock is its feed: the same edits give the same bytes. Not here: requests and responses.

use std::sync::Arc;

use super::document::Document;
use super::json::{Object, quoted};
use super::random::hash;
use super::small::{first_document, version_entry};
use super::world::{Departed, World};

/// 2026-11-10T00:00:00Z; the change with number n happens n seconds later.
const FIRST_SECOND: i64 = 1_794_268_800;

impl World {
    /// Publishes a version. Makes the package if there is none, or if its document cannot be understood. Otherwise adds
    /// the version, moves `latest` to it and advances the revision.
    pub fn publish(&mut self, name: &str, version: &str) {
        let (revision, time) = (self.next_revision(name), self.now());
        let entry = version_entry(name, version);
        let full = self.document(name).unwrap_or_default();
        let edited = Object::parse(&full).filter(|document| document.get_object("versions").is_some());
        let text = match edited {
            None => first_document(name, &revision, version, &time),
            Some(mut document) => {
                document.set_string("_rev", &revision);
                edit_member(&mut document, "versions", |versions| versions.set(version, entry));
                edit_member(&mut document, "dist-tags", |tags| tags.set_string("latest", version));
                edit_member(&mut document, "time", |times| {
                    times.set_string("modified", &time);
                    times.set_string(version, &time);
                });
                document.to_string()
            }
        };
        self.put(name, &revision, Document::from_bytes(text.into()));
    }

    /// Sets members of a document, or of one of its versions, to those of a JSON object; `null` removes one. Returns false,
    /// and does nothing, if there is no such package or version, or if `members` is no object.
    ///
    /// So a version is deprecated, a tag moved, a maintainer added, a script changed.
    pub fn set(&mut self, name: &str, version: Option<&str>, members: &str) -> bool {
        let (revision, time) = (self.next_revision(name), self.now());
        let Some(full) = self.document(name) else { return false };
        let (Some(mut document), Some(members)) = (Object::parse(&full), Object::parse(members.as_bytes())) else {
            return false;
        };
        let has_version = |version: &str| document.get_object("versions").is_some_and(|all| all.get(version).is_some());
        if version.is_some_and(|version| !has_version(version)) {
            return false;
        }
        document.set_string("_rev", &revision);
        edit_member(&mut document, "time", |times| times.set_string("modified", &time));
        match version {
            None => set_members(&mut document, &members),
            Some(version) => edit_member(&mut document, "versions", |versions| {
                edit_member(versions, version, |entry| set_members(entry, &members));
            }),
        }
        let text = document.to_string();
        self.put(name, &revision, Document::from_bytes(text.into()));
        true
    }

    /// Takes a version out of `versions`, and leaves its time. `latest` moves to the last version that remains. Does
    /// nothing for a package that does not exist.
    pub fn unpublish_version(&mut self, name: &str, version: &str) {
        let (revision, time) = (self.next_revision(name), self.now());
        let Some(full) = self.document(name) else { return };
        let Some(mut document) = Object::parse(&full) else { return };
        let mut last = None;
        document.set_string("_rev", &revision);
        edit_member(&mut document, "versions", |versions| {
            versions.remove(version);
            last = versions.iter().last().map(|(version, _)| version.to_owned());
        });
        edit_member(&mut document, "dist-tags", |tags| {
            let latest = tags.get_string("latest");
            match last {
                Some(last) if latest.as_deref() == Some(version) => tags.set_string("latest", &last),
                Some(_) => {}
                None => *tags = Object::default(),
            }
        });
        edit_member(&mut document, "time", |times| times.set_string("modified", &time));
        let text = document.to_string();
        self.put(name, &revision, Document::from_bytes(text.into()));
    }

    /// Unpublishes a package: it stays listed, and its document is a tombstone without `versions` and `dist-tags`.
    pub fn unpublish(&mut self, name: &str) {
        let (revision, time) = (self.next_revision(name), self.now());
        let text = self.tombstone(name, &revision, &time);
        self.put(name, &revision, Document::from_bytes(text.into()));
    }

    /// Deletes a package: no longer listed, 404, and a `deleted` row in the feed.
    pub fn delete(&mut self, name: &str) {
        self.depart(name, None);
    }

    /// Deletes a package whose address still returns 200 with a tombstone, as half of npm's deleted ones do.
    pub fn delete_leaving_tombstone(&mut self, name: &str) {
        let (revision, time) = (self.next_revision(name), self.now());
        let tombstone = Document::from_bytes(self.tombstone(name, &revision, &time).into());
        self.depart(name, Some(Arc::new(tombstone)));
    }

    /// Makes a name return 451, whatever it holds.
    pub fn block(&mut self, name: &str) {
        self.blocked.insert(name.into());
    }

    /// Moves a name's row in the feed to a number of the caller's choice, which may lie behind one already read: the
    /// late event. Returns false when the name has no row or the number is taken.
    pub fn place_change_at(&mut self, name: &str, seq: u64) -> bool {
        if self.feed.contains_key(&seq) {
            return false;
        }
        let Some(old) = self.change_number(name) else { return false };
        let Some(shared) = self.feed.remove(&old) else { return false };
        self.feed.insert(seq, shared);
        self.update_seq = self.update_seq.max(seq);
        self.set_change_number(name, seq);
        true
    }

    /// Takes a name's row out of the feed: the lost event. The listing and the document do not change.
    pub fn forget_change(&mut self, name: &str) {
        if let Some(seq) = self.change_number(name) {
            self.feed.remove(&seq);
        }
    }

    /// Sets the newest number of the feed, which may be lower than its rows': the head that regressed.
    pub fn set_update_seq(&mut self, update_seq: u64) {
        self.update_seq = update_seq;
    }

    fn depart(&mut self, name: &str, tombstone: Option<Arc<Document>>) {
        let revision = self.next_revision(name);
        let Ok(position) = self.position(name) else { return };
        let package = self.packages.remove(position);
        self.feed.remove(&package.seq);
        let seq = self.announce(&package.name);
        self.departed.insert(package.name, Departed { seq, revision, tombstone });
    }

    fn change_number(&self, name: &str) -> Option<u64> {
        self.find(name).map(|package| package.seq).or_else(|| self.departed.get(name).map(|departed| departed.seq))
    }

    fn set_change_number(&mut self, name: &str, seq: u64) {
        if let Ok(position) = self.position(name) {
            if let Some(package) = self.packages.get_mut(position) {
                package.seq = seq;
            }
        } else if let Some(departed) = self.departed.get_mut(name) {
            departed.seq = seq;
        }
    }

    fn next_revision(&self, name: &str) -> String {
        let departed = || self.departed.get(name).map(|departed| departed.revision.clone());
        let current = self.revision(name).or_else(departed).unwrap_or_default();
        let generation = current.split('-').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        format!("{}-{:032x}", generation + 1, hash(format!("{name} {current} {}", self.update_seq).as_bytes()))
    }

    fn now(&self) -> String {
        time_of_change(self.update_seq)
            .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string())
            .unwrap_or_default()
    }

    fn tombstone(&self, name: &str, revision: &str, time: &str) -> String {
        let full = self.document(name).unwrap_or_default();
        let old = Object::parse(&full).unwrap_or_default();
        let mut times = old.get_object("time").unwrap_or_default();
        let versions: Vec<String> = old
            .get_object("versions")
            .map(|versions| versions.iter().map(|(version, _)| quoted(version)).collect())
            .unwrap_or_default();
        times.set_string("modified", time);
        times.set("unpublished", format!(r#"{{"time":{},"versions":[{}]}}"#, quoted(time), versions.join(",")));
        let mut tombstone = Object::default();
        tombstone.set_string("_id", name);
        tombstone.set_string("name", name);
        tombstone.set_string("_rev", revision);
        tombstone.set("time", times.to_string());
        if let Some(maintainers) = old.get("maintainers") {
            tombstone.set("maintainers", maintainers.to_owned());
        }
        tombstone.to_string()
    }
}

/// Returns the time of the change with this number; `None` for a number beyond the calendar.
pub(super) fn time_of_change(seq: u64) -> Option<jiff::Timestamp> {
    let seconds = i64::try_from(seq).ok().and_then(|seq| seq.checked_add(FIRST_SECOND))?;
    jiff::Timestamp::from_second(seconds).ok()
}

fn set_members(object: &mut Object<'_>, members: &Object<'_>) {
    for (name, raw) in members.iter() {
        match raw {
            "null" => drop(object.remove(name)),
            _ => object.set(name, raw.to_owned()),
        }
    }
}

fn edit_member(document: &mut Object<'_>, name: &str, edit: impl FnOnce(&mut Object<'_>)) {
    let raw = document.get(name).unwrap_or("{}").to_owned();
    let mut member = Object::parse(raw.as_bytes()).unwrap_or_default();
    edit(&mut member);
    document.set(name, member.to_string());
}
