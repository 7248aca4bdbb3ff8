//! The `scripts` table: a script of a version.

use std::ops::Range;

use arrow::array::RecordBatch;

use super::column::{BooleanColumn, Column, TextColumn};
use super::document::record_batch;
use super::read::{Entry, Reader};
use super::schema::ColumnSpec;
use super::schema::ColumnType::{Boolean, Text};
use super::versions::VersionValues;
use crate::error::Result;
use crate::npm::QuirkCode;
use crate::npm::json::Kind;
use crate::npm::packument::{Span, VersionMember};
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required("version", Text, "The version that has the script."),
    ColumnSpec::required("is_latest", Boolean, "Whether `dist-tags.latest` points to that version."),
    ColumnSpec::required("script", Text, "The script's name."),
    ColumnSpec::optional("command", Text, "What it runs; null if that is not text."),
];

/// The scripts that run when a package is installed (npm-facts C.1).
const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// What the rows of a version were last made of, within one document.
#[derive(Debug, Default)]
pub(super) struct ScriptMemo<'t> {
    made: Option<(Span, Range<usize>, bool)>,
    /// Kept between versions for its memory alone.
    entries: Vec<Entry<'t>>,
}

/// Rows of the `scripts` table.
#[derive(Debug, Default)]
pub(super) struct ScriptsTable {
    name: TextColumn,
    version: TextColumn,
    is_latest: BooleanColumn,
    script: TextColumn,
    command: TextColumn,
    /// The scripts that were read last.
    last_rows: Range<usize>,
}

/// How many scripts of the version before are looked at for the next one.
const LOOK: usize = 4;

impl ScriptsTable {
    /// Adds the scripts of one version, and says whether one of them with a command runs on install.
    pub(super) fn push_version<'t>(
        &mut self,
        reader: &mut Reader<'_>,
        values: &VersionValues<'t>,
        version: &str,
        is_latest: bool,
        memo: &mut ScriptMemo<'t>,
    ) -> bool {
        let Some(found) = values.member(VersionMember::Scripts) else { return false };
        let Some(raw) = values.raw(VersionMember::Scripts) else { return false };
        let before = self.script.rows();
        let runs_on_install = match &memo.made {
            Some((made_of, rows, runs_on_install)) if *made_of == found.value => {
                self.script.repeat(rows.clone());
                self.command.repeat(rows.clone());
                *runs_on_install
            }
            _ => {
                let quirks = reader.quirks.rows();
                let runs_on_install = self.push_scripts(reader, raw, &mut memo.entries);
                self.last_rows = before..self.script.rows();
                let is_clean = reader.quirks.rows() == quirks;
                memo.made = is_clean.then(|| (found.value, before..self.script.rows(), runs_on_install));
                runs_on_install
            }
        };
        let rows = self.script.rows() - before;
        self.version.push_n(version, rows);
        self.is_latest.push_n(Some(is_latest), rows);
        runs_on_install
    }

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

    /// Names the rows since the last call: they are all of `package`.
    pub(super) fn end_package(&mut self, package: &str) {
        self.name.push_n(package, self.script.rows() - self.name.rows());
    }

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        [&self.name, &self.version, &self.script, &self.command].iter().map(|column| column.size_bytes()).sum()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(
            TableKind::Scripts,
            &mut [&mut self.name, &mut self.version, &mut self.is_latest, &mut self.script, &mut self.command],
        )
    }
}
