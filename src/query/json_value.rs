//! Writes values that JSON functions extract from a document, as JSON.
//!
//! The functions return a union of JSON's types, which no output format supports.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder, UnionArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use datafusion_functions_json::{JsonUnionEncoder, JsonUnionValue};

/// Makes Arrow's JSON writer encode the union of JSON's types.
#[derive(Debug)]
pub(super) struct JsonValues;

struct JsonValueEncoder(JsonUnionEncoder);

impl EncoderFactory for JsonValues {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let Some(values) = json_values(array) else { return Ok(None) };
        let present = (0..values.len()).map(|row| values.get_value(row) != JsonUnionValue::JsonNull);
        let nulls = NullBuffer::from_iter(present);
        Ok(Some(NullableEncoder::new(Box::new(JsonValueEncoder(values)), Some(nulls))))
    }
}

impl Encoder for JsonValueEncoder {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        match self.0.get_value(row) {
            JsonUnionValue::JsonNull => out.extend_from_slice(b"null"),
            JsonUnionValue::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            JsonUnionValue::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
            JsonUnionValue::Float(value) => push_json(out, &value),
            JsonUnionValue::Str(value) => push_json(out, &value),
            JsonUnionValue::Array(json) | JsonUnionValue::Object(json) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

fn push_json<T: serde::Serialize>(out: &mut Vec<u8>, value: &T) {
    // Neither a number nor a text can fail to become JSON, and neither can writing into memory.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

fn json_values(array: &dyn Array) -> Option<JsonUnionEncoder> {
    JsonUnionEncoder::from_union(array.as_any().downcast_ref::<UnionArray>()?.clone())
}

/// Returns whether a type is, or contains, a union.
pub(super) fn holds_union(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => holds_union(item.data_type()),
        DataType::Struct(members) => members.iter().any(|member| holds_union(member.data_type())),
        _ => false,
    }
}

/// Converts a nested column to text: JSON, except that a string extracted from a document stays as it is.
pub(super) fn as_text(field: &FieldRef, array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    if let Some(values) = json_values(array.as_ref()) {
        let mut encoder = JsonValueEncoder(values);
        let mut json = Vec::new();
        for row in 0..array.len() {
            match encoder.0.get_value(row) {
                JsonUnionValue::JsonNull => texts.append_null(),
                JsonUnionValue::Str(text) => texts.append_value(text),
                _ => {
                    json.clear();
                    encoder.encode(row, &mut json);
                    texts.append_value(utf8(&json)?);
                }
            }
        }
        return Ok(texts.finish());
    }
    let options = EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(JsonValues));
    let mut encoder = make_encoder(field, array.as_ref(), &options)?;
    let mut json = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            texts.append_null();
        } else {
            json.clear();
            encoder.encode(row, &mut json);
            texts.append_value(utf8(&json)?);
        }
    }
    Ok(texts.finish())
}

fn utf8(json: &[u8]) -> Result<&str, ArrowError> {
    std::str::from_utf8(json).map_err(|error| ArrowError::JsonError(error.to_string()))
}
