//! The tables of a lake. Their columns are in `table/`, one file a table.

/// One table: a folder of shards under its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableKind {
    /// A row of `_all_docs`.
    Docs,
    /// A document as served.
    Packuments,
    /// A package.
    Packages,
    /// A published version.
    Versions,
    /// One edge from a version to what it depends on.
    Dependencies,
    /// A dist-tag.
    DistTags,
    /// A maintainer of a package.
    Maintainers,
    /// A script of a version.
    Scripts,
    /// A star that a user gave.
    Stars,
    /// A version that `time` remembers and `versions` does not.
    Unpublished,
    /// What became of the last request for a name.
    Outcomes,
    /// A value that did not fit its column.
    Quirks,
}

impl TableKind {
    /// Every table, in the order of the documentation.
    pub const ALL: [TableKind; 12] = [
        TableKind::Docs,
        TableKind::Packuments,
        TableKind::Packages,
        TableKind::Versions,
        TableKind::Dependencies,
        TableKind::DistTags,
        TableKind::Maintainers,
        TableKind::Scripts,
        TableKind::Stars,
        TableKind::Unpublished,
        TableKind::Outcomes,
        TableKind::Quirks,
    ];

    /// The tables that are a function of the documents: all but `docs` and `outcomes`.
    pub const OF_DOCUMENTS: [TableKind; 10] = [
        TableKind::Packuments,
        TableKind::Packages,
        TableKind::Versions,
        TableKind::Dependencies,
        TableKind::DistTags,
        TableKind::Maintainers,
        TableKind::Scripts,
        TableKind::Stars,
        TableKind::Unpublished,
        TableKind::Quirks,
    ];

    /// The tables that the answers to requests for documents are written to: all but `docs`.
    pub fn of_answers() -> impl Iterator<Item = TableKind> {
        TableKind::OF_DOCUMENTS.into_iter().chain([TableKind::Outcomes])
    }

    /// The table's name in SQL, and its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            TableKind::Docs => "docs",
            TableKind::Packuments => "packuments",
            TableKind::Packages => "packages",
            TableKind::Versions => "versions",
            TableKind::Dependencies => "dependencies",
            TableKind::DistTags => "dist_tags",
            TableKind::Maintainers => "maintainers",
            TableKind::Scripts => "scripts",
            TableKind::Stars => "stars",
            TableKind::Unpublished => "unpublished",
            TableKind::Outcomes => "outcomes",
            TableKind::Quirks => "quirks",
        }
    }

    /// The table of that name.
    pub fn parse(name: &str) -> Option<Self> {
        TableKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What one row is.
    pub fn grain(self) -> &'static str {
        match self {
            TableKind::Docs => "a row of _all_docs",
            TableKind::Packuments => "a document as served",
            TableKind::Packages => "a package",
            TableKind::Versions => "a published version",
            TableKind::Dependencies => "one edge from a version to what it depends on",
            TableKind::DistTags => "a dist-tag",
            TableKind::Maintainers => "a maintainer of a package",
            TableKind::Scripts => "a script of a version",
            TableKind::Stars => "a star that a user gave",
            TableKind::Unpublished => "a version that time remembers and versions does not",
            TableKind::Outcomes => "what became of the last request for a name",
            TableKind::Quirks => "a value that did not fit its column",
        }
    }
}

impl std::fmt::Display for TableKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
