//! The schema of every table: names, types, units and one sentence a column, as they stand in each shard's metadata.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use super::TableKind;
use super::column::Column;
use super::spec::{ColumnSpec, ColumnType};
use crate::error::{Context, ErrorKind, Result};
use crate::version::FORMAT_VERSION;

/// The key of a shard's metadata under which its table's schema version stands.
pub const SCHEMA_VERSION_KEY: &str = "all_docs.schema_version";

impl ColumnSpec {
    fn field(&self) -> Field {
        let mut metadata = HashMap::from([("doc".to_owned(), self.doc.to_owned())]);
        if let Some(unit) = self.unit {
            metadata.insert("unit".to_owned(), unit.to_owned());
        }
        Field::new(self.name, self.data_type(), self.nullable).with_metadata(metadata)
    }

    fn data_type(&self) -> DataType {
        match self.column_type {
            ColumnType::Text => DataType::Utf8,
            ColumnType::Bytes => DataType::Binary,
            ColumnType::Number => DataType::Int64,
            ColumnType::SmallNumber => DataType::Int32,
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::TextList => DataType::List(item_field()),
            ColumnType::CommandList => DataType::List(command_field()),
        }
    }
}

/// The items of a list of texts.
pub(super) fn item_field() -> FieldRef {
    static FIELD: LazyLock<FieldRef> = LazyLock::new(|| Arc::new(Field::new("item", DataType::Utf8, false)));
    Arc::clone(&FIELD)
}

/// The items of a list of commands.
pub(super) fn command_field() -> FieldRef {
    static FIELD: LazyLock<FieldRef> = LazyLock::new(|| {
        let parts = ["name", "path"].map(|part| Field::new(part, DataType::Utf8, false));
        Arc::new(Field::new("item", DataType::Struct(Fields::from(parts.to_vec())), false))
    });
    Arc::clone(&FIELD)
}

/// `field` with the type of `array`: that of the schema, or a dictionary of it where rows repeat each other.
pub(super) fn typed_as(field: &FieldRef, array: &ArrayRef) -> FieldRef {
    if field.data_type() == array.data_type() {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_data_type(array.data_type().clone()))
}

/// The Arrow schema of a table as a shard has it; batches of rows to be written may have a dictionary of texts where it
/// has texts. Each field's metadata has `doc`, one sentence, and where it is measured in one,
/// `unit`; the schema's own has `table`, `grain` (what one row is), `format_version` and [`SCHEMA_VERSION_KEY`].
pub fn schema(table: TableKind) -> SchemaRef {
    static SCHEMAS: LazyLock<HashMap<TableKind, SchemaRef>> =
        LazyLock::new(|| TableKind::ALL.into_iter().map(|table| (table, Arc::new(make_schema(table)))).collect());
    SCHEMAS.get(&table).map_or_else(|| Arc::new(make_schema(table)), Arc::clone)
}

/// The version of a table's schema. It grows by one with each change of a column's name, type, nullability or place.
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

/// A batch of `table` from its columns in the schema's order. Texts that rows repeat come as a dictionary.
pub(super) fn record_batch(table: TableKind, columns: &mut [&mut dyn Column]) -> Result<RecordBatch> {
    let arrays = columns.iter_mut().map(|column| column.finish()).collect::<Result<Vec<ArrayRef>>>()?;
    let fields: Vec<_> =
        schema(table).fields().iter().zip(&arrays).map(|(field, array)| typed_as(field, array)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .or_error(ErrorKind::Internal, || format!("the columns of {table} do not fit its schema"))
}
