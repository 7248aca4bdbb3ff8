//! Converts a result's columns to types that an output format can hold. Only this module knows these types.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::format::Format;
use super::json_value::{as_text, holds_union};

/// The columns of a result as one format writes them.
pub(super) struct OutputColumns {
    schema: SchemaRef,
    changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq)]
enum Change {
    Keep,
    /// Converts to text: lists and structures as JSON.
    ToText,
    Cast(DataType),
}

impl OutputColumns {
    /// Makes the columns of `schema` as `format` writes them. Two columns of one name become `name` and `name_2`,
    /// because a JSON object and most readers of Parquet would lose one.
    pub(super) fn new(schema: &Schema, format: Format) -> Self {
        let changes: Vec<Change> = schema.fields().iter().map(|field| change(field.data_type(), format)).collect();
        let mut taken = HashSet::new();
        let fields = schema.fields().iter().zip(&changes).map(|(field, change)| {
            let data_type = match change {
                Change::Keep => field.data_type().clone(),
                Change::ToText => DataType::Utf8,
                Change::Cast(data_type) => data_type.clone(),
            };
            // A value that JSON functions extract may be null although its field says otherwise.
            let nullable = field.is_nullable() || *change == Change::ToText || holds_union(&data_type);
            Field::new(free_name(field.name(), &mut taken), data_type, nullable)
        });
        OutputColumns { schema: Arc::new(Schema::new(fields.collect::<Fields>())), changes }
    }

    /// Returns the schema of the written columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Converts a batch of the result to the written columns.
    pub(super) fn fit(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = batch.schema_ref().fields().iter().zip(batch.columns()).zip(&self.changes);
        let columns = columns.map(|((field, column), change)| match change {
            Change::Keep => Ok(Arc::clone(column)),
            Change::ToText => as_text(field, column).map(|texts| Arc::new(texts) as ArrayRef),
            Change::Cast(data_type) => cast(column, data_type),
        });
        let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect::<Result<_, _>>()?, &rows)
    }
}

/// Returns `name`, or with a number if it is taken.
pub(super) fn free_name(name: &str, taken: &mut HashSet<String>) -> String {
    let mut free = name.to_owned();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

fn change(data_type: &DataType, format: Format) -> Change {
    let to_text = match format {
        Format::Csv => data_type.is_nested() || matches!(data_type, DataType::Union(..)),
        Format::Table | Format::Parquet => holds_union(data_type),
        Format::Json | Format::Ndjson => false,
    };
    if to_text {
        return Change::ToText;
    }
    let stored = stored_type(data_type);
    if format == Format::Parquet && stored != *data_type { Change::Cast(stored) } else { Change::Keep }
}

/// Returns the type that every reader of Parquet supports: text views are too new for some.
fn stored_type(data_type: &DataType) -> DataType {
    let stored = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(stored_type(field.data_type())));
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(stored(item)),
        DataType::LargeList(item) => DataType::LargeList(stored(item)),
        DataType::Struct(members) => DataType::Struct(members.iter().map(stored).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_name_get_different_names() {
        let field = |name| Field::new(name, DataType::Int64, true);
        let schema = Schema::new(vec![field("name"), field("name_2"), field("name"), field("name")]);
        let columns = OutputColumns::new(&schema, Format::Json);
        let names: Vec<_> = columns.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["name", "name_2", "name_3", "name_4"]);
    }

    #[test]
    fn parquet_gets_no_views_at_any_depth() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
        let Change::Cast(stored) = change(&list, Format::Parquet) else { unreachable!("a cast") };
        assert_eq!(stored, DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
        assert_eq!(change(&list, Format::Json), Change::Keep);
    }
}
