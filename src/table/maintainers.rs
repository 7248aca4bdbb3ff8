//! The `maintainers` table: a maintainer of a package.

use super::column::TextColumn;
use super::hooks::DocumentTable;
use super::read::Reader;
use super::spec::TableSpec;

/// The user name of the registry itself.
const NPM_USER: &str = "npm";

/// The totals of the maintainers of one package.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MaintainerFacts {
    pub(super) count: i64,
    /// Whether one of them is the registry itself.
    pub(super) has_npm: bool,
}

pub(super) const TABLE: TableSpec = TableSpec::new(1, MaintainersTable::COLUMNS);

columns! {
    /// Rows of the `maintainers` table.
    pub(super) struct MaintainersTable of Maintainers {
        name: TextColumn = required("The package's name."),
        maintainer: TextColumn = optional("The maintainer's user name.").filtered(),
        email: TextColumn = optional("The maintainer's e-mail address."),
    }
}

impl DocumentTable for MaintainersTable {}

impl MaintainersTable {
    /// Adds the maintainers of a document.
    pub(super) fn push(&mut self, reader: &mut Reader<'_>, raw: Option<&str>) -> MaintainerFacts {
        let mut facts = MaintainerFacts::default();
        let package = reader.name;
        reader.people("maintainers", raw, |person| {
            facts.count += 1;
            facts.has_npm |= person.name.as_deref() == Some(NPM_USER);
            self.name.push(package);
            self.maintainer.push_option(person.name.as_deref());
            self.email.push_option(person.email.as_deref());
        });
        facts
    }
}
