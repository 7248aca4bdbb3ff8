//! The schema of every table: names, types, units and one sentence a column, as they stand in each shard's metadata.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use crate::table::TableKind;
use crate::version::FORMAT_VERSION;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Bytes,
    /// A whole number of 64 bits.
    Number,
    /// A whole number of 32 bits.
    SmallNumber,
    /// true or false.
    Boolean,
    /// Microseconds since 1970, UTC.
    Time,
    /// A list of texts, none of them null.
    TextList,
    /// A list of name and path, none of them null.
    CommandList,
}

/// A column: its name, what it holds, whether it may be null, and what it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct ColumnSpec {
    pub(super) name: &'static str,
    pub(super) column_type: ColumnType,
    pub(super) nullable: bool,
    pub(super) doc: &'static str,
    pub(super) unit: Option<&'static str>,
}

impl ColumnSpec {
    /// A column that has a value in every row.
    pub(super) const fn required(name: &'static str, column_type: ColumnType, doc: &'static str) -> Self {
        ColumnSpec { name, column_type, nullable: false, doc, unit: None }
    }

    /// A column that may be null.
    pub(super) const fn optional(name: &'static str, column_type: ColumnType, doc: &'static str) -> Self {
        ColumnSpec { name, column_type, nullable: true, doc, unit: None }
    }

    /// The same, measured in `unit`.
    pub(super) const fn in_unit(self, unit: &'static str) -> Self {
        ColumnSpec { unit: Some(unit), ..self }
    }

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

/// The columns of a table in their order.
pub(super) fn columns(table: TableKind) -> &'static [ColumnSpec] {
    match table {
        TableKind::Docs => super::docs::COLUMNS,
        TableKind::Packuments => super::packuments::COLUMNS,
        TableKind::Packages => super::packages::COLUMNS,
        TableKind::Versions => super::versions::COLUMNS,
        TableKind::Dependencies => super::dependencies::COLUMNS,
        TableKind::DistTags => super::dist_tags::COLUMNS,
        TableKind::Maintainers => super::maintainers::COLUMNS,
        TableKind::Scripts => super::scripts::COLUMNS,
        TableKind::Stars => super::stars::COLUMNS,
        TableKind::Unpublished => super::unpublished::COLUMNS,
        TableKind::Outcomes => super::outcomes::COLUMNS,
        TableKind::Quirks => super::quirks::COLUMNS,
    }
}

/// The Arrow schema of a table as a shard has it; batches of rows to be written may have a dictionary of texts where it
/// has texts. Each field's metadata has `doc`, one sentence, and where it is measured in one,
/// `unit`; the schema's own has `table`, `grain` (what one row is) and `format_version`.
pub fn schema(table: TableKind) -> SchemaRef {
    static SCHEMAS: LazyLock<HashMap<TableKind, SchemaRef>> =
        LazyLock::new(|| TableKind::ALL.into_iter().map(|table| (table, Arc::new(make_schema(table)))).collect());
    SCHEMAS.get(&table).map_or_else(|| Arc::new(make_schema(table)), Arc::clone)
}

/// The version of a table's schema: it grows by one with each change of a column's name, type, nullability or place.
pub fn schema_version(_table: TableKind) -> u32 {
    1
}

fn make_schema(table: TableKind) -> Schema {
    let fields: Vec<Field> = columns(table).iter().map(ColumnSpec::field).collect();
    let metadata = HashMap::from([
        ("table".to_owned(), table.as_str().to_owned()),
        ("grain".to_owned(), table.grain().to_owned()),
        ("format_version".to_owned(), FORMAT_VERSION.to_string()),
    ]);
    Schema::new_with_metadata(fields, metadata)
}
