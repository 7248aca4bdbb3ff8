//! How one version becomes its row.

use std::borrow::Cow;

use super::{VersionValues, VersionsTable};
use crate::npm::json::{Kind, RawString};
use crate::npm::packument::{Member, Span, VersionMember};
use crate::npm::semver::Semver;
use crate::npm::{QuirkCode, Representation};
use crate::table::column::{TextColumn, TextListColumn};
use crate::table::read::Reader;

/// What is known of a version beside its members.
#[derive(Debug, Clone, Copy)]
pub(in crate::table) struct VersionFacts<'t> {
    pub(in crate::table) version: &'t str,
    pub(in crate::table) version_index: i64,
    pub(in crate::table) is_latest: bool,
    pub(in crate::table) published_at: Option<i64>,
    pub(in crate::table) representation: Representation,
    /// Of its scripts.
    pub(in crate::table) runs_on_install: bool,
}

/// The last row within one document: its members' keys and its `directories`.
#[derive(Debug, Default)]
pub(in crate::table) struct FieldsMemo<'t> {
    last: Option<(&'t [Member], Option<Span>, usize)>,
}

/// What a package's row takes from the version that is latest.
#[derive(Debug, Default)]
pub(in crate::table) struct LatestFacts {
    pub(in crate::table) deprecated: Option<String>,
    pub(in crate::table) has_install_script: Option<bool>,
}

