//! The outline of a packument: its members, its versions, and each version's members, as offsets into its text. It
//! copies nothing and interprets nothing. Not here: the walk that fills it (`packument_outline`).

/// A stretch of a document's text, in bytes. Documents are below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// Returns the text of this span.
    #[inline]
    pub fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Returns the number of bytes of this span.
    pub fn size_bytes(self) -> u32 {
        self.end.saturating_sub(self.start)
    }
}

macro_rules! members {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $key:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $(#[doc = concat!("`", $key, "`")] $variant),+
        }

        impl $name {
            /// The number of members.
            pub const COUNT: usize = [$($key),+].len();

            /// All of them.
            pub const ALL: [$name; $name::COUNT] = [$($name::$variant),+];

            /// Returns the member of that name, if a column needs it.
            pub fn of_key(key: &str) -> Option<Self> {
                match key {
                    $($key => Some($name::$variant),)+
                    _ => None,
                }
            }

            /// Returns its name in the document.
            pub fn key(self) -> &'static str {
                match self { $($name::$variant => $key),+ }
            }
        }
    };
}

members! {
    /// The members of a document from which columns are made.
    DocumentMember {
        Id = "_id",
        Rev = "_rev",
        Name = "name",
        Description = "description",
        DistTags = "dist-tags",
        Tags = "tags",
        Versions = "versions",
        Time = "time",
        Modified = "modified",
        Users = "users",
        Maintainers = "maintainers",
        Contributors = "contributors",
        License = "license",
        Licenses = "licenses",
        Licence = "licence",
        Homepage = "homepage",
        Repository = "repository",
        Repositories = "repositories",
        Bugs = "bugs",
        Author = "author",
        Keywords = "keywords",
        ReadmeFilename = "readmeFilename",
    }
}

members! {
    /// The members of a version from which columns are made.
    VersionMember {
        Version = "version",
        Description = "description",
        Dist = "dist",
        NpmUser = "_npmUser",
        NpmVersion = "_npmVersion",
        NodeVersion = "_nodeVersion",
        GitHead = "gitHead",
        License = "license",
        Licenses = "licenses",
        Licence = "licence",
        Deprecated = "deprecated",
        Funding = "funding",
        Main = "main",
        Exports = "exports",
        Type = "type",
        Types = "types",
        Typings = "typings",
        HasInstallScript = "hasInstallScript",
        HasShrinkwrap = "_hasShrinkwrap",
        Engines = "engines",
        Os = "os",
        Cpu = "cpu",
        Libc = "libc",
        Bin = "bin",
        Scripts = "scripts",
        Directories = "directories",
        Dependencies = "dependencies",
        DevDependencies = "devDependencies",
        PeerDependencies = "peerDependencies",
        PeerDependenciesMeta = "peerDependenciesMeta",
        OptionalDependencies = "optionalDependencies",
        BundleDependencies = "bundleDependencies",
        BundledDependencies = "bundledDependencies",
    }
}

members! {
    /// The members of a version's `dist` from which columns are made.
    DistMember {
        Tarball = "tarball",
        Shasum = "shasum",
        Integrity = "integrity",
        FileCount = "fileCount",
        UnpackedSize = "unpackedSize",
        Signatures = "signatures",
        Attestations = "attestations",
    }
}

/// The spans of the members of a version's `dist`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DistOutline {
    pub(super) values: [Option<Span>; DistMember::COUNT],
}

impl DistOutline {
    /// Returns the value's text; `None` if it is absent or `null`.
    pub fn raw<'t>(&self, text: &'t str, member: DistMember) -> Option<&'t str> {
        let raw = self.values.get(member as usize).copied().flatten()?.of(text);
        (raw != "null").then_some(raw)
    }
}

/// One member of a version's object.
///
/// Versions of a package repeat each other. A key or a value that equals that of the version before, byte for byte, has
/// the span of its first occurrence. So equal spans mean equal text, and a result derived from it can be reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The key, between its quotes.
    pub key: Span,
    /// The value's text.
    pub value: Span,
    /// The member that it is, if a column needs it.
    pub member: Option<VersionMember>,
    /// Whether the value is a string without escapes.
    pub plain_string: bool,
}

/// One entry of `versions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionOutline {
    /// Its key, between the quotes.
    pub key: Span,
    /// The entry's text.
    pub value: Span,
    /// Its members, as a range of [`Outline::members`]; `None` if it is not an object.
    pub members: Option<(u32, u32)>,
    /// The index of its `dist`; `None` if that is not an object, or has a repeated key.
    pub(super) dist: Option<u32>,
}

/// A value that a later one of the same key replaced, as in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// The key of the version that held it; `None` for a member of the document or a whole version.
    pub version: Option<Span>,
    /// The repeated key, between its quotes.
    pub key: Span,
    /// The value that was replaced.
    pub value: Span,
}

/// The outline of one document. Its buffers are reused from document to document.
#[derive(Debug, Default)]
pub struct Outline {
    pub(super) document: [Option<Span>; DocumentMember::COUNT],
    pub(super) versions: Vec<VersionOutline>,
    pub(super) members: Vec<Member>,
    pub(super) dists: Vec<DistOutline>,
    pub(super) replaced: Vec<Replaced>,
}

impl Outline {
    /// Returns the text of a member of the document; `None` if it is absent or `null`.
    pub fn member<'t>(&self, text: &'t str, member: DocumentMember) -> Option<&'t str> {
        let raw = self.document.get(member as usize).copied().flatten()?.of(text);
        (raw != "null").then_some(raw)
    }

    /// Returns the entries of `versions`, each key once, in the order of the document.
    pub fn versions(&self) -> &[VersionOutline] {
        &self.versions
    }

    /// Returns the members of a version, each key once.
    pub fn members(&self, version: &VersionOutline) -> &[Member] {
        let (start, end) = version.members.unwrap_or_default();
        self.members.get(start as usize..end as usize).unwrap_or_default()
    }

    /// Returns the `dist` of a version; `None` if that is not an object, or has a repeated key.
    pub fn dist(&self, version: &VersionOutline) -> Option<&DistOutline> {
        self.dists.get(version.dist? as usize)
    }

    /// Returns the values that a later one replaced.
    pub fn replaced(&self) -> &[Replaced] {
        &self.replaced
    }
}
