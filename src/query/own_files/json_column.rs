//! The values of JSON records as Arrow columns. Not here: which columns there are (`json_shape`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListArray, NullBufferBuilder, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use crate::npm::json::{Cursor, JsonError, Kind, RawString};

use super::typed::{Wrong, cast_texts};

/// A column or a member: the values that it has.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    /// Texts; other values as JSON.
    Text,
    /// Every value as JSON, texts in quotes.
    Json,
    Boolean,
    Integer,
    Double,
    List(Box<Column>),
    Struct(Vec<(String, Column)>),
    /// Another type, which values are cast to.
    Other(DataType),
}

impl Column {
    /// Returns the column of whole numbers beyond 64 bits.
    pub(super) fn decimal() -> Column {
        Column::Other(DataType::Decimal128(38, 0))
    }

    /// Returns the column of a declared type.
    pub(super) fn of_type(data_type: &DataType) -> Column {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Column::Text,
            DataType::Boolean => Column::Boolean,
            DataType::Int64 => Column::Integer,
            DataType::Float64 => Column::Double,
            DataType::List(item) => Column::List(Box::new(Column::of_type(item.data_type()))),
            DataType::Struct(members) => Column::Struct(
                members.iter().map(|member| (member.name().clone(), Column::of_type(member.data_type()))).collect(),
            ),
            other => Column::Other(other.clone()),
        }
    }

    /// Returns the Arrow type.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Column::Text | Column::Json => DataType::Utf8,
            Column::Boolean => DataType::Boolean,
            Column::Integer => DataType::Int64,
            Column::Double => DataType::Float64,
            Column::List(item) => DataType::List(item_field(item)),
            Column::Struct(members) => DataType::Struct(fields_of(members)),
            Column::Other(data_type) => data_type.clone(),
        }
    }
}

fn item_field(item: &Column) -> FieldRef {
    Arc::new(Field::new("item", item.data_type(), true))
}

fn fields_of(members: &[(String, Column)]) -> Fields {
    members.iter().map(|(name, column)| Field::new(name, column.data_type(), true)).collect()
}

/// The values of one batch.
pub(super) enum Values {
    Text(StringBuilder),
    Json(StringBuilder),
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Double(Float64Builder),
    List { item: Box<Values>, field: FieldRef, ends: Vec<i32>, valid: NullBufferBuilder },
    Struct { members: ObjectValues, fields: Fields, valid: NullBufferBuilder },
    Other { data_type: DataType, texts: StringBuilder, lines: Vec<u64> },
}

impl Values {
    /// Makes the empty values of a column.
    pub(super) fn new(column: &Column) -> Values {
        match column {
            Column::Text => Values::Text(StringBuilder::new()),
            Column::Json => Values::Json(StringBuilder::new()),
            Column::Boolean => Values::Boolean(BooleanBuilder::new()),
            Column::Integer => Values::Integer(Int64Builder::new()),
            Column::Double => Values::Double(Float64Builder::new()),
            Column::List(item) => Values::List {
                item: Box::new(Values::new(item)),
                field: item_field(item),
                ends: vec![0],
                valid: NullBufferBuilder::new(0),
            },
            Column::Struct(members) => Values::Struct {
                members: ObjectValues::new(members.iter().map(|(name, column)| (name.as_str(), column))),
                fields: fields_of(members),
                valid: NullBufferBuilder::new(0),
            },
            Column::Other(data_type) => {
                Values::Other { data_type: data_type.clone(), texts: StringBuilder::new(), lines: Vec::new() }
            }
        }
    }

    fn push_null(&mut self) {
        match self {
            Values::Text(texts) | Values::Json(texts) => texts.append_null(),
            Values::Boolean(values) => values.append_null(),
            Values::Integer(values) => values.append_null(),
            Values::Double(values) => values.append_null(),
            Values::List { ends, valid, .. } => {
                ends.push(ends.last().copied().unwrap_or_default());
                valid.append_null();
            }
            Values::Struct { members, valid, .. } => {
                members.values.iter_mut().for_each(Values::push_null);
                valid.append_null();
            }
            Values::Other { texts, lines, .. } => {
                texts.append_null();
                lines.push(0);
            }
        }
    }

    /// Adds a value of JSON from a record that begins in `line`.
    fn push(&mut self, raw: &str, line: u64) -> Result<(), Unfit> {
        let kind = Kind::of(raw);
        if kind == Kind::Null && !matches!(self, Values::Json(_)) {
            self.push_null();
            return Ok(());
        }
        let unfit = |data_type: DataType| Unfit::Value(Wrong { value: raw.to_owned(), line, data_type });
        match self {
            Values::Text(texts) => texts.append_value(text_of(raw)),
            Values::Json(_) if kind == Kind::Null => self.push_null(),
            Values::Json(texts) => texts.append_value(raw),
            Values::Boolean(values) => match text_of(raw).as_ref() {
                "true" => values.append_value(true),
                "false" => values.append_value(false),
                _ => return Err(unfit(DataType::Boolean)),
            },
            Values::Integer(values) => {
                values.append_value(text_of(raw).parse().map_err(|_| unfit(DataType::Int64))?);
            }
            Values::Double(values) => {
                values.append_value(text_of(raw).parse().map_err(|_| unfit(DataType::Float64))?);
            }
            Values::Other { texts, lines, .. } => {
                texts.append_value(text_of(raw));
                lines.push(line);
            }
            Values::List { item, ends, valid, field } => {
                if kind != Kind::Array {
                    return Err(unfit(DataType::List(Arc::clone(field))));
                }
                let mut cursor = Cursor::new(raw);
                cursor.enter_array()?;
                let (mut first, mut end) = (true, ends.last().copied().unwrap_or_default());
                while cursor.next_item(&mut first)? {
                    item.push(cursor.value()?, line)?;
                    end += 1;
                }
                ends.push(end);
                valid.append_non_null();
            }
            Values::Struct { members, valid, fields } => {
                if kind != Kind::Object {
                    return Err(unfit(DataType::Struct(fields.clone())));
                }
                members.push(raw, line).map_err(|(_, unfit)| unfit)?;
                valid.append_non_null();
            }
        }
        Ok(())
    }

