//! The Arrow types of columns.

use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::spec::ColumnType;

/// Returns the Arrow type of a column.
pub(super) fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
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

/// Returns the field of the items of a list of texts.
pub(super) fn item_field() -> FieldRef {
    static FIELD: LazyLock<FieldRef> = LazyLock::new(|| Arc::new(Field::new("item", DataType::Utf8, false)));
    Arc::clone(&FIELD)
}

/// Returns the field of the items of a list of commands.
pub(super) fn command_field() -> FieldRef {
    static FIELD: LazyLock<FieldRef> = LazyLock::new(|| {
        let parts = ["name", "path"].map(|part| Field::new(part, DataType::Utf8, false));
        Arc::new(Field::new("item", DataType::Struct(Fields::from(parts.to_vec())), false))
    });
    Arc::clone(&FIELD)
}

/// Returns `field` with the type of `array`: that of the schema, or a dictionary of it where rows repeat each other.
pub(super) fn typed_as(field: &FieldRef, array: &ArrayRef) -> FieldRef {
    if field.data_type() == array.data_type() {
        return Arc::clone(field);
    }
    Arc::new(field.as_ref().clone().with_data_type(array.data_type().clone()))
}
