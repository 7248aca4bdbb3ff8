//! The SQL functions of a lake beside the engine's own.

mod date_trunc;
mod graph;
mod latest_version;
mod reach;
mod semver;

use std::sync::Arc;

use arrow::array::{Array, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::cast::as_string_view_array;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};
use datafusion::prelude::SessionContext;

use super::catalog::LakeCatalog;
use date_trunc::DateTruncInUtc;
use latest_version::LatestVersionJson;
use reach::{Direction, Reach};
use semver::{SemverCompare, SemverMajor, SemverSatisfies, SemverSortKey};

/// Registers the functions with `context`. Functions that read tables read those of `catalog`.
pub(super) fn register(context: &SessionContext, catalog: &Arc<LakeCatalog>) {
    context.register_udf(ScalarUDF::from(SemverSatisfies::default()));
    context.register_udf(ScalarUDF::from(SemverCompare::default()));
    context.register_udf(ScalarUDF::from(SemverMajor::default()));
    context.register_udf(ScalarUDF::from(SemverSortKey::default()));
    context.register_udf(ScalarUDF::from(LatestVersionJson::default()));
    context.register_udf(ScalarUDF::from(DateTruncInUtc::default()));
    for direction in [Direction::Dependents, Direction::Dependencies] {
        context.register_udtf(direction.function(), Arc::new(Reach::new(Arc::clone(catalog), direction)));
    }
}

/// A text argument: one value for all rows, or one a row.
enum Texts {
    One(Option<String>),
    Each(StringViewArray),
}

impl Texts {
    fn new(argument: &ColumnarValue) -> Result<Texts> {
        Ok(match argument {
            ColumnarValue::Scalar(value) => Texts::One(value.try_as_str().flatten().map(str::to_owned)),
            ColumnarValue::Array(array) => {
                let views = arrow::compute::cast(array, &DataType::Utf8View)?;
                Texts::Each(as_string_view_array(&views)?.clone())
            }
        })
    }

    fn get(&self, row: usize) -> Option<&str> {
        match self {
            Texts::One(text) => text.as_deref(),
            Texts::Each(array) => (row < array.len() && array.is_valid(row)).then(|| array.value(row)),
        }
    }
}

/// Returns the number of results: one if no argument is a column, else one a row.
fn rows_of(arguments: &[ColumnarValue], rows: usize) -> usize {
    if arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_))) { 1 } else { rows }
}