impl VersionsTable {
    /// Adds a version. Gives what the package's row needs if it is latest.
    pub(in crate::table) fn push<'t>(
        &mut self,
        reader: &mut Reader<'_>,
        values: &VersionValues<'t>,
        facts: &VersionFacts<'_>,
        memo: &mut FieldsMemo<'t>,
    ) -> Option<LatestFacts> {
        self.push_identity(reader, values, facts);
        self.push_publication(reader, values, facts);

        let raw = |member| values.raw(member);
        let license = values.member(VersionMember::License);
        match license.filter(|license| license.plain_string && !reader.has_control_characters) {
            Some(license) => self.license.push(inside_quotes(license.value, values.text)),
            None => {
                let license = reader.license(
                    raw(VersionMember::License),
                    raw(VersionMember::Licenses),
                    raw(VersionMember::Licence),
                );
                self.license.push_option(license.as_deref());
            }
        }
        let deprecated = reader.deprecated(raw(VersionMember::Deprecated));
        self.deprecated.push_option(deprecated.as_deref());
        push_text(&mut self.description, reader, values, VersionMember::Description);
        push_text(&mut self.main, reader, values, VersionMember::Main);
        push_text(&mut self.module_type, reader, values, VersionMember::Type);
        let has_types = raw(VersionMember::Types).is_some();
        let types = if has_types { VersionMember::Types } else { VersionMember::Typings };
        push_text(&mut self.types, reader, values, types);

        let has_install_script = match facts.representation {
            Representation::Full => Some(facts.runs_on_install),
            // The abbreviated form has the member only where it is true.
            Representation::Abbreviated => {
                Some(reader.boolean("hasInstallScript", raw(VersionMember::HasInstallScript)).unwrap_or(false))
            }
        };
        self.has_install_script.push(has_install_script);
        self.has_shrinkwrap.push(reader.boolean("_hasShrinkwrap", raw(VersionMember::HasShrinkwrap)));

        let [node, npm] = reader.engines(raw(VersionMember::Engines));
        self.engines_node.push_option(node.as_deref());
        self.engines_npm.push_option(npm.as_deref());
        push_list(&mut self.os, reader.text_list("os", raw(VersionMember::Os)));
        push_list(&mut self.cpu, reader.text_list("cpu", raw(VersionMember::Cpu)));
        push_list(&mut self.libc, reader.text_list("libc", raw(VersionMember::Libc)));
        let commands = reader.commands(raw(VersionMember::Bin));
        for (name, path) in commands.iter().flatten() {
            self.bin.push_item(name, path);
        }
        self.bin.end_row(commands.is_some());

        self.push_dist(reader, raw(VersionMember::Dist));
        push_text(&mut self.git_head, reader, values, VersionMember::GitHead);
        push_text(&mut self.npm_version, reader, values, VersionMember::NpmVersion);
        push_text(&mut self.node_version, reader, values, VersionMember::NodeVersion);
        self.push_fields(reader, values, memo);
        facts.is_latest.then(|| LatestFacts { deprecated: deprecated.map(Cow::into_owned), has_install_script })
    }

    fn push_identity(&mut self, reader: &mut Reader<'_>, values: &VersionValues<'_>, facts: &VersionFacts<'_>) {
        self.version.push(facts.version);
        self.version_index.push(Some(facts.version_index));
        self.is_latest.push(Some(facts.is_latest));
        let own = reader.text("version", values.raw(VersionMember::Version));
        if own.is_some_and(|own| own != facts.version) {
            let raw = values.raw(VersionMember::Version).unwrap_or_default();
            reader.note("version", QuirkCode::DiffersFromKey, raw);
        }
        let semver = Semver::parse(facts.version);
        if semver.is_none() {
            reader.note("version", QuirkCode::NotSemver, facts.version);
        }
        self.major.push(semver.map(|semver| semver.major));
        self.minor.push(semver.map(|semver| semver.minor));
        self.patch.push(semver.map(|semver| semver.patch));
        self.prerelease.push_option(semver.and_then(|semver| semver.prerelease));
        self.build.push_option(semver.and_then(|semver| semver.build));
    }

    fn push_publication(&mut self, reader: &mut Reader<'_>, values: &VersionValues<'_>, facts: &VersionFacts<'_>) {
        self.published_at.push(facts.published_at);
        let Some(user) = values.raw(VersionMember::NpmUser) else {
            self.published_by.push_null();
            self.trusted_publisher.push_null();
            return;
        };
        if Kind::of(user) != Kind::Object {
            let person = if Kind::of(user) == Kind::String {
                reader.note("_npmUser", QuirkCode::ReadFromString, user);
                reader.person("_npmUser", Some(user)).name
            } else {
                reader.note("_npmUser", QuirkCode::NotAnObject, user);
                None
            };
            self.published_by.push_option(person.as_deref());
            self.trusted_publisher.push_null();
            return;
        }
        let [publisher, trusted] = reader.pick("_npmUser", Some(user), ["name", "trustedPublisher"]);
        self.published_by.push_option(reader.text("_npmUser.name", publisher).as_deref());
        let [service] = reader.pick("_npmUser.trustedPublisher", trusted, ["id"]);
        self.trusted_publisher.push_option(reader.text("_npmUser.trustedPublisher.id", service).as_deref());
    }

    fn push_dist(&mut self, reader: &mut Reader<'_>, raw: Option<&str>) {
        let [tarball, shasum, integrity, files, size, signatures, attestations] = reader.pick(
            "dist",
            raw,
            ["tarball", "shasum", "integrity", "fileCount", "unpackedSize", "signatures", "attestations"],
        );
        self.tarball_url.push_option(reader.text("dist.tarball", tarball).as_deref());
        self.shasum.push_option(reader.text("dist.shasum", shasum).as_deref());
        self.integrity.push_option(reader.text("dist.integrity", integrity).as_deref());
        self.file_count.push(reader.integer("dist.fileCount", files));
        self.unpacked_size.push(reader.integer("dist.unpackedSize", size));
        self.push_signatures(reader, signatures);
        let [provenance] = reader.pick("dist.attestations", attestations, ["provenance"]);
        let [kind] = reader.pick("dist.attestations.provenance", provenance, ["predicateType"]);
        let kind = reader.text("dist.attestations.provenance.predicateType", kind);
        self.provenance_predicate_type.push_option(kind.as_deref());
    }

    fn push_signatures(&mut self, reader: &mut Reader<'_>, raw: Option<&str>) {
        let Some(raw) = raw else { return self.signature_keyids.push_null() };
        if Kind::of(raw) != Kind::Array {
            reader.note("dist.signatures", QuirkCode::NotAList, raw);
            return self.signature_keyids.push_null();
        }
        for item in Reader::items(raw) {
            let [key] = reader.pick("dist.signatures", Some(item), ["keyid"]);
            if let Some(key) = reader.text("dist.signatures.keyid", key) {
                self.signature_keyids.push_item(&key);
            }
        }
        self.signature_keyids.end_list();
    }

    fn push_fields<'t>(&mut self, reader: &mut Reader<'_>, values: &VersionValues<'t>, memo: &mut FieldsMemo<'t>) {
        let directories = values.member(VersionMember::Directories).map(|found| found.value);
        let row = self.version.rows() - 1;
        let same = memo.last.as_ref().filter(|(members, last_directories, _)| {
            *last_directories == directories
                && members.len() == values.members.len()
                && members.iter().zip(values.members).all(|(one, other)| one.key == other.key)
        });
        let quirks = reader.quirks.rows();
        match same {
            Some((_, _, row)) => self.fields.repeat_items_of(*row),
            None => {
                for found in values.members {
                    let key = RawString::of_inner(found.key.of(values.text));
                    self.fields.push_item(&key.unescape().text);
                }
                let entries = reader.entries("directories", values.raw(VersionMember::Directories));
                for entry in entries.iter().flatten() {
                    self.fields.push_item(&format!("directories.{}", entry.key));
                }
            }
        }
        self.fields.end_list();
        // What had quirks is read again, so that each version has its own.
        memo.last = (reader.quirks.rows() == quirks).then_some((values.members, directories, row));
    }
}

fn inside_quotes(span: Span, text: &str) -> &str {
    Span { start: span.start + 1, end: span.end - 1 }.of(text)
}

/// Pushes the text of a member; the usual kind without looking twice.
#[inline]
fn push_text(column: &mut TextColumn, reader: &mut Reader<'_>, values: &VersionValues<'_>, member: VersionMember) {
    match values.member(member) {
        None => column.push_null(),
        Some(found) if found.plain_string && !reader.has_control_characters => {
            column.push(inside_quotes(found.value, values.text));
        }
        Some(_) => column.push_option(reader.text(member.key(), values.raw(member)).as_deref()),
    }
}

fn push_list(column: &mut TextListColumn, list: Option<Vec<Cow<'_, str>>>) {
    match list {
        Some(items) => {
            items.iter().for_each(|item| column.push_item(item));
            column.end_list();
        }
        None => column.push_null(),
    }
}
