//! Which tables a statement may need few rows of. Not here: how they are read (`optimizer/first_rows`).

use std::collections::BTreeSet;

use datafusion::catalog::Session;

use crate::table::TableKind;

/// The tables of which a statement wants the first rows by name, and no others: it may need few rows of one shard.
#[derive(Debug, Default)]
pub(super) struct FirstRowsOf(pub(super) BTreeSet<TableKind>);

impl FirstRowsOf {
    /// Returns whether the statement that is planned with `state` wants the first rows of a table.
    pub(super) fn has(state: &dyn Session, table: TableKind) -> bool {
        state.config().get_extension::<FirstRowsOf>().is_some_and(|of| of.0.contains(&table))
    }
}
