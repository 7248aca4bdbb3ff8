//! The `packages` table: a package, by the members of its document that stand beside its versions.

use arrow::array::RecordBatch;

use super::column::{BooleanColumn, Column, NumberColumn, TextColumn, TextListColumn, TimeColumn};
use super::document::record_batch;
use super::maintainers::MaintainerFacts;
use super::read::Reader;
use super::schema::ColumnSpec;
use super::schema::ColumnType::{Boolean, Number, Text, TextList, Time};
use super::times::Times;
use crate::error::Result;
use crate::npm::packument::{DocumentMember, Outline};
use crate::npm::{QuirkCode, Representation};
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::optional("scope", Text, "What stands between `@` and `/` of the name."),
    ColumnSpec::required("rev", Text, "The document's `_rev`; the announced one if it has none."),
    ColumnSpec::optional("latest", Text, "The version that the tag `latest` points to, which need not exist."),
    ColumnSpec::optional("description", Text, "The document's own description, as all columns down to created_at."),
    ColumnSpec::optional("license", Text, "`license`, else `licenses`, as one text."),
    ColumnSpec::optional("homepage", Text, "The address of its home page."),
    ColumnSpec::optional("repository_type", Text, "The kind of its repository: git."),
    ColumnSpec::optional("repository_url", Text, "The address of its repository, or a short form of it, as published."),
    ColumnSpec::optional("repository_directory", Text, "Where in the repository it lies."),
    ColumnSpec::optional("bugs_url", Text, "The address of its bug tracker."),
    ColumnSpec::optional("author_name", Text, "The author's name."),
    ColumnSpec::optional("author_email", Text, "The author's e-mail address."),
    ColumnSpec::optional("author_url", Text, "The author's own page."),
    ColumnSpec::optional("keywords", TextList, "Its keywords."),
    ColumnSpec::optional("readme_filename", Text, "The file that its readme came from."),
    ColumnSpec::optional("created_at", Time, "When the document was made."),
    ColumnSpec::optional("modified_at", Time, "When the document was last changed, be it by an owner or a tag."),
    ColumnSpec::optional("unpublished_at", Time, "When the package was unpublished as a whole."),
    ColumnSpec::required("version_count", Number, "Its rows in `versions`.").in_unit("versions"),
    ColumnSpec::optional("maintainer_count", Number, "Its rows in `maintainers`; null if abbreviated.")
        .in_unit("users"),
    ColumnSpec::optional("star_count", Number, "The stars that hold; null if abbreviated.").in_unit("users"),
    ColumnSpec::optional("deprecated", Text, "The deprecation message of `latest`; see `versions.deprecated`."),
    ColumnSpec::optional("has_install_script", Boolean, "Whether `latest` runs a script when it is installed."),
    ColumnSpec::optional(
        "security_holding",
        Boolean,
        "Whether the registry holds the name for security: `latest` ends in -security, the repository is \
         npm/security-holder, and npm is a maintainer. Null if abbreviated.",
    ),
];

/// What the other tables know of a package.
#[derive(Debug, Default)]
pub(super) struct PackageFacts<'t> {
    pub(super) rev: &'t str,
    pub(super) representation: Representation,
    pub(super) latest: Option<&'t str>,
    pub(super) version_count: usize,
    pub(super) maintainers: MaintainerFacts,
    pub(super) star_count: i64,
    /// Of the version that is latest.
    pub(super) deprecated: Option<&'t str>,
    /// Of the version that is latest.
    pub(super) has_install_script: Option<bool>,
}

/// Rows of the `packages` table.
#[derive(Debug, Default)]
pub(super) struct PackagesTable {
    name: TextColumn,
    scope: TextColumn,
    rev: TextColumn,
    latest: TextColumn,
    description: TextColumn,
    license: TextColumn,
    homepage: TextColumn,
    repository_type: TextColumn,
    repository_url: TextColumn,
    repository_directory: TextColumn,
    bugs_url: TextColumn,
    author_name: TextColumn,
    author_email: TextColumn,
    author_url: TextColumn,
    keywords: TextListColumn,
    readme_filename: TextColumn,
    created_at: TimeColumn,
    modified_at: TimeColumn,
    unpublished_at: TimeColumn,
    version_count: NumberColumn,
    maintainer_count: NumberColumn,
    star_count: NumberColumn,
    deprecated: TextColumn,
    has_install_script: BooleanColumn,
    security_holding: BooleanColumn,
}

impl PackagesTable {
    /// Adds a package.
    pub(super) fn push(
        &mut self,
        reader: &mut Reader<'_>,
        outline: &Outline,
        text: &str,
        times: &Times<'_>,
        facts: &PackageFacts<'_>,
    ) {
        let raw = |member| outline.member(text, member);
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

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.name.size_bytes() + self.description.size_bytes() + self.repository_url.size_bytes()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(
            TableKind::Packages,
            &mut [
                &mut self.name,
                &mut self.scope,
                &mut self.rev,
                &mut self.latest,
                &mut self.description,
                &mut self.license,
                &mut self.homepage,
                &mut self.repository_type,
                &mut self.repository_url,
                &mut self.repository_directory,
                &mut self.bugs_url,
                &mut self.author_name,
                &mut self.author_email,
                &mut self.author_url,
                &mut self.keywords,
                &mut self.readme_filename,
                &mut self.created_at,
                &mut self.modified_at,
                &mut self.unpublished_at,
                &mut self.version_count,
                &mut self.maintainer_count,
                &mut self.star_count,
                &mut self.deprecated,
                &mut self.has_install_script,
                &mut self.security_holding,
            ],
        )
    }
}
