//! The `versions` table: a published version.

use std::borrow::Cow;

use arrow::array::RecordBatch;

use super::column::{BooleanColumn, Column, CommandListColumn, NumberColumn, TextColumn, TextListColumn, TimeColumn};
use super::document::record_batch;
use super::read::Reader;
use super::schema::ColumnSpec;
use super::schema::ColumnType::{Boolean, CommandList, Number, Text, TextList, Time};
use crate::error::Result;
use crate::lake::TableKind;
use crate::npm::json::{Kind, RawString};
use crate::npm::packument::{Member, Span, VersionMember};
use crate::npm::semver::Semver;
use crate::npm::{QuirkCode, Representation};

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required("version", Text, "The version: its key in `versions`."),
    ColumnSpec::required("version_index", Number, "Its place in the order of publication, from 0.").in_unit("versions"),
    ColumnSpec::required("is_latest", Boolean, "Whether `dist-tags.latest` points to it."),
    ColumnSpec::optional("major", Number, "The first number; null if it is not a semantic version, as the next four."),
    ColumnSpec::optional("minor", Number, "The second number."),
    ColumnSpec::optional("patch", Number, "The third number."),
    ColumnSpec::optional("prerelease", Text, "What stands behind `-`."),
    ColumnSpec::optional("build", Text, "What stands behind `+`."),
    ColumnSpec::optional("published_at", Time, "When it was published."),
    ColumnSpec::optional("published_by", Text, "The user who published it."),
    ColumnSpec::optional("trusted_publisher", Text, "The service that published it without a user's token: github."),
    ColumnSpec::optional("license", Text, "`license`, else `licenses`, as one text."),
    ColumnSpec::optional(
        "deprecated",
        Text,
        "The deprecation message, empty if there is none; null if not deprecated.",
    ),
    ColumnSpec::optional("description", Text, "What it says it is."),
    ColumnSpec::optional("main", Text, "The file that `require` loads."),
    ColumnSpec::optional("module_type", Text, "`type`: module or commonjs."),
    ColumnSpec::optional("types", Text, "`types`, else `typings`: the file of its type declarations."),
    ColumnSpec::optional("has_install_script", Boolean, "Whether it runs a script when it is installed."),
    ColumnSpec::optional("has_shrinkwrap", Boolean, "Whether it brings a lock file."),
    ColumnSpec::optional("engines_node", Text, "The range of node that it asks for."),
    ColumnSpec::optional("engines_npm", Text, "The range of npm that it asks for."),
    ColumnSpec::optional("os", TextList, "The operating systems that it is for."),
    ColumnSpec::optional("cpu", TextList, "The processors that it is for."),
    ColumnSpec::optional("libc", TextList, "The C libraries that it is for."),
    ColumnSpec::optional("bin", CommandList, "Its commands and their files."),
    ColumnSpec::optional("tarball_url", Text, "Where its archive is."),
    ColumnSpec::optional("shasum", Text, "The archive's SHA-1, in hex."),
    ColumnSpec::optional("integrity", Text, "The archive's digest, as subresource integrity."),
    ColumnSpec::optional("file_count", Number, "Files in the archive.").in_unit("files"),
    ColumnSpec::optional("unpacked_size_bytes", Number, "The size of those files.").in_unit("bytes"),
    ColumnSpec::optional("signature_keyids", TextList, "The keys that the registry signed it with."),
    ColumnSpec::optional("provenance_predicate_type", Text, "The kind of its provenance statement, if it has one."),
    ColumnSpec::optional("git_head", Text, "The commit that it was published from."),
    ColumnSpec::optional("npm_version", Text, "The npm that published it."),
    ColumnSpec::optional("node_version", Text, "The node that published it."),
    ColumnSpec::required(
        "fields",
        TextList,
        "The member names of the version's object, then `directories.x` for each of its directories.",
    ),
];

/// The members of one version by name.
pub(super) struct VersionValues<'t> {
    text: &'t str,
    members: &'t [Member],
    places: [u32; VersionMember::COUNT],
}

/// The place of a member that the version does not have.
const ABSENT: u32 = u32::MAX;

impl<'t> VersionValues<'t> {
    /// Looks the members up that columns need.
    pub(super) fn new(text: &'t str, members: &'t [Member]) -> Self {
        let mut places = [ABSENT; VersionMember::COUNT];
        for (place, found) in members.iter().enumerate() {
            if let Some(slot) = found.member.and_then(|member| places.get_mut(member as usize)) {
                *slot = place as u32;
            }
        }
        VersionValues { text, members, places }
    }

