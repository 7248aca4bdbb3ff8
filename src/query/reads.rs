//! The tables that a plan reads, and in which way. Not here: reading them.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, Sort};

use super::arrays::table_of;
use super::events::EventsTable;
use super::failure::ReadTables;
use super::few_rows::FirstRowsOf;
use super::shard_bounds::SORT_COLUMN;
use super::shard_table::ShardTable;
use crate::lake::TableAge;
use crate::table::TableKind;

/// The tables and notes of a plan.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) tables: ReadTables,
    /// Notes on the partitions that earlier versions wrote.
    pub(super) notes: Vec<String>,
    /// Whether the plan reads whole documents.
    pub(super) documents: bool,
    /// The tables over arrays.
    pub(super) arrays: Vec<Arc<dyn TableProvider>>,
    pub(super) first_rows: FirstRowsOf,
}

pub(super) fn reads_of(plan: &LogicalPlan) -> Reads {
    let mut reads = Reads::default();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Sort(sort) = node {
            reads.first_rows.0.extend(only_first_rows(sort));
        }
        let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
        let Ok(provider) = source_as_provider(&scan.source) else { return Ok(TreeNodeRecursion::Continue) };
        if let Some(table) = provider.downcast_ref::<ShardTable>() {
            let columns = scan.projected_schema.fields();
            reads.documents |= table.kind() == TableKind::Packuments
                && columns.iter().any(|column| matches!(column.name().as_str(), "json" | "bytes"));
            reads.notes.extend(note_on_age(&scan.table_name, table.age()));
            reads.tables.tables.push(scan.table_name.to_string());
        } else if provider.downcast_ref::<EventsTable>().is_some() {
            reads.tables.tables.push(scan.table_name.to_string());
        } else if table_of(provider.as_ref()).is_some() {
            reads.tables.tables.push(scan.table_name.to_string());
            reads.arrays.push(provider);
        } else {
            reads.tables.files.push(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    for texts in [&mut reads.tables.tables, &mut reads.tables.files] {
        texts.sort_unstable();
        texts.dedup();
    }
    reads
}

/// Returns the table whose first rows by name a sort returns, if it reads all rows of a table and ends after some.
fn only_first_rows(sort: &Sort) -> Option<TableKind> {
    let (_, first) = (sort.fetch?, sort.expr.first()?);
    let is_by_name = matches!(&first.expr, Expr::Column(column) if column.name == SORT_COLUMN);
    let mut node = sort.input.as_ref();
    loop {
        node = match node {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::TableScan(scan)
                if is_by_name && first.asc && !first.nulls_first && scan.filters.is_empty() =>
            {
                let provider = source_as_provider(&scan.source).ok()?;
                return provider.downcast_ref::<ShardTable>().map(ShardTable::kind);
            }
            _ => return None,
        };
    }
}

/// Returns the note on a table's old partitions, if it has any.
fn note_on_age(table: &TableReference, age: TableAge) -> Option<String> {
    let TableAge { earlier, missing } = age;
    let table = table.table();
    let how = match (earlier, missing) {
        (0, 0) => return None,
        (0, _) => {
            format!("{missing} partitions lack the table {table}, which the version that wrote them did not have")
        }
        (_, _) => {
            format!("an earlier version wrote {table} in {earlier} partitions; columns that it lacked are null there")
        }
    };
    Some(format!("{how}; all-docs rebuild updates it"))
}
