//! The `dist_tags` table: a tag of a package.

use super::column::TextColumn;
use super::hooks::DocumentTable;
use super::read::Reader;
use super::spec::TableSpec;
use crate::npm::QuirkCode;

pub(super) const TABLE: TableSpec = TableSpec::new(1, DistTagsTable::COLUMNS);

columns! {
    /// Rows of the `dist_tags` table.
    pub(super) struct DistTagsTable of DistTags {
        name: TextColumn = required("The package's name."),
        tag: TextColumn = required("The tag."),
        version: TextColumn = optional("The version that it points to, which need not exist."),
    }
}

impl DocumentTable for DistTagsTable {}

impl DistTagsTable {
    /// Adds the tags of `dist-tags`, or of `tags` in old documents. Returns the version of `latest`.
    pub(super) fn push(
        &mut self,
        reader: &mut Reader<'_>,
        dist_tags: Option<&str>,
        tags: Option<&str>,
    ) -> Option<String> {
        let (field, raw) = match (dist_tags, tags) {
            (None, Some(tags)) => {
                reader.note("tags", QuirkCode::ReadFromOtherMember, tags);
                ("tags", Some(tags))
            }
            _ => ("dist-tags", dist_tags),
        };
        let mut latest = None;
        for entry in reader.entries(field, raw).unwrap_or_default() {
            let version = reader.text_or_first(&format!("{field}.{}", entry.key), Some(entry.raw));
            self.name.push(reader.name);
            self.tag.push(&entry.key);
            self.version.push_option(version.as_deref());
            if entry.key == "latest" {
                latest = version.map(|version| version.into_owned());
            }
        }
        latest
    }
}
