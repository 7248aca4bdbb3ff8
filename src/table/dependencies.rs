//! The `dependencies` table: one edge from a version to a package that it depends on.

use std::ops::Range;

use super::column::{BooleanColumn, TextColumn};
use super::hooks::{DocumentMembers, DocumentTable, VersionMembers};
use super::read::{Entry, Reader, member};
use super::spec::{RowsOf, TableSpec};
use super::versions::VersionValues;
use crate::npm::QuirkCode;
use crate::npm::json::Kind;
use crate::npm::packument::{Span, VersionMember};

/// The kinds in their order, each with the member that holds it.
const KINDS: [(&str, VersionMember); 5] = [
    ("prod", VersionMember::Dependencies),
    ("dev", VersionMember::DevDependencies),
    ("peer", VersionMember::PeerDependencies),
    ("optional", VersionMember::OptionalDependencies),
    ("bundled", VersionMember::BundleDependencies),
];

/// The values that the rows of one kind come from.
type Sources = [Option<Span>; 3];

pub(super) const TABLE: TableSpec =
    TableSpec { rows_of: RowsOf::Version, stored_bytes_per_row: 8, ..TableSpec::new(1, DependenciesTable::COLUMNS) };

columns! {
    /// Rows of the `dependencies` table.
    pub(super) struct DependenciesTable of Dependencies {
        name: TextColumn = required("The package's name."),
        version: TextColumn = required("The dependent version.").without_statistics(),
        is_latest: BooleanColumn = required("Whether `dist-tags.latest` points to that version."),
        kind: TextColumn = required(
            "prod, dev, peer, optional or bundled; the rows of a version are in this order."
        ).without_statistics(),
        dependency: TextColumn = required("The package that it depends on, as the version's document names it.")
            .without_statistics().filtered(),
        requirement: TextColumn = optional(
            "The requested range, URL, tag or alias; null for bundled ones, which name none."
        ).without_statistics(),
        optional: BooleanColumn = optional(
            "Of a peer dependency, whether `peerDependenciesMeta` calls it optional; else null."
        ),
    }
    with {
        /// A row of each kind.
        kind_rows: [usize; KINDS.len()],
        /// The sources of the last rows of each kind, within one document.
        made: [Option<(Sources, Range<usize>)>; KINDS.len()],
    }
}

impl DocumentTable for DependenciesTable {
    fn push_document(&mut self, _reader: &mut Reader<'_>, _document: &DocumentMembers<'_>) {
        // Equal places mean equal text only within one document.
        self.made = Default::default();
    }

    /// Adds the edges of one version. Where the version repeats the one before it, its rows repeat too.
    fn push_version<'t>(&mut self, reader: &mut Reader<'_>, version: &mut VersionMembers<'_, 't>) {
        let values = &version.values;
        let before = self.dependency.rows();
        let mut all_made = std::mem::take(&mut self.made);
        for (((kind, member), made), place) in KINDS.into_iter().zip(&mut all_made).zip(0..) {
            let Some(sources) = sources_of(values, member) else { continue };
            let from = self.dependency.rows();
            match made {
                Some((made_of, rows)) if *made_of == sources => {
                    self.dependency.repeat(rows.clone());
                    self.requirement.repeat(rows.clone());
                    self.optional.repeat(rows.clone());
                }
                _ => {
                    let quirks = reader.quirks.rows();
                    if member == VersionMember::BundleDependencies {
                        self.push_bundled(reader, values);
                    } else {
                        let like = made.as_ref().map_or(from..from, |(_, rows)| rows.clone());
                        self.push_edges(reader, values, member, like, version.entries);
                    }
                    // Members with quirks are read again: each version notes its own.
                    let is_clean = reader.quirks.rows() == quirks;
                    *made = is_clean.then(|| (sources, from..self.dependency.rows()));
                }
            }
            if let Some(like) = self.kind_rows.get_mut(place) {
                self.kind.push_n_like(std::mem::replace(like, from), kind, self.dependency.rows() - from);
            }
            if member == VersionMember::Dependencies {
                version.facts.dependency_count = self.dependency.rows() - from;
            }
        }
        self.made = all_made;
        let rows = self.dependency.rows() - before;
        self.version.push_n(version.facts.version, rows);
        self.is_latest.push_n(Some(version.facts.is_latest), rows);
    }

    fn end_package(&mut self, package: &str) {
        self.name.push_n(package, self.dependency.rows() - self.name.rows());
    }
}

