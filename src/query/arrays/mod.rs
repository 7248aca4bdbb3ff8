//! Tables over the Zarr arrays of an origin (`array`): a row for each cell, edge, or name.
//!
//! A condition on one column is evaluated on the values of that column's axis: on the names of `package_index.parquet`,
//! on the days, on the kinds of edges. So only chunks are read that have wanted rows and days, and the condition holds
//! exactly. Conditions that become known while a statement runs, as the names of the other side of a join, are used in the
//! same way. Not here: the format and reading of arrays (`array`).

mod cells;
mod conditions;
mod edges;
mod graph;
mod grid;
mod index;
mod names;
mod scan;
mod table;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;

use crate::error::Error;
use crate::lake::OriginLayout;

use super::lake_location::LakeLocation;
use index::IndexTable;
use table::ValuesTable;

/// A table over arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArrayTable {
    /// The download counts.
    Downloads,
    /// The releases by month.
    Releases,
    /// The dependency graph.
    Graph,
    /// The package axis.
    PackageIndex,
}

impl ArrayTable {
    /// Every table, in the order of the documentation.
    pub(super) const ALL: [ArrayTable; 4] =
        [ArrayTable::Downloads, ArrayTable::Releases, ArrayTable::Graph, ArrayTable::PackageIndex];

    /// Returns the table's name in SQL.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            ArrayTable::Downloads => "downloads",
            ArrayTable::Releases => "releases",
            ArrayTable::Graph => "graph",
            ArrayTable::PackageIndex => "package_index",
        }
    }

    /// Returns the meaning of one row.
    pub(super) fn grain(self) -> &'static str {
        match self {
            ArrayTable::Downloads => "a package and a day whose downloads are known",
            ArrayTable::Releases => "a package and a month in which it published versions",
            ArrayTable::Graph => "a dependency of a package's latest version, once for each kind",
            ArrayTable::PackageIndex => "a name, with its row in all arrays",
        }
    }

    /// Returns the command that makes the array.
    fn made_by(self) -> &'static str {
        match self {
            ArrayTable::Downloads => "all-docs downloads",
            ArrayTable::Releases | ArrayTable::Graph | ArrayTable::PackageIndex => "all-docs arrays",
        }
    }

    /// Returns the columns with their descriptions.
    pub(super) fn described_schema(self) -> SchemaRef {
        let column = |name: &str, data_type: DataType, doc: &str, unit: Option<&str>| {
            let unit = unit.map(|unit| ("unit".to_owned(), unit.to_owned()));
            let metadata = [("doc".to_owned(), doc.to_owned())].into_iter().chain(unit).collect();
            Field::new(name, data_type, name == "gone").with_metadata(metadata)
        };
        let name = || column("name", DataType::Utf8, "The package's name.", None);
        let columns = match self {
            ArrayTable::Downloads => vec![
                name(),
                column("day", DataType::Date32, "The day, in UTC.", None),
                column(
                    "downloads",
                    DataType::Int64,
                    "The downloads on that day. A day whose downloads are not known has no row; a zero is a known zero.",
                    Some("downloads"),
                ),
            ],
            ArrayTable::Releases => vec![
                name(),
                column("month", DataType::Date32, "The first day of the month, in UTC.", None),
                column(
                    "versions_published",
                    DataType::Int64,
                    "The versions published in that month, of those that the document has now. A month without any has \
                     no row.",
                    Some("versions"),
                ),
            ],
            ArrayTable::Graph => vec![
                name(),
                column("dependency", DataType::Utf8, "The package that its latest version depends on.", None),
                column("kind", DataType::Utf8, "prod, dev, peer, optional or bundled.", None),
            ],
            ArrayTable::PackageIndex => vec![
                name(),
                column("row", DataType::Int32, "Its row in every array, from 0; it never changes.", None),
                column("since", DataType::Date32, "The day on which the row was added.", None),
                column(
                    "gone",
                    DataType::Date32,
                    "The day on which the package was found to be gone; null if it is there.",
                    None,
                ),
            ],
        };
        Arc::new(Schema::new(columns))
    }
}

/// Makes a table of an origin, for one statement.
pub(super) fn array_table(
    table: ArrayTable,
    schema_of: impl Fn(ArrayTable) -> SchemaRef,
    location: &LakeLocation,
    layout: OriginLayout,
) -> Arc<dyn TableProvider> {
    let index = IndexTable::new(location.clone(), &layout, schema_of(ArrayTable::PackageIndex));
    match table {
        ArrayTable::PackageIndex => Arc::new(index),
        table => Arc::new(ValuesTable::new(table, schema_of(table), index, layout)),
    }
}

/// Returns which table a provider is, if it is one of these.
pub(super) fn table_of(provider: &dyn TableProvider) -> Option<ArrayTable> {
    let is_index = || provider.downcast_ref::<IndexTable>().map(|_| ArrayTable::PackageIndex);
    provider.downcast_ref::<ValuesTable>().map(ValuesTable::table).or_else(is_index)
}

/// Returns the note on a table whose array is not there, once the statement is planned.
pub(super) fn note_on_absence(provider: &dyn TableProvider) -> Option<String> {
    let table = table_of(provider)?;
    let is_absent = provider.downcast_ref::<ValuesTable>().is_some_and(ValuesTable::is_absent)
        || provider.downcast_ref::<IndexTable>().is_some_and(IndexTable::is_absent);
    let (name, command) = (table.as_str(), table.made_by());
    is_absent.then(|| format!("the table {name} is empty, because its array was never made; {command} makes it"))
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn lost_index(table: ArrayTable) -> Error {
    Error::lake(format!("package_index.parquet is gone, which has the names of the rows of {}", table.as_str()))
        .hint("all-docs verify says what the lake has lost")
}
