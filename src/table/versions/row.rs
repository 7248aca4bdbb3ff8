//! Turns one version into its row.

use std::borrow::Cow;

use super::values::Members;
use super::{LatestFacts, VersionFacts, VersionValues, VersionsTable};
use crate::npm::json::{Kind, RawString};
use crate::npm::packument::{DistMember, Span, VersionMember};
use crate::npm::semver::Semver;
use crate::npm::{QuirkCode, Representation};
use crate::table::column::{TextColumn, TextListColumn};
use crate::table::hooks::DocumentTable;
use crate::table::read::Reader;
use crate::table::shapes::PersonColumns;

/// The row before within one document, unless it had a quirk: equal members need no second reading.
#[derive(Default)]
pub(in crate::table) struct RowMemo<'t> {
    last: Option<VersionValues<'t>>,
}

impl DocumentTable for VersionsTable {
    fn end_package(&mut self, package: &str) {
        self.name.push_n(package, self.version.rows() - self.name.rows());
    }
}

impl VersionsTable {
    /// Adds a version. Returns the facts that the package's row needs if the version is latest.
    pub(in crate::table) fn push<'t>(
        &mut self,
        reader: &mut Reader<'_>,
        values: VersionValues<'t>,
        facts: &VersionFacts<'_>,
        memo: &mut RowMemo<'t>,
    ) -> Option<LatestFacts> {
        let quirks = reader.quirks.rows();
        self.push_identity(reader, &values, facts);
        let same = memo.last.as_ref().map(|last| values.same_as(last)).unwrap_or_default();
        let mut row = RowReader { reader, values: &values, same };

        self.published_at.push(facts.published_at);
        self.push_publisher(&mut row);
        self.push_license(&mut row);
        const DEPRECATED: Members = Members::of(&[VersionMember::Deprecated]);
        let mut deprecated = None;
        if row.same.contains(DEPRECATED) && !facts.is_latest {
            self.deprecated.repeat_last();
        } else {
            deprecated = row.reader.deprecated(values.raw(VersionMember::Deprecated));
            self.deprecated.push_option(deprecated.as_deref());
        }
        row.push_text(&mut self.description, VersionMember::Description);
        self.push_funding(&mut row);
        row.push_text(&mut self.main, VersionMember::Main);
        // The abbreviated form leaves it out.
        let has_exports = values.member(VersionMember::Exports).is_some();
        self.exports.push((facts.representation == Representation::Full).then_some(has_exports));
        row.push_text(&mut self.module_type, VersionMember::Type);
        self.push_types(&mut row);

        let has_install_script = match facts.representation {
            Representation::Full => Some(facts.runs_on_install),
            // The abbreviated form has the member only where it is true.
            Representation::Abbreviated => {
                let raw = values.raw(VersionMember::HasInstallScript);
                Some(row.reader.boolean("hasInstallScript", raw).unwrap_or(false))
            }
        };
        self.has_install_script.push(has_install_script);
        self.has_shrinkwrap.push(row.reader.boolean("_hasShrinkwrap", values.raw(VersionMember::HasShrinkwrap)));

        self.dependency_count.push(i64::try_from(facts.dependency_count).ok());
        self.push_engines(&mut row);
        row.push_list(&mut self.os, VersionMember::Os);
        row.push_list(&mut self.cpu, VersionMember::Cpu);
        row.push_list(&mut self.libc, VersionMember::Libc);
        self.push_commands(&mut row);
        self.push_dist(row.reader, &values);
        row.push_text(&mut self.git_head, VersionMember::GitHead);
        row.push_text(&mut self.npm_version, VersionMember::NpmVersion);
        row.push_text(&mut self.node_version, VersionMember::NodeVersion);
        self.push_fields(&mut row, memo.last.as_ref());
        // Members with quirks are read again: each version notes its own.
        memo.last = (reader.quirks.rows() == quirks).then_some(values);
        facts.is_latest.then(|| LatestFacts { deprecated: deprecated.map(Cow::into_owned), has_install_script })
    }

    fn push_identity(&mut self, reader: &mut Reader<'_>, values: &VersionValues<'_>, facts: &VersionFacts<'_>) {
        self.version.push_new(facts.version);
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

    fn push_publisher(&mut self, row: &mut RowReader<'_, '_, '_>) {
        const USER: Members = Members::of(&[VersionMember::NpmUser]);
        if row.same.contains(USER) {
            self.published_by.repeat_last();
            self.published_by_email.repeat_last();
            return self.trusted_publisher.repeat_last();
        }
        let RowReader { reader, values, .. } = row;
        let Some(user) = values.raw(VersionMember::NpmUser) else {
            self.published_by.push_null();
            self.published_by_email.push_null();
            self.trusted_publisher.push_null();
            return;
        };
        if Kind::of(user) != Kind::Object {
            let person = if Kind::of(user) == Kind::String {
                reader.note("_npmUser", QuirkCode::ReadFromString, user);
                reader.person("_npmUser", Some(user))
            } else {
                reader.note("_npmUser", QuirkCode::NotAnObject, user);
                PersonColumns::default()
            };
            self.published_by.push_option(person.name.as_deref());
            self.published_by_email.push_option(person.email.as_deref());
            self.trusted_publisher.push_null();
            return;
        }
        let [name, email, trusted] = reader.pick("_npmUser", Some(user), ["name", "email", "trustedPublisher"]);
        self.published_by.push_option(reader.text("_npmUser.name", name).as_deref());
        self.published_by_email.push_option(reader.text("_npmUser.email", email).as_deref());
        let [service] = reader.pick("_npmUser.trustedPublisher", trusted, ["id"]);
        self.trusted_publisher.push_option(reader.text("_npmUser.trustedPublisher.id", service).as_deref());
    }

    fn push_license(&mut self, row: &mut RowReader<'_, '_, '_>) {
        use VersionMember::{Licence, License, Licenses};
        const LICENSES: Members = Members::of(&[License, Licenses, Licence]);
        if row.same.contains(LICENSES) {
            return self.license.repeat_last();
        }
        let values = row.values;
        match values.member(License).filter(|license| license.plain_string && !row.reader.has_control_characters) {
            Some(license) => self.license.push(inside_quotes(license.value, values.text)),
            None => {
                let license = row.reader.license(values.raw(License), values.raw(Licenses), values.raw(Licence));
                self.license.push_option(license.as_deref());
            }
        }
    }

    fn push_funding(&mut self, row: &mut RowReader<'_, '_, '_>) {
        const FUNDING: Members = Members::of(&[VersionMember::Funding]);
        if row.same.contains(FUNDING) {
            return self.funding_url.repeat_last();
        }
        let url = row.reader.funding_url(row.values.raw(VersionMember::Funding));
        self.funding_url.push_option(url.as_deref());
    }

    fn push_types(&mut self, row: &mut RowReader<'_, '_, '_>) {
        use VersionMember::{Types, Typings};
        const TYPES: Members = Members::of(&[Types, Typings]);
        if row.same.contains(TYPES) {
            return self.types.repeat_last();
        }
        let has_types = row.values.raw(Types).is_some();
        row.read_text(&mut self.types, if has_types { Types } else { Typings });
    }

    fn push_engines(&mut self, row: &mut RowReader<'_, '_, '_>) {
        const ENGINES: Members = Members::of(&[VersionMember::Engines]);
        if row.same.contains(ENGINES) {
            self.engines_node.repeat_last();
            return self.engines_npm.repeat_last();
        }
        let [node, npm] = row.reader.engines(row.values.raw(VersionMember::Engines));
        self.engines_node.push_option(node.as_deref());
        self.engines_npm.push_option(npm.as_deref());
    }

    fn push_commands(&mut self, row: &mut RowReader<'_, '_, '_>) {
        const COMMANDS: Members = Members::of(&[VersionMember::Bin]);
        if row.same.contains(COMMANDS) {
            return self.bin.repeat_last();
        }
        let commands = row.reader.commands(row.values.raw(VersionMember::Bin));
        for (name, path) in commands.iter().flatten() {
            self.bin.push_item(name, path);
        }
        self.bin.end_row(commands.is_some());
    }

    fn push_dist(&mut self, reader: &mut Reader<'_>, values: &VersionValues<'_>) {
        use DistMember::{Attestations, FileCount, Integrity, Shasum, Signatures, Tarball, UnpackedSize};
        const MEMBERS: [DistMember; DistMember::COUNT] =
            [Tarball, Shasum, Integrity, FileCount, UnpackedSize, Signatures, Attestations];
        let [tarball, shasum, integrity, files, size, signatures, attestations] = match values.dist {
            Some(dist) => MEMBERS.map(|member| dist.raw(values.text, member)),
            None => reader.pick("dist", values.raw(VersionMember::Dist), MEMBERS.map(DistMember::key)),
        };
        self.tarball_url.push_new_option(reader.text("dist.tarball", tarball).as_deref());
        self.shasum.push_new_option(reader.text("dist.shasum", shasum).as_deref());
        self.integrity.push_new_option(reader.text("dist.integrity", integrity).as_deref());
        self.file_count.push(reader.integer("dist.fileCount", files));
        self.unpacked_size_bytes.push(reader.integer("dist.unpackedSize", size));
        self.push_signatures(reader, signatures);
        let [url, provenance] = reader.pick("dist.attestations", attestations, ["url", "provenance"]);
        let [kind] = reader.pick("dist.attestations.provenance", provenance, ["predicateType"]);
        let kind = reader.text("dist.attestations.provenance.predicateType", kind);
        self.provenance_predicate_type.push_option(kind.as_deref());
        self.attestations_url.push_new_option(reader.text("dist.attestations.url", url).as_deref());
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

    /// Pushes the names of the version's members. `last` is the row before, if it was read without quirks.
    fn push_fields(&mut self, row: &mut RowReader<'_, '_, '_>, last: Option<&VersionValues<'_>>) {
        const DIRECTORIES: Members = Members::of(&[VersionMember::Directories]);
        let RowReader { reader, values, same } = row;
        let has_keys_of = |last: &VersionValues<'_>| {
            last.members.len() == values.members.len()
                && last.members.iter().zip(values.members).all(|(one, other)| one.key == other.key)
        };
        if same.contains(DIRECTORIES) && last.is_some_and(has_keys_of) {
            return self.fields.repeat_last();
        }
        // The first version of a package, too, has nearly the members of the one before it.
        let mut like = self.fields.last_items();
        for found in values.members {
            let key = RawString::of_inner(found.key.of(values.text));
            self.fields.push_item_like(&mut like, &key.unescape().text);
        }
        let entries = reader.entries("directories", values.raw(VersionMember::Directories));
        for entry in entries.iter().flatten() {
            self.fields.push_item(&format!("directories.{}", entry.key));
        }
        self.fields.end_list();
    }
}

