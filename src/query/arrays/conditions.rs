//! Conditions of a statement on single columns of a table, which are evaluated on the values of the columns' axes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::physical_expr_common::physical_expr::{is_volatile, snapshot_physical_expr};

/// The columns of a table that have an axis, each with the name that the column has in the conditions.
pub(super) type Axes = &'static [(&'static str, &'static str)];

/// Conditions that hold for all wanted rows.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    axes: Axes,
    /// Those on one column each. The scan returns no row for which one of them does not hold.
    exact: Vec<Condition>,
    /// Those that may change while the statement runs, on any columns. The scan leaves out what it can.
    advised: Vec<Arc<dyn PhysicalExpr>>,
}

#[derive(Debug, Clone)]
struct Condition {
    /// The column of the table.
    column: &'static str,
    /// Over a batch that has only this column, under the name of its axis.
    holds: Arc<dyn PhysicalExpr>,
}

impl Conditions {
    /// Makes it without conditions.
    pub(super) fn new(axes: Axes) -> Conditions {
        Conditions { axes, exact: Vec::new(), advised: Vec::new() }
    }

    /// Returns whether a condition of a statement can be evaluated on an axis.
    pub(super) fn is_exact(axes: Axes, condition: &Expr) -> bool {
        let columns = condition.column_refs();
        let mut columns = columns.iter();
        // A subquery has its value only when the statement runs. The engine then offers the condition once more.
        let has_subquery = || condition.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_)))).unwrap_or(true);
        match (columns.next(), columns.next()) {
            (Some(column), None) => axes.iter().any(|(name, _)| *name == column.name) && !has_subquery(),
            _ => false,
        }
    }

    /// Adds a condition on one column. Returns `false`, and adds nothing, for any other condition.
    pub(super) fn add(&mut self, condition: &Arc<dyn PhysicalExpr>) -> Result<bool> {
        let condition = self.of_one_column(condition)?;
        let is_added = condition.is_some();
        self.exact.extend(condition);
        Ok(is_added)
    }

    /// Adds a condition that may change while the statement runs.
    pub(super) fn advise(&mut self, condition: Arc<dyn PhysicalExpr>) {
        self.advised.push(condition);
    }

    /// Returns all conditions.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.exact.iter().map(|condition| &condition.holds).chain(&self.advised)
    }

    /// Returns the conditions as they are now, those on one column each.
    pub(super) fn now(&self) -> Result<Conditions> {
        let mut now = Conditions { axes: self.axes, exact: self.exact.clone(), advised: Vec::new() };
        for advised in &self.advised {
            let advised = snapshot_physical_expr(Arc::clone(advised))?;
            for part in split_conjunction(&advised) {
                now.add(part)?;
            }
        }
        Ok(now)
    }

    /// Returns the conditions on a column as one; `None` if there is none.
    pub(super) fn on(&self, column: &str) -> Option<Arc<dyn PhysicalExpr>> {
        let mut of_column = self.exact.iter().filter(|condition| condition.column == column).peekable();
        of_column.peek()?;
        Some(conjunction(of_column.map(|condition| Arc::clone(&condition.holds))))
    }

    /// Returns for which values of a column its conditions hold.
    pub(super) fn hold_for(&self, column: &str, values: ArrayRef) -> Result<BooleanArray> {
        match self.on(column) {
            Some(condition) => holds_for(&condition, values),
            None => Ok(BooleanArray::from(vec![true; values.len()])),
        }
    }

    fn of_one_column(&self, condition: &Arc<dyn PhysicalExpr>) -> Result<Option<Condition>> {
        let columns = collect_columns(condition);
        let mut names = columns.iter().map(Column::name);
        let (Some(name), None) = (names.next(), names.next()) else { return Ok(None) };
        let Some((column, axis)) = self.axes.iter().find(|(column, _)| *column == name) else { return Ok(None) };
        if is_volatile(condition) {
            return Ok(None);
        }
        let holds = Arc::clone(condition).transform(|part| match part.downcast_ref::<Column>() {
            Some(_) => Ok(Transformed::yes(Arc::new(Column::new(axis, 0)) as Arc<dyn PhysicalExpr>)),
            None => Ok(Transformed::no(part)),
        });
        Ok(Some(Condition { column, holds: holds.data()? }))
    }
}

/// Returns for which values a condition over one column holds.
pub(super) fn holds_for(condition: &Arc<dyn PhysicalExpr>, values: ArrayRef) -> Result<BooleanArray> {
    let field = Field::new("axis", DataType::clone(values.data_type()), true);
    let rows = values.len();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values])?;
    let holds = condition.evaluate(&batch)?.into_array(rows)?;
    let holds = holds.as_boolean();
    Ok(if holds.null_count() > 0 { prep_null_mask_filter(holds) } else { holds.clone() })
}