impl DependenciesTable {
    /// Adds the edges of one kind. `like` are rows that are probably nearly the same.
    fn push_edges<'t>(
        &mut self,
        reader: &mut Reader<'_>,
        values: &VersionValues<'t>,
        member: VersionMember,
        mut like: Range<usize>,
        entries: &mut Vec<Entry<'t>>,
    ) {
        let Some(raw) = values.raw(member) else { return };
        let field = member.key();
        if Kind::of(raw) != Kind::Object {
            for (dependency, requirement) in reader.dependency_list(field, raw) {
                self.dependency.push(&dependency);
                self.requirement.push_option(requirement.as_deref());
                self.optional.push((member == VersionMember::PeerDependencies).then_some(false));
            }
            return;
        }
        reader.object(field, raw, entries);
        for entry in entries.iter() {
            // The dependencies have the same order, except for new or missing ones.
            let next = self.dependency.push_among(&mut like, 2, &entry.key);
            match entry.string() {
                Some(requirement) => {
                    let requirement = reader.unescape(field, requirement);
                    self.requirement.push_like(next.unwrap_or(usize::MAX), &requirement);
                }
                None => {
                    self.requirement.push_null();
                    if entry.raw != "null" {
                        reader.note(&format!("{field}.{}", entry.key), QuirkCode::NotAString, entry.raw);
                    }
                }
            }
        }
        if member == VersionMember::PeerDependencies {
            self.push_optional(reader, values, entries);
        } else {
            self.optional.push_n(None, entries.len());
        }
    }

    /// Records for each peer in `peers` whether it is optional.
    fn push_optional(&mut self, reader: &mut Reader<'_>, values: &VersionValues<'_>, peers: &[Entry<'_>]) {
        let field = VersionMember::PeerDependenciesMeta.key();
        let metas = reader.entries(field, values.raw(VersionMember::PeerDependenciesMeta)).unwrap_or_default();
        for peer in peers {
            let Some(meta) = member(&metas, &peer.key) else {
                self.optional.push(Some(false));
                continue;
            };
            let [is_optional] = reader.pick(&format!("{field}.{}", peer.key), Some(meta), ["optional"]);
            let is_optional = reader.boolean(&format!("{field}.{}.optional", peer.key), is_optional);
            self.optional.push(Some(is_optional.unwrap_or(false)));
        }
    }

    fn push_bundled(&mut self, reader: &mut Reader<'_>, values: &VersionValues<'_>) {
        let mut known = hashbrown::HashSet::new();
        for member in [VersionMember::BundleDependencies, VersionMember::BundledDependencies] {
            let Some(raw) = values.raw(member) else { continue };
            let mut dependencies = Vec::new();
            if raw == "true"
                && let Some(all) = values.raw(VersionMember::Dependencies)
                && Kind::of(all) == Kind::Object
            {
                reader.object(VersionMember::Dependencies.key(), all, &mut dependencies);
            }
            for name in reader.bundled(member.key(), raw, &dependencies) {
                if !known.contains(&name) {
                    self.dependency.push(&name);
                    self.requirement.push_null();
                    self.optional.push(None);
                    known.insert(name);
                }
            }
        }
    }
}

/// Returns the spans that the rows of a kind come from; `None` if there is none.
fn sources_of(values: &VersionValues<'_>, member: VersionMember) -> Option<Sources> {
    let span = |member| values.member(member).map(|found| found.value);
    let sources = match member {
        VersionMember::PeerDependencies => [Some(span(member)?), span(VersionMember::PeerDependenciesMeta), None],
        VersionMember::BundleDependencies => {
            let bundled = [span(member), span(VersionMember::BundledDependencies)];
            if bundled == [None, None] {
                return None;
            }
            [bundled[0], bundled[1], span(VersionMember::Dependencies)]
        }
        _ => [Some(span(member)?), None, None],
    };
    Some(sources)
}