    /// Returns the values as an array.
    fn finish(self) -> Result<ArrayRef, Unfit> {
        Ok(match self {
            Values::Text(mut texts) | Values::Json(mut texts) => Arc::new(texts.finish()),
            Values::Boolean(mut values) => Arc::new(values.finish()),
            Values::Integer(mut values) => Arc::new(values.finish()),
            Values::Double(mut values) => Arc::new(values.finish()),
            Values::List { item, field, ends, mut valid } => {
                let list = ListArray::try_new(field, OffsetBuffer::new(ends.into()), item.finish()?, valid.finish());
                Arc::new(list.map_err(Unfit::Arrow)?)
            }
            Values::Struct { members, fields, mut valid } => {
                let columns = members.finish().map_err(|(_, unfit)| unfit)?;
                Arc::new(StructArray::try_new(fields, columns, valid.finish()).map_err(Unfit::Arrow)?)
            }
            Values::Other { data_type, mut texts, lines } => {
                let texts: ArrayRef = Arc::new(texts.finish());
                cast_texts(&texts, &data_type, |row| lines.get(row).copied().unwrap_or_default())?
            }
        })
    }
}

/// Why a value cannot be in its column.
pub(super) enum Unfit {
    Value(Wrong),
    Json(JsonError),
    Arrow(arrow::error::ArrowError),
}

impl From<JsonError> for Unfit {
    fn from(error: JsonError) -> Self {
        Unfit::Json(error)
    }
}

impl From<Wrong> for Unfit {
    fn from(wrong: Wrong) -> Self {
        Unfit::Value(wrong)
    }
}

/// The values of the members of objects.
pub(super) struct ObjectValues {
    places: HashMap<String, usize>,
    values: Vec<Values>,
}

impl ObjectValues {
    /// Makes the empty values of some members.
    pub(super) fn new<'c>(columns: impl Iterator<Item = (&'c str, &'c Column)>) -> Self {
        let mut members = ObjectValues { places: HashMap::new(), values: Vec::new() };
        for (name, column) in columns {
            members.places.insert(name.to_owned(), members.values.len());
            members.values.push(Values::new(column));
        }
        members
    }

    /// Adds an object. A missing member is null, and of a repeated one the last value counts, as in JavaScript. An error
    /// has the place of the member that it is about.
    pub(super) fn push(&mut self, raw: &str, line: u64) -> Result<(), (usize, Unfit)> {
        let members = self.members(raw).map_err(|error| (usize::MAX, Unfit::Json(error)))?;
        self.push_members(&members, line)
    }

    /// Adds a record that is a whole value in itself: the member `name`.
    pub(super) fn push_alone(&mut self, name: &str, raw: &str, line: u64) -> Result<(), (usize, Unfit)> {
        let mut members = vec![None; self.values.len()];
        if let Some(slot) = self.places.get(name).and_then(|place| members.get_mut(*place)) {
            *slot = Some(raw);
        }
        self.push_members(&members, line)
    }

    fn members<'j>(&self, raw: &'j str) -> Result<Vec<Option<&'j str>>, JsonError> {
        let mut members = vec![None; self.values.len()];
        let mut cursor = Cursor::new(raw);
        cursor.enter_object()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            let value = cursor.value()?;
            let place = self.places.get(key.unescape().text.as_ref());
            if let Some(slot) = place.and_then(|place| members.get_mut(*place)) {
                *slot = Some(value);
            }
        }
        Ok(members)
    }

    fn push_members(&mut self, members: &[Option<&str>], line: u64) -> Result<(), (usize, Unfit)> {
        for (place, (values, raw)) in self.values.iter_mut().zip(members).enumerate() {
            match raw {
                Some(raw) => values.push(raw, line).map_err(|unfit| (place, unfit))?,
                None => values.push_null(),
            }
        }
        Ok(())
    }

    /// Returns an array for each member.
    pub(super) fn finish(self) -> Result<Vec<ArrayRef>, (usize, Unfit)> {
        let values = self.values.into_iter().enumerate();
        values.map(|(place, values)| values.finish().map_err(|unfit| (place, unfit))).collect()
    }
}

/// Returns a text's value, and any other value as JSON.
fn text_of(raw: &str) -> Cow<'_, str> {
    match Kind::of(raw) {
        Kind::String => RawString::of(raw).unescape().text,
        _ => Cow::Borrowed(raw),
    }
}
