//! The `dist_tags` table: a tag of a package.

use arrow::array::RecordBatch;

use super::column::{Column, TextColumn};
use super::document::record_batch;
use super::read::Reader;
use super::schema::ColumnSpec;
use super::schema::ColumnType::Text;
use crate::error::Result;
use crate::npm::QuirkCode;
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required("tag", Text, "The tag."),
    ColumnSpec::optional("version", Text, "The version that it points to, which need not exist."),
];

/// Rows of the `dist_tags` table.
#[derive(Debug, Default)]
pub(super) struct DistTagsTable {
    name: TextColumn,
    tag: TextColumn,
    version: TextColumn,
}

impl DistTagsTable {
    /// Adds the tags of `dist-tags`, or of `tags` where old documents have them. Gives the version of `latest`.
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

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.name.size_bytes() + self.tag.size_bytes() + self.version.size_bytes()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(TableKind::DistTags, &mut [&mut self.name, &mut self.tag, &mut self.version])
    }
}
