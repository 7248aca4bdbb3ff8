//! The condition that leaves out the rows of names that a newer source of the lake holds.
//!
//! A scan of a table reads base shards and shards of deltas. Each file has the number of its source in a column of its
//! own, [`SOURCE_COLUMN`], which is a constant within the file. The reader of a shard evaluates the condition on the
//! column of names first, and reads the other columns only for the rows that are left. It applies limits after that, and
//! statistics know nothing of the condition, so none of them counts rows that are left out.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, StringViewArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};

use super::names::Names;
use super::view::{Source, View};

/// The column that every file of a scan has one value in: its source. No table has a column of this name.
pub(in crate::query) const SOURCE_COLUMN: &str = "\u{1}source";

/// Returns the field of [`SOURCE_COLUMN`].
pub(in crate::query) fn source_field() -> FieldRef {
    Arc::new(Field::new(SOURCE_COLUMN, DataType::Int32, false))
}

/// Holds for the rows of a source whose name no newer source has.
#[derive(Debug)]
pub(in crate::query) struct IsNewest {
    name: Arc<dyn PhysicalExpr>,
    source: Arc<dyn PhysicalExpr>,
    view: Arc<View>,
}

impl IsNewest {
    /// Makes the condition for a table whose columns `name` and [`SOURCE_COLUMN`] are at these places.
    pub(in crate::query) fn new(name: (&str, usize), source: usize, view: Arc<View>) -> IsNewest {
        let column = |(name, place): (&str, usize)| Arc::new(Column::new(name, place)) as Arc<dyn PhysicalExpr>;
        IsNewest { name: column(name), source: column((SOURCE_COLUMN, source)), view }
    }

    /// Makes the condition of its two columns.
    #[cfg(feature = "distributed")]
    pub(in crate::query) fn of(
        name: Arc<dyn PhysicalExpr>,
        source: Arc<dyn PhysicalExpr>,
        view: Arc<View>,
    ) -> IsNewest {
        IsNewest { name, source, view }
    }

    /// Returns the overlay that it takes into account.
    #[cfg(feature = "distributed")]
    pub(in crate::query) fn view(&self) -> &View {
        &self.view
    }

    /// Returns whether it holds for all rows of the file whose source has replaced the column.
    pub(in crate::query) fn holds_always(&self) -> bool {
        self.source.downcast_ref::<Literal>().is_some_and(|source| self.hidden(source.value()).is_none())
    }

    fn hidden(&self, source: &ScalarValue) -> Option<&Names> {
        let ScalarValue::Int32(Some(number)) = source else { return None };
        self.view.hidden(Source::of_number(*number)).filter(|hidden| !hidden.is_empty())
    }
}

fn rows_of_others(names: &StringViewArray, hidden: &Names) -> BooleanArray {
    let mut cursor = hidden.cursor();
    let mut last: Option<(u128, bool)> = None;
    let is_other = |row: usize| {
        // The rows of a package are together, and their views are those of one text in a dictionary.
        let view = names.views().get(row).copied().unwrap_or_default();
        match last {
            Some((before, is_other)) if before == view => is_other,
            _ => {
                let is_other = !cursor.finds(names.value(row));
                last = Some((view, is_other));
                is_other
            }
        }
    };
    BooleanArray::new(BooleanBuffer::collect_bool(names.len(), is_other), None)
}

impl PartialEq for IsNewest {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq(&other.name) && self.source.eq(&other.source) && Arc::ptr_eq(&self.view, &other.view)
    }
}

impl Eq for IsNewest {}

impl Hash for IsNewest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.source.hash(state);
        Arc::as_ptr(&self.view).hash(state);
    }
}

impl fmt::Display for IsNewest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is_newest({})", self.name)
    }
}

impl PhysicalExpr for IsNewest {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let ColumnarValue::Scalar(source) = self.source.evaluate(batch)? else {
            return internal_err!("a file of a scan has several sources");
        };
        let Some(hidden) = self.hidden(&source) else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
        };
        let names = self.name.evaluate(batch)?.into_array(batch.num_rows())?;
        match names.as_string_view_opt() {
            Some(names) => Ok(ColumnarValue::Array(Arc::new(rows_of_others(names, hidden)))),
            None => internal_err!("names have the type {}", names.data_type()),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.name, &self.source]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let Ok([name, source]) = <[_; 2]>::try_from(children) else {
            return internal_err!("the condition has two children");
        };
        Ok(Arc::new(IsNewest { name, source, view: Arc::clone(&self.view) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
