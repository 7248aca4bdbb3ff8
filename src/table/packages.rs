//! The `packages` table: a package, by the members of its document outside of its versions.

use super::column::{BooleanColumn, NumberColumn, TextColumn, TextListColumn, TimeColumn};
use super::hooks::{DocumentMembers, DocumentTable};
use super::maintainers::MaintainerFacts;
use super::read::Reader;
use super::spec::{RowsOf, TableSpec};
use super::times::Times;
use crate::npm::packument::DocumentMember;
use crate::npm::{QuirkCode, Representation};

/// The facts that the other tables know of a package.
#[derive(Debug, Default)]
pub(super) struct PackageFacts<'t> {
    pub(super) rev: &'t str,
    pub(super) representation: Representation,
    pub(super) latest: Option<&'t str>,
    pub(super) version_count: usize,
    pub(super) maintainers: MaintainerFacts,
    pub(super) star_count: i64,
    /// The deprecation message of the latest version.
    pub(super) deprecated: Option<&'t str>,
    /// Whether the latest version has an install script.
    pub(super) has_install_script: Option<bool>,
}

pub(super) const TABLE: TableSpec = TableSpec {
    rows_of: RowsOf::Name,
    group_size: 2_048,
    stored_bytes_per_row: 200,
    ..TableSpec::new(1, PackagesTable::COLUMNS)
};

columns! {
    /// Rows of the `packages` table.
    pub(super) struct PackagesTable of Packages {
        name: TextColumn = required("The package's name.").unique(),
        scope: TextColumn = optional("The part of the name between `@` and `/`."),
        rev: TextColumn = required("The document's `_rev`; the announced one if it has none.")
            .unique().without_statistics(),
        latest: TextColumn = optional("The version that the tag `latest` points to, which need not exist."),
        description: TextColumn = optional("The document's own description, as all columns down to created_at.")
            .unique(),
        license: TextColumn = optional("`license`, else `licenses`, as one text."),
        homepage: TextColumn = optional("The address of its home page.").unique(),
        repository_type: TextColumn = optional("The kind of its repository: git."),
        repository_url: TextColumn = optional(
            "The address of its repository, or a short form of it, as published."
        ).unique(),
        repository_directory: TextColumn = optional("Its directory in the repository."),
        bugs_url: TextColumn = optional("The address of its bug tracker.").unique(),
        author_name: TextColumn = optional("The author's name."),
        author_email: TextColumn = optional("The author's e-mail address."),
        author_url: TextColumn = optional("The author's own page."),
        keywords: TextListColumn = optional("Its keywords."),
        readme_filename: TextColumn = optional("The file of its readme."),
        created_at: TimeColumn = optional("When the document was made."),
        modified_at: TimeColumn = optional("When the document was last changed, including its owners and tags."),
        unpublished_at: TimeColumn = optional("When the package was unpublished as a whole."),
        version_count: NumberColumn = required("Its rows in `versions`.").in_unit("versions"),
        maintainer_count: NumberColumn = optional("Its rows in `maintainers`; null if abbreviated.").in_unit("users"),
        star_count: NumberColumn = optional("The number of its stars; null if abbreviated.").in_unit("users"),
        deprecated: TextColumn = optional("The deprecation message of `latest`; see `versions.deprecated`."),
        has_install_script: BooleanColumn = optional("Whether `latest` runs a script when it is installed."),
        security_holding: BooleanColumn = optional(
            "Whether the registry holds the name for security: `latest` ends in -security, the repository is \
             npm/security-holder, and npm is a maintainer. Null if abbreviated."
        ),
    }
}

impl DocumentTable for PackagesTable {}

impl PackagesTable {
    /// Adds a package.
    pub(super) fn push(
        &mut self,
        reader: &mut Reader<'_>,
        document: &DocumentMembers<'_>,
        times: &Times<'_>,
        facts: &PackageFacts<'_>,
    ) {
        let raw = |member| document.raw(member);
        let is_full = facts.representation == Representation::Full;
        self.name.push(reader.name);
        self.scope.push_option(crate::npm::scope(reader.name));
        self.rev.push(facts.rev);
        self.latest.push_option(facts.latest);
        self.description.push_option(reader.text("description", raw(DocumentMember::Description)).as_deref());
        let license =
            reader.license(raw(DocumentMember::License), raw(DocumentMember::Licenses), raw(DocumentMember::Licence));
        self.license.push_option(license.as_deref());
        self.homepage.push_option(reader.text_or_first("homepage", raw(DocumentMember::Homepage)).as_deref());

        let repository = match (raw(DocumentMember::Repository), raw(DocumentMember::Repositories)) {
            (None, Some(several)) => {
                reader.note("repositories", QuirkCode::ReadFromOtherMember, several);
                reader.repository("repositories", Some(several))
            }
            (repository, _) => reader.repository("repository", repository),
        };
        self.repository_type.push_option(repository.kind.as_deref());
        self.repository_url.push_option(repository.url.as_deref());
        self.repository_directory.push_option(repository.directory.as_deref());
        self.bugs_url.push_option(reader.bugs_url(raw(DocumentMember::Bugs)).as_deref());

        let author = reader.person("author", raw(DocumentMember::Author));
        self.author_name.push_option(author.name.as_deref());
        self.author_email.push_option(author.email.as_deref());
        self.author_url.push_option(author.url.as_deref());

        match reader.keywords(raw(DocumentMember::Keywords)) {
            Some(words) => {
                words.iter().for_each(|word| self.keywords.push_item(word));
                self.keywords.end_list();
            }
            None => self.keywords.push_null(),
        }
        let readme_filename = reader.text("readmeFilename", raw(DocumentMember::ReadmeFilename));
        self.readme_filename.push_option(readme_filename.as_deref());

        self.created_at.push(times.created_at);
        let modified_at = times.modified_at.or_else(|| reader.time("modified", raw(DocumentMember::Modified)));
        self.modified_at.push(modified_at);
        self.unpublished_at.push(times.unpublished_at);
        self.version_count.push(i64::try_from(facts.version_count).ok());
        self.maintainer_count.push(is_full.then_some(facts.maintainers.count));
        self.star_count.push(is_full.then_some(facts.star_count));
        self.deprecated.push_option(facts.deprecated);
        self.has_install_script.push(facts.has_install_script);
        let is_holding = facts.latest.is_some_and(|latest| latest.ends_with("-security"))
            && repository.url.as_deref().is_some_and(|url| url.contains("npm/security-holder"))
            && facts.maintainers.has_npm;
        self.security_holding.push(is_full.then_some(is_holding));
    }
}
