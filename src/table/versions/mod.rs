//! The `versions` table: a published version.

mod facts;
mod row;
mod values;

use super::column::{BooleanColumn, CommandListColumn, NumberColumn, TextColumn, TextListColumn, TimeColumn};
use super::spec::TableSpec;

pub(super) use facts::{LatestFacts, VersionFacts};
pub(super) use row::RowMemo;
pub(super) use values::VersionValues;

pub(super) const TABLE: TableSpec =
    TableSpec { group_size: 4_096, stored_bytes_per_row: 120, ..TableSpec::new(2, VersionsTable::COLUMNS) };

columns! {
    /// Rows of the `versions` table.
    pub(super) struct VersionsTable of Versions {
        name: TextColumn = required("The package's name."),
        version: TextColumn = required("The version: its key in `versions`.").without_statistics(),
        version_index: NumberColumn = required("Its place in the order of publication, from 0.").in_unit("versions"),
        is_latest: BooleanColumn = required("Whether `dist-tags.latest` points to it."),
        major: NumberColumn = optional(
            "The first number; null if it is not a semantic version, as the next four."
        ),
        minor: NumberColumn = optional("The second number."),
        patch: NumberColumn = optional("The third number."),
        prerelease: TextColumn = optional("The part after `-`."),
        build: TextColumn = optional("The part after `+`."),
        published_at: TimeColumn = optional("When it was published.").unique(),
        published_by: TextColumn = optional("The user who published it."),
        published_by_email: TextColumn = optional("The e-mail address of that user.").without_statistics(),
        trusted_publisher: TextColumn = optional(
            "The service that published it without a user's token: github."
        ),
        license: TextColumn = optional("`license`, else `licenses`, as one text.").without_statistics(),
        deprecated: TextColumn = optional(
            "The deprecation message, empty if there is none; null if not deprecated."
        ),
        description: TextColumn = optional("Its own description.").without_statistics(),
        funding_url: TextColumn = optional("The first address of `funding`."),
        main: TextColumn = optional("The file that `require` loads.").without_statistics(),
        exports: BooleanColumn = optional(
            "Whether it has a member `exports`, whatever its value; null if abbreviated."
        ),
        module_type: TextColumn = optional("`type`: module or commonjs."),
        types: TextColumn = optional("`types`, else `typings`: the file of its type declarations."),
        has_install_script: BooleanColumn = optional("Whether it runs a script when it is installed."),
        has_shrinkwrap: BooleanColumn = optional("Whether it contains a lock file."),
        dependency_count: NumberColumn = optional("Its rows of kind prod in `dependencies`.").in_unit("dependencies"),
        engines_node: TextColumn = optional("The range of node that it requires.").without_statistics(),
        engines_npm: TextColumn = optional("The range of npm that it requires."),
        os: TextListColumn = optional("The operating systems that it is for."),
        cpu: TextListColumn = optional("The processors that it is for."),
        libc: TextListColumn = optional("The C libraries that it is for."),
        bin: CommandListColumn = optional("Its commands and their files."),
        tarball_url: TextColumn = optional("The address of its archive.").unique().without_statistics(),
        shasum: TextColumn = optional("The archive's SHA-1, in hex.").unique().without_statistics(),
        integrity: TextColumn = optional("The archive's digest, as subresource integrity.")
            .unique().without_statistics(),
        file_count: NumberColumn = optional("Files in the archive.").in_unit("files"),
        unpacked_size_bytes: NumberColumn = optional("The size of those files.").in_unit("bytes").unique(),
        signature_keyids: TextListColumn = optional("The keys that the registry signed it with."),
        provenance_predicate_type: TextColumn = optional("The kind of its provenance statement, if it has one."),
        attestations_url: TextColumn = optional("The address of its attestations.").unique(),
        git_head: TextColumn = optional("The commit that it was published from.").unique().without_statistics(),
        npm_version: TextColumn = optional("The npm that published it.").without_statistics(),
        node_version: TextColumn = optional("The node that published it.").without_statistics(),
        fields: TextListColumn = required(
            "The member names of the version's object, then `directories.x` for each of its directories."
        ).without_statistics(),
    }
}
