//! Turns documents into columns: the list of the tables, and one file for each table, with its columns and the code
//! that makes its rows from a document.
//!
//! To add a column: declare it in its table's file, push it there, and raise the table's `schema_version`. To add a
//! table: name it in the list below, and write its file: the columns (`columns!`), `TABLE`, and the `hooks` that it
//! needs.
//!
//! Not here: Parquet (`encode`), and the source of a document (`fetch`). No runtime and no I/O.

#[macro_use]
mod columns;
#[macro_use]
mod kind;

mod arrow_types;
mod column;
mod contributors;
mod dependencies;
mod dist_tags;
mod docs;
mod document;
pub mod events;
mod hooks;
mod limits;
mod maintainers;
mod outcomes;
mod packages;
mod packuments;
mod quirks;
mod read;
mod schema;
mod scripts;
mod shapes;
mod spec;
mod stars;
mod times;
mod unpublished;
mod version_shapes;
mod versions;

pub use document::{Decoded, DocumentInput, DocumentTables, Drain};
pub use outcomes::OutcomeRow;
pub use schema::{SCHEMA_VERSION_KEY, schema, schema_version};
pub use spec::{ColumnEncoding, ColumnSpec, ColumnType, RowsOf, TableSpec};

tables! {
    listing { Docs = docs::DocsBuilder, "a row of _all_docs" }
    documents {
        Packuments = packuments::PackumentsTable, "a document as served";
        Packages = packages::PackagesTable, "a package";
        Versions = versions::VersionsTable, "a published version";
        Dependencies = dependencies::DependenciesTable, "one edge from a version to a package that it depends on";
        DistTags = dist_tags::DistTagsTable, "a dist-tag";
        Maintainers = maintainers::MaintainersTable, "a maintainer of a package";
        Contributors = contributors::ContributorsTable, "a contributor of a package";
        Scripts = scripts::ScriptsTable, "a script of a version";
        Stars = stars::StarsTable, "a star that a user gave";
        Unpublished = unpublished::UnpublishedTable, "a version that `time` names and `versions` does not";
    }
    quirks { Quirks = quirks::QuirksTable, "a value that did not fit its column" }
    answers { Outcomes = outcomes::OutcomesBuilder, "the outcome of the last request for a name" }
}

impl TableKind {
    /// Returns the table of that name.
    pub fn parse(name: &str) -> Option<Self> {
        TableKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl std::fmt::Display for TableKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
