//! Reads only the rows of latest versions if a join with `packages` selects no others.
//!
//! Users select them with `join packages p on v.name = p.name and v.version = p.latest`, and other engines need that
//! form. Each such row has `is_latest`, because both come from one document. So this rule filters by `is_latest` first:
//! the column takes one bit per row. Names and versions are then read and compared for one row in twenty.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, NullEquality};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, TableScan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::query::shard_table::{LATEST_COLUMN, ShardTable};
use crate::table::TableKind;

#[derive(Debug)]
pub(super) struct ImpliedLatest;

impl OptimizerRule for ImpliedLatest {
    fn name(&self) -> &str {
        "implied_latest"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(mut join) = plan else { return Ok(Transformed::no(plan)) };
        let mut changed = false;
        // If nulls equal nulls, a row that is dropped here might match.
        if join.null_equality == NullEquality::NullEqualsNothing && !join.null_aware {
            let pairs = join.on.iter().filter_map(|(left, right)| Some((left.try_as_col()?, right.try_as_col()?)));
            let pairs: Vec<(&Column, &Column)> = pairs.collect();
            let left = drops_left(join.join_type).then(|| latest_only(&join.left, &join.right, pairs.iter().copied()));
            let swapped = pairs.iter().map(|(left, right)| (*right, *left));
            let right = drops_right(join.join_type).then(|| latest_only(&join.right, &join.left, swapped));
            for (side, path) in [(&mut join.left, left.flatten()), (&mut join.right, right.flatten())] {
                if let Some(path) = path {
                    *side = Arc::new(with_latest_only(side.as_ref().clone(), &path)?);
                    changed = true;
                }
            }
        }
        let plan = LogicalPlan::Join(join);
        Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
    }
}

/// Returns whether a join returns the same rows without those rows of its left side that match none of the right.
fn drops_left(join: JoinType) -> bool {
    matches!(
        join,
        JoinType::Inner
            | JoinType::Right
            | JoinType::LeftSemi
            | JoinType::RightSemi
            | JoinType::RightAnti
            | JoinType::RightMark
    )
}

/// Returns whether a join returns the same rows without those rows of its right side that match none of the left.
fn drops_right(join: JoinType) -> bool {
    drops_left(join.swap())
}

/// Finds the path from `side` to a scan of versions of which only the latest can match and which still reads others.
/// `pairs` are the columns that must be equal, those of `side` first.
fn latest_only<'p>(
    side: &LogicalPlan,
    packages_side: &LogicalPlan,
    pairs: impl Iterator<Item = (&'p Column, &'p Column)>,
) -> Option<Vec<usize>> {
    let sources: Vec<(Source, Source)> =
        pairs.filter_map(|(one, other)| Some((source_of(side, one)?, source_of(packages_side, other)?))).collect();
    let equal = |column: &'static str, packages_column: &'static str| {
        sources.iter().filter(move |(one, other)| {
            one.column == column && other.column == packages_column && other.table.kind() == TableKind::Packages
        })
    };
    let same_name = equal("name", "name").find(|(one, other)| {
        one.table.kind().spec().columns.iter().any(|column| column.name == LATEST_COLUMN)
            && !one.table.is_latest_only()
            && one.table.is_beside(&other.table)
            && equal("version", "latest").any(|(version, latest)| version.path == one.path && latest.path == other.path)
    });
    same_name.map(|(one, _)| one.path.clone())
}

/// The shard's column that a plan's column comes from.
struct Source {
    table: Arc<ShardTable>,
    column: String,
    /// The child to take at each step from the plan to the scan.
    path: Vec<usize>,
}

/// Finds the source of a column, if the column is unchanged and a row missing at the source only removes rows here.
fn source_of(plan: &LogicalPlan, column: &Column) -> Option<Source> {
    match plan {
        LogicalPlan::TableScan(TableScan { source, fetch: None, .. }) => {
            let provider = source_as_provider(source).ok()?;
            let table = (provider as Arc<dyn std::any::Any + Send + Sync>).downcast::<ShardTable>().ok()?;
            Some(Source { table, column: column.name.clone(), path: Vec::new() })
        }
        LogicalPlan::Filter(filter) => below(0, &filter.input, column),
        LogicalPlan::SubqueryAlias(alias) => {
            let place = alias.schema.maybe_index_of_column(column)?;
            below(0, &alias.input, &Column::from(alias.input.schema().qualified_field(place)))
        }
        LogicalPlan::Projection(projection) => {
            let place = projection.schema.maybe_index_of_column(column)?;
            let expression = match projection.expr.get(place)? {
                Expr::Alias(alias) => alias.expr.as_ref(),
                expression => expression,
            };
            below(0, &projection.input, expression.try_as_col()?)
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            let is_left = join.left.schema().has_column(column);
            if is_left { below(0, &join.left, column) } else { below(1, &join.right, column) }
        }
        _ => None,
    }
}

fn below(child: usize, plan: &LogicalPlan, column: &Column) -> Option<Source> {
    let mut source = source_of(plan, column)?;
    source.path.insert(0, child);
    Some(source)
}

/// Returns the plan with the scan at the end of `path` reading latest versions only.
fn with_latest_only(plan: LogicalPlan, path: &[usize]) -> Result<LogicalPlan> {
    let Some((wanted, rest)) = path.split_first() else {
        let LogicalPlan::TableScan(mut scan) = plan else { return Ok(plan) };
        if let Some(table) = source_as_provider(&scan.source)?.downcast_ref::<ShardTable>() {
            scan.source = provider_as_source(Arc::new(table.latest_only()));
        }
        return Ok(LogicalPlan::TableScan(scan));
    };
    let mut child = 0;
    let changed = plan.map_children(|input| {
        child += 1;
        let input = if child - 1 == *wanted { with_latest_only(input, rest)? } else { input };
        Ok(Transformed::new(input, true, TreeNodeRecursion::Continue))
    })?;
    Ok(changed.data)
}