/// Reads the members of one version into its row.
struct RowReader<'r, 'a, 't> {
    reader: &'r mut Reader<'a>,
    values: &'r VersionValues<'t>,
    /// The members that equal those of the row before.
    same: Members,
}

impl RowReader<'_, '_, '_> {
    #[inline]
    fn push_text(&mut self, column: &mut TextColumn, member: VersionMember) {
        if self.same.contains(Members::of(&[member])) {
            return column.repeat_last();
        }
        self.read_text(column, member);
    }

    /// Pushes the text of a member; reads the usual kind in one pass.
    fn read_text(&mut self, column: &mut TextColumn, member: VersionMember) {
        let RowReader { reader, values, .. } = self;
        match values.member(member) {
            None => column.push_null(),
            Some(found) if found.plain_string && !reader.has_control_characters => {
                column.push(inside_quotes(found.value, values.text));
            }
            Some(_) => column.push_option(reader.text(member.key(), values.raw(member)).as_deref()),
        }
    }

    fn push_list(&mut self, column: &mut TextListColumn, member: VersionMember) {
        if self.same.contains(Members::of(&[member])) {
            return column.repeat_last();
        }
        match self.reader.text_list(member.key(), self.values.raw(member)) {
            Some(items) => {
                items.iter().for_each(|item| column.push_item(item));
                column.end_list();
            }
            None => column.push_null(),
        }
    }
}

fn inside_quotes(span: Span, text: &str) -> &str {
    Span { start: span.start + 1, end: span.end - 1 }.of(text)
}
