//! The hooks of a table of documents: it receives the members of each document, and of each of its versions.

use super::quirks::QuirksTable;
use super::read::{Entry, Reader};
use super::versions::{VersionFacts, VersionValues};
use crate::npm::packument::{DocumentMember, Outline};

/// A table whose rows come from the members of documents or of versions. Each default method does nothing. A table keeps
/// the default of a hook that it does not need, or that needs facts of other tables too: `document` calls that by name.
pub(super) trait DocumentTable {
    /// Adds the rows of a document's own members, before those of its versions.
    fn push_document(&mut self, _reader: &mut Reader<'_>, _document: &DocumentMembers<'_>) {}

    /// Adds the rows of a version that is an object.
    fn push_version<'t>(&mut self, _reader: &mut Reader<'_>, _version: &mut VersionMembers<'_, 't>) {}

    /// Sets the name of the rows since the last call: they all belong to `package`.
    fn end_package(&mut self, _package: &str) {}
}

/// A document whose members are read.
#[derive(Clone, Copy)]
pub(super) struct DocumentMembers<'t> {
    /// The package's name.
    pub(super) name: &'t str,
    pub(super) text: &'t str,
    pub(super) outline: &'t Outline,
    /// Whether it contains a control character.
    pub(super) has_control_characters: bool,
}

impl<'t> DocumentMembers<'t> {
    /// Returns the text of a member; `None` if it is absent or `null`.
    pub(super) fn raw(&self, member: DocumentMember) -> Option<&'t str> {
        self.outline.member(self.text, member)
    }

    /// Returns a reader of its members, or of those of `version`.
    pub(super) fn reader<'r>(&self, version: Option<&'r str>, quirks: &'r mut QuirksTable) -> Reader<'r>
    where
        't: 'r,
    {
        Reader { name: self.name, version, has_control_characters: self.has_control_characters, quirks }
    }
}

/// A version whose members are read.
pub(super) struct VersionMembers<'a, 't> {
    pub(super) values: VersionValues<'t>,
    /// The facts known of it, and those that tables find out for the row in `versions`.
    pub(super) facts: VersionFacts<'a>,
    /// Meaningless between two calls; kept only for its allocation.
    pub(super) entries: &'a mut Vec<Entry<'t>>,
}
