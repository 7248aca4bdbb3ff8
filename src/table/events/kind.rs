//! The kinds of events: each with its text in the column `event`, and what it says.

macro_rules! kinds {
    ($($(#[$attribute:meta])* $variant:ident = $text:literal, $doc:literal;)+) => {
        /// What happened to a package.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $(#[doc = $doc] $variant,)+
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: [EventKind; [$($text),+].len()] = [$(EventKind::$variant),+];

            /// Returns its text in the column `event`.
            pub fn as_str(self) -> &'static str {
                match self { $(EventKind::$variant => $text),+ }
            }

            /// Returns what it says, in one sentence.
            pub fn doc(self) -> &'static str {
                match self { $(EventKind::$variant => $doc),+ }
            }
        }
    };
}

kinds! {
    PackageAdded = "package_added", "The registry has a new package.";
    PackageUnpublished = "package_unpublished", "The whole package was unpublished: a tombstone is left.";
    PackageRemoved = "package_removed", "The registry no longer has the package.";
    PackageRestored = "package_restored", "A package that was unpublished or removed is back.";
    VersionPublished = "version_published", "The package has a new version.";
    VersionUnpublished = "version_unpublished", "A version is gone.";
    VersionRepublished = "version_republished", "A version is back whose number had vanished.";
    Deprecated = "deprecated", "A version is deprecated, or its message is another one.";
    Undeprecated = "undeprecated", "A version is no longer deprecated.";
    DistTagAdded = "dist_tag_added", "The package has a new dist-tag.";
    DistTagMoved = "dist_tag_moved", "A dist-tag points to another version.";
    DistTagRemoved = "dist_tag_removed", "A dist-tag is gone.";
    MaintainerAdded = "maintainer_added", "The package has a new maintainer.";
    MaintainerRemoved = "maintainer_removed", "A maintainer is gone.";
    PublisherNew = "publisher_new", "A new version is by a user who had published no earlier one.";
    InstallScriptAdded = "install_script_added", "A new version runs a script on install, and the one before it did not.";
    InstallScriptChanged = "install_script_changed", "A new version runs another command on install than the one before it.";
    InstallScriptRemoved = "install_script_removed", "A new version has no longer a script that the one before it ran on install.";
    DependencyAdded = "dependency_added", "The newest version has a dependency that the one before it had not.";
    DependencyRemoved = "dependency_removed", "The newest version lacks a dependency that the one before it had.";
    ProvenanceLost = "provenance_lost", "A new version has no provenance, and the one before it had.";
    ProvenanceGained = "provenance_gained", "A new version has provenance, and the one before it had none.";
    TrustedPublishingLost = "trusted_publishing_lost", "A new version was published with a user's token, and the one before it by a trusted service.";
    TrustedPublishingGained = "trusted_publishing_gained", "A new version was published by a trusted service, and the one before it with a user's token.";
    LicenseChanged = "license_changed", "The package has another license.";
    RepositoryChanged = "repository_changed", "The package names another repository.";
}

impl EventKind {
    /// Returns the kind of that text.
    pub fn parse(text: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
