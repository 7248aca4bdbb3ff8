//! The `versions` table: a published version.

mod row;
mod values;

use arrow::array::RecordBatch;

use super::column::{BooleanColumn, Column, CommandListColumn, NumberColumn, TextColumn, TextListColumn, TimeColumn};
use super::document::record_batch;
use super::schema::ColumnSpec;
use super::schema::ColumnType::{Boolean, CommandList, Number, Text, TextList, Time};
use crate::error::Result;
use crate::table::TableKind;

pub(super) use row::{LatestFacts, RowMemo, VersionFacts};
pub(super) use values::VersionValues;

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

/// What the columns that `size_bytes` does not add up take in a row, about.
const OTHER_COLUMNS_BYTES: usize = 300;

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

impl VersionsTable {
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
