//! The `maintainers` table: a maintainer of a package.

use arrow::array::RecordBatch;

use super::column::{Column, TextColumn};
use super::document::record_batch;
use super::read::Reader;
use super::schema::ColumnSpec;
use super::schema::ColumnType::Text;
use super::shapes::read_from_raw;
use crate::error::Result;
use crate::npm::QuirkCode;
use crate::npm::json::Kind;
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::optional("maintainer", Text, "The maintainer's user name."),
    ColumnSpec::optional("email", Text, "The maintainer's e-mail address."),
];

/// The user that the registry itself acts as.
const NPM_USER: &str = "npm";

/// What the maintainers of one package add up to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MaintainerFacts {
    pub(super) count: i64,
    /// Whether one of them is the registry itself.
    pub(super) has_npm: bool,
}

/// Rows of the `maintainers` table.
#[derive(Debug, Default)]
pub(super) struct MaintainersTable {
    name: TextColumn,
    maintainer: TextColumn,
    email: TextColumn,
}

impl MaintainersTable {
    /// Adds the maintainers of a document: a list of `{name, email}`; lines `name <email>`, and one that stands
    /// without a list, are read too.
    pub(super) fn push(&mut self, reader: &mut Reader<'_>, raw: Option<&str>) -> MaintainerFacts {
        let mut facts = MaintainerFacts::default();
        let Some(raw) = raw else { return facts };
        match Kind::of(raw) {
            Kind::Array => {
                for item in Reader::items(raw) {
                    self.push_item(reader, item, &mut facts);
                }
            }
            Kind::Object => {
                reader.note("maintainers", QuirkCode::ReadFromObject, raw);
                self.push_item(reader, raw, &mut facts);
            }
            Kind::String => self.push_item(reader, raw, &mut facts),
            _ => reader.note("maintainers", QuirkCode::NotAList, raw),
        }
        facts
    }

    fn push_item(&mut self, reader: &mut Reader<'_>, raw: &str, facts: &mut MaintainerFacts) {
        match Kind::of(raw) {
            Kind::Object => {}
            Kind::String => reader.note("maintainers", read_from_raw(raw), raw),
            _ => {
                reader.note("maintainers", QuirkCode::ItemDropped, raw);
                return;
            }
        }
        let person = reader.person("maintainers", Some(raw));
        facts.count += 1;
        facts.has_npm |= person.name.as_deref() == Some(NPM_USER);
        self.name.push(reader.name);
        self.maintainer.push_option(person.name.as_deref());
        self.email.push_option(person.email.as_deref());
    }

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.name.size_bytes() + self.maintainer.size_bytes() + self.email.size_bytes()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(TableKind::Maintainers, &mut [&mut self.name, &mut self.maintainer, &mut self.email])
    }
}
