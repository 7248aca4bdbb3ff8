//! The schema of every table: names, types, units and one sentence a column, as in each shard's metadata.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::TableKind;
use super::arrow_types::{data_type, typed_as};
use super::column::Column;
use super::spec::ColumnSpec;
use crate::error::{Context, ErrorKind, Result};
use crate::version::FORMAT_VERSION;

/// The key of a table's schema version in a shard's metadata.
pub const SCHEMA_VERSION_KEY: &str = "all_docs.schema_version";

impl ColumnSpec {
    pub(super) fn field(&self) -> Field {
        let mut metadata = HashMap::from([("doc".to_owned(), self.doc.to_owned())]);
        if let Some(unit) = self.unit {
            metadata.insert("unit".to_owned(), unit.to_owned());
        }
        Field::new(self.name, data_type(self.column_type), self.nullable).with_metadata(metadata)
    }
}

/// Returns the Arrow schema of a table as a shard has it. Batches to be written may have a dictionary of texts where it
/// has texts. Each field's metadata has `doc`, one sentence, and `unit` if the column has one. The schema's own
/// metadata has `table`, `grain` (what one row is), `format_version` and [`SCHEMA_VERSION_KEY`].
pub fn schema(table: TableKind) -> SchemaRef {
    static SCHEMAS: LazyLock<HashMap<TableKind, SchemaRef>> =
        LazyLock::new(|| TableKind::ALL.into_iter().map(|table| (table, Arc::new(make_schema(table)))).collect());
    SCHEMAS.get(&table).map_or_else(|| Arc::new(make_schema(table)), Arc::clone)
}

/// Returns the version of a table's schema. It grows by one with each change of a column's name, type, nullability or
/// place.
pub fn schema_version(table: TableKind) -> u32 {
    table.spec().schema_version
}

fn make_schema(table: TableKind) -> Schema {
    let fields: Vec<Field> = table.spec().columns.iter().map(ColumnSpec::field).collect();
    let metadata = HashMap::from([
        ("table".to_owned(), table.as_str().to_owned()),
        ("grain".to_owned(), table.grain().to_owned()),
        ("format_version".to_owned(), FORMAT_VERSION.to_string()),
        (SCHEMA_VERSION_KEY.to_owned(), schema_version(table).to_string()),
    ]);
    Schema::new_with_metadata(fields, metadata)
}

/// Makes a batch of `table` from its columns in the schema's order. Repeated texts become a dictionary.
pub(super) fn record_batch(table: TableKind, columns: &mut [&mut dyn Column]) -> Result<RecordBatch> {
    let arrays = columns.iter_mut().map(|column| column.finish()).collect::<Result<Vec<ArrayRef>>>()?;
    let fields: Vec<_> =
        schema(table).fields().iter().zip(&arrays).map(|(field, array)| typed_as(field, array)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .or_error(ErrorKind::Internal, || format!("the columns of {table} do not fit its schema"))
}