    /// The member as the outline has it.
    #[inline]
    pub(super) fn member(&self, member: VersionMember) -> Option<&'t Member> {
        let place = *self.places.get(member as usize)?;
        self.members.get(place as usize)
    }

    /// The value's text; `None` if it is absent or `null`.
    #[inline]
    pub(super) fn raw(&self, member: VersionMember) -> Option<&'t str> {
        let raw = self.member(member)?.value.of(self.text);
        (raw != "null").then_some(raw)
    }
}

/// What is known of a version beside its members.
#[derive(Debug, Clone, Copy)]
pub(super) struct VersionFacts<'t> {
    pub(super) version: &'t str,
    pub(super) version_index: i64,
    pub(super) is_latest: bool,
    pub(super) published_at: Option<i64>,
    pub(super) representation: Representation,
    /// Of its scripts.
    pub(super) runs_on_install: bool,
}

/// The last row within one document: its members' keys and its `directories`.
#[derive(Debug, Default)]
pub(super) struct FieldsMemo<'t> {
    last: Option<(&'t [Member], Option<Span>, usize)>,
}

/// Rows of the `versions` table.
#[derive(Debug, Default)]
pub(super) struct VersionsTable {
    name: TextColumn,
    version: TextColumn,
    version_index: NumberColumn,
    is_latest: BooleanColumn,
    major: NumberColumn,
    minor: NumberColumn,
    patch: NumberColumn,
    prerelease: TextColumn,
    build: TextColumn,
    published_at: TimeColumn,
    published_by: TextColumn,
    trusted_publisher: TextColumn,
    license: TextColumn,
    deprecated: TextColumn,
    description: TextColumn,
    main: TextColumn,
    module_type: TextColumn,
    types: TextColumn,
    has_install_script: BooleanColumn,
    has_shrinkwrap: BooleanColumn,
    engines_node: TextColumn,
    engines_npm: TextColumn,
    os: TextListColumn,
    cpu: TextListColumn,
    libc: TextListColumn,
    bin: CommandListColumn,
    tarball_url: TextColumn,
    shasum: TextColumn,
    integrity: TextColumn,
    file_count: NumberColumn,
    unpacked_size: NumberColumn,
    signature_keyids: TextListColumn,
    provenance_predicate_type: TextColumn,
    git_head: TextColumn,
    npm_version: TextColumn,
    node_version: TextColumn,
    fields: TextListColumn,
}

/// What a package's row takes from the version that is latest.
#[derive(Debug, Default)]
pub(super) struct LatestFacts {
    pub(super) deprecated: Option<String>,
    pub(super) has_install_script: Option<bool>,
}

impl VersionsTable {
    /// Adds a version. Gives what the package's row needs if it is latest.
    pub(super) fn push<'t>(
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

    /// Names the rows since the last call: they are all of `package`.
    pub(super) fn end_package(&mut self, package: &str) {
        self.name.push_n(package, self.version.rows() - self.name.rows());
    }

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        let lists = self.fields.size_bytes() + self.signature_keyids.size_bytes() + self.bin.size_bytes();
        let texts = [&self.name, &self.version, &self.description, &self.tarball_url, &self.shasum, &self.integrity];
        let texts: usize = texts.iter().map(|column| column.size_bytes()).sum();
        texts + lists + self.version.rows() * OTHER_COLUMNS_BYTES
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(
            TableKind::Versions,
            &mut [
                &mut self.name,
                &mut self.version,
                &mut self.version_index,
                &mut self.is_latest,
                &mut self.major,
                &mut self.minor,
                &mut self.patch,
                &mut self.prerelease,
                &mut self.build,
                &mut self.published_at,
                &mut self.published_by,
                &mut self.trusted_publisher,
                &mut self.license,
                &mut self.deprecated,
                &mut self.description,
                &mut self.main,
                &mut self.module_type,
                &mut self.types,
                &mut self.has_install_script,
                &mut self.has_shrinkwrap,
                &mut self.engines_node,
                &mut self.engines_npm,
                &mut self.os,
                &mut self.cpu,
                &mut self.libc,
                &mut self.bin,
                &mut self.tarball_url,
                &mut self.shasum,
                &mut self.integrity,
                &mut self.file_count,
                &mut self.unpacked_size,
                &mut self.signature_keyids,
                &mut self.provenance_predicate_type,
                &mut self.git_head,
                &mut self.npm_version,
                &mut self.node_version,
                &mut self.fields,
            ],
        )
    }
}

/// What the columns that `size_bytes` does not add up take in a row, about.
const OTHER_COLUMNS_BYTES: usize = 300;

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
