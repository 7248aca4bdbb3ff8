//! The tables of an origin by their names in SQL, with their columns: those of shards, those over arrays, and the events. Not here:
//! reading them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::datasource::physical_plan::parquet::transform_schema_to_view;

use crate::table::TableKind;

use super::arrays::ArrayTable;

/// The key under which a column's field carries its description.
const DOC_KEY: &str = "doc";

/// The key under which a column's field carries its unit.
const UNIT_KEY: &str = "unit";

/// A table of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LakeTable {
    /// A folder of shards.
    Shards(TableKind),
    /// A Zarr array, or the axis of the arrays.
    Array(ArrayTable),
    /// Things that happened to packages.
    Events,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type as `describe` shows it.
    pub type_name: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Its description, if the table has one.
    pub doc: Option<String>,
    /// The unit of its numbers, if they have one.
    pub unit: Option<String>,
}

impl LakeTable {
    /// Returns every table, in the order of the documentation.
    pub(super) fn all() -> impl Iterator<Item = LakeTable> {
        let shards = TableKind::ALL.into_iter().map(LakeTable::Shards);
        shards.chain([LakeTable::Events]).chain(ArrayTable::ALL.into_iter().map(LakeTable::Array))
    }

    /// Returns the table with a name; upper case counts as lower case.
    pub(super) fn parse(name: &str) -> Option<LakeTable> {
        LakeTable::all().find(|table| table.as_str().eq_ignore_ascii_case(name))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            LakeTable::Shards(kind) => kind.as_str(),
            LakeTable::Array(table) => table.as_str(),
            LakeTable::Events => "events",
        }
    }

    /// Returns the meaning of one row.
    pub(super) fn grain(self) -> &'static str {
        match self {
            LakeTable::Shards(kind) => kind.grain(),
            LakeTable::Array(table) => table.grain(),
            LakeTable::Events => "something that happened to a package",
        }
    }

    /// Returns the columns as the engine reads them. Text is read as views: a comparison then mostly looks at the first
    /// bytes, and a batch may hold more than 2 GB of text. Descriptions are left out, because a column of `with
    /// recursive` must have the same one in its first round, where it is often a constant without a description.
    pub(super) fn schema(self) -> SchemaRef {
        let schema = transform_schema_to_view(&self.described_schema());
        let undescribed = |field: &FieldRef| field.as_ref().clone().with_metadata(HashMap::new());
        Arc::new(Schema::new(schema.fields().iter().map(undescribed).collect::<Vec<_>>()))
    }

    /// Returns the columns as `describe` shows them.
    pub(super) fn columns(self) -> Vec<ColumnInfo> {
        let column = |field: &FieldRef| ColumnInfo {
            name: field.name().clone(),
            type_name: field.data_type().to_string(),
            nullable: field.is_nullable(),
            doc: field.metadata().get(DOC_KEY).cloned(),
            unit: field.metadata().get(UNIT_KEY).cloned(),
        };
        self.described_schema().fields().iter().map(column).collect()
    }

    /// Returns the columns as they are written, with their descriptions.
    fn described_schema(self) -> SchemaRef {
        match self {
            LakeTable::Shards(kind) => crate::table::schema(kind),
            LakeTable::Array(table) => table.described_schema(),
            LakeTable::Events => crate::table::events::event_schema(),
        }
    }
}
