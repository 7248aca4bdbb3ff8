//! The `contributors` table: a contributor of a package.
//!
//! SQL over the raw documents cannot make this table: a document has people as objects, as lines `Name <email> (url)`,
//! or as lists of either.

use super::column::{NumberColumn, TextColumn};
use super::hooks::{DocumentMembers, DocumentTable};
use super::read::Reader;
use super::spec::TableSpec;
use crate::npm::packument::DocumentMember;

pub(super) const TABLE: TableSpec = TableSpec::new(1, ContributorsTable::COLUMNS);

columns! {
    /// Rows of the `contributors` table.
    pub(super) struct ContributorsTable of Contributors {
        name: TextColumn = required("The package's name."),
        contributor_index: NumberColumn = required("The place among its contributors, from 0.")
            .in_unit("contributors"),
        contributor: TextColumn = optional("The contributor's name.").filtered(),
        email: TextColumn = optional("The contributor's e-mail address."),
        url: TextColumn = optional("The contributor's own page."),
    }
}

impl DocumentTable for ContributorsTable {
    fn push_document(&mut self, reader: &mut Reader<'_>, document: &DocumentMembers<'_>) {
        let mut index = 0;
        reader.people("contributors", document.raw(DocumentMember::Contributors), |person| {
            self.name.push(document.name);
            self.contributor_index.push(Some(index));
            self.contributor.push_option(person.name.as_deref());
            self.email.push_option(person.email.as_deref());
            self.url.push_option(person.url.as_deref());
            index += 1;
        });
    }
}
