//! Adapts the columns of shards that an earlier version wrote. A column that a shard lacks is null. A column of another
//! type is cast, value by value, by the function that all readers of shards share.
//!
//! The engine's own adapter stops a statement at the first value that does not fit, and prunes row groups by casts that
//! do not keep the order of values.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};

use super::overlay::IsNewest;
use crate::shard::fit;

/// Rewrites expressions over a table's columns to expressions over a shard's columns.
#[derive(Debug)]
pub(super) struct OldColumns;

impl PhysicalExprAdapterFactory for OldColumns {
    fn create(&self, table: SchemaRef, shard: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(ShardColumns { table, shard }))
    }
}

#[derive(Debug)]
struct ShardColumns {
    table: SchemaRef,
    shard: SchemaRef,
}

impl PhysicalExprAdapter for ShardColumns {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|expr| {
            if let Some(column) = expr.downcast_ref::<Column>() {
                return Ok(Transformed::yes(self.column(column.name())?));
            }
            match expr.downcast_ref::<IsNewest>() {
                // So its column of names need not be read.
                Some(condition) if condition.holds_always() => Ok(Transformed::yes(lit(true))),
                _ => Ok(Transformed::no(expr)),
            }
        })
        .data()
    }
}

impl ShardColumns {
    fn column(&self, name: &str) -> Result<Arc<dyn PhysicalExpr>> {
        let data_type = self.table.field_with_name(name)?.data_type();
        let Ok(index) = self.shard.index_of(name) else { return Ok(lit(ScalarValue::try_from(data_type)?)) };
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, index));
        if self.shard.field(index).data_type() == data_type {
            return Ok(column);
        }
        Ok(Arc::new(FittedColumn { column, data_type: data_type.clone() }))
    }
}

/// A column cast to another type. Pruning does not look into it.
#[derive(Debug, Eq)]
struct FittedColumn {
    column: Arc<dyn PhysicalExpr>,
    data_type: DataType,
}

// The derived implementations would move the column out of its place.
impl PartialEq for FittedColumn {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.data_type == other.data_type
    }
}

impl Hash for FittedColumn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.data_type.hash(state);
    }
}

impl fmt::Display for FittedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fit({}, {})", self.column, self.data_type)
    }
}

impl PhysicalExpr for FittedColumn {
    fn data_type(&self, _shard: &Schema) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, _shard: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(fit(&array, &self.data_type)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [column] = children.as_slice() else { return internal_err!("a fitted column has one child") };
        Ok(Arc::new(FittedColumn { column: Arc::clone(column), data_type: self.data_type.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
