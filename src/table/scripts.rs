//! The `scripts` table: a script of a version.

use std::ops::Range;

use super::column::{BooleanColumn, TextColumn};
use super::hooks::{DocumentMembers, DocumentTable, VersionMembers};
use super::read::{Entry, Reader};
use super::spec::{RowsOf, TableSpec};
use crate::npm::QuirkCode;
use crate::npm::json::Kind;
use crate::npm::packument::{Span, VersionMember};

/// The scripts that run when a package is installed (npm-facts C.1).
pub(super) const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

pub(super) const TABLE: TableSpec =
    TableSpec { rows_of: RowsOf::Version, stored_bytes_per_row: 8, ..TableSpec::new(1, ScriptsTable::COLUMNS) };

columns! {
    /// Rows of the `scripts` table.
    pub(super) struct ScriptsTable of Scripts {
        name: TextColumn = required("The package's name."),
        version: TextColumn = required("The version that has the script.").without_statistics(),
        is_latest: BooleanColumn = required("Whether `dist-tags.latest` points to that version."),
        script: TextColumn = required("The script's name.").without_statistics(),
        command: TextColumn = optional("The command that it runs; null if that is not text.").without_statistics(),
    }
    with {
        /// The scripts of the last version.
        last_rows: Range<usize>,
        /// The sources of the last version's rows within one document, and whether one of its scripts runs on install.
        made: Option<(Span, Range<usize>, bool)>,
    }
}

/// The number of scripts of the version before that the next one is compared with.
const LOOK: usize = 4;

impl DocumentTable for ScriptsTable {
    fn push_document(&mut self, _reader: &mut Reader<'_>, _document: &DocumentMembers<'_>) {
        // Equal places mean equal text only within one document.
        self.made = None;
    }

    /// Adds the scripts of one version. Records whether one of them with a command runs on install.
    fn push_version<'t>(&mut self, reader: &mut Reader<'_>, version: &mut VersionMembers<'_, 't>) {
        let Some(found) = version.values.member(VersionMember::Scripts) else { return };
        let Some(raw) = version.values.raw(VersionMember::Scripts) else { return };
        let before = self.script.rows();
        version.facts.runs_on_install = match &self.made {
            Some((made_of, rows, runs_on_install)) if *made_of == found.value => {
                self.script.repeat(rows.clone());
                self.command.repeat(rows.clone());
                *runs_on_install
            }
            _ => {
                let quirks = reader.quirks.rows();
                let runs_on_install = self.push_scripts(reader, raw, version.entries);
                self.last_rows = before..self.script.rows();
                let is_clean = reader.quirks.rows() == quirks;
                self.made = is_clean.then(|| (found.value, before..self.script.rows(), runs_on_install));
                runs_on_install
            }
        };
        let rows = self.script.rows() - before;
        self.version.push_n(version.facts.version, rows);
        self.is_latest.push_n(Some(version.facts.is_latest), rows);
    }

    fn end_package(&mut self, package: &str) {
        self.name.push_n(package, self.script.rows() - self.name.rows());
    }
}

impl ScriptsTable {
    fn push_scripts<'t>(&mut self, reader: &mut Reader<'_>, raw: &'t str, entries: &mut Vec<Entry<'t>>) -> bool {
        let field = VersionMember::Scripts.key();
        if Kind::of(raw) != Kind::Object {
            reader.note(field, QuirkCode::NotAnObject, raw);
            return false;
        }
        reader.object(field, raw, entries);
        let mut runs_on_install = false;
        let mut like = self.last_rows.clone();
        for entry in entries.iter() {
            // Many scripts have the names, and some the commands, of the version or package before.
            let next = self.script.push_among(&mut like, LOOK, &entry.key);
            match entry.string() {
                Some(command) => {
                    let command = reader.unescape(field, command);
                    runs_on_install |= !command.is_empty() && INSTALL_SCRIPTS.contains(&entry.key.as_ref());
                    self.command.push_like(next.unwrap_or(usize::MAX), &command);
                }
                None => {
                    self.command.push_null();
                    if entry.raw != "null" {
                        reader.note(&format!("{field}.{}", entry.key), QuirkCode::NotAString, entry.raw);
                    }
                }
            }
        }
        runs_on_install
    }
}
