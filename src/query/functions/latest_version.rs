//! `latest_version_json(json)`: returns the text of the version that a document's `dist-tags.latest` points to,
//! unchanged. Null if there is none, or if the text is not a document.

use std::sync::Arc;

use arrow::array::StringBuilder;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::{Texts, rows_of};
use crate::npm::json::{Cursor, JsonError, Kind, RawString};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct LatestVersionJson {
    signature: Signature,
}

impl Default for LatestVersionJson {
    fn default() -> Self {
        LatestVersionJson { signature: Signature::string(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LatestVersionJson {
    fn name(&self) -> &str {
        "latest_version_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = rows_of(&arguments.args, arguments.number_rows);
        let [argument] = arguments.args.as_slice() else {
            return Err(DataFusionError::Internal("latest_version_json was called without its argument".to_owned()));
        };
        let documents = Texts::new(argument)?;
        let mut versions = StringBuilder::new();
        for row in 0..rows {
            versions.append_option(documents.get(row).and_then(latest_version));
        }
        Ok(ColumnarValue::Array(Arc::new(versions.finish())))
    }
}

fn latest_version(document: &str) -> Option<&str> {
    let [tags, versions] = members(document, ["dist-tags", "versions"]).ok()?;
    let [latest] = members(tags?, ["latest"]).ok()?;
    let latest = latest.filter(|latest| Kind::of(latest) == Kind::String)?;
    let [version] = members(versions?, [&RawString::of(latest).unescape().text]).ok()?;
    version.filter(|version| Kind::of(version) == Kind::Object)
}

/// Returns the members `keys` of an object; of a repeated key the last one, as in JavaScript.
fn members<'j, const COUNT: usize>(
    object: &'j str,
    keys: [&str; COUNT],
) -> Result<[Option<&'j str>; COUNT], JsonError> {
    let mut values = [None; COUNT];
    let mut cursor = Cursor::new(object);
    cursor.enter_object()?;
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first)? {
        let value = cursor.value()?;
        let wanted = keys.iter().position(|wanted| key.unescape().text == *wanted);
        if let Some(slot) = wanted.and_then(|place| values.get_mut(place)) {
            *slot = Some(value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_version_has_the_text_of_its_document() {
        let document = r#"{"versions":{"1.0.0":{"a": 1},"2.0.0":{}},"dist-tags":{"latest":"1.0.0","next":"2.0.0"}}"#;
        assert_eq!(latest_version(document), Some(r#"{"a": 1}"#));
        let twice = r#"{"dist-tags":{"latest":"2"},"dist-tags":{"latest":"\u0031"},"versions":{"1":{},"1":{"b":2}}}"#;
        assert_eq!(latest_version(twice), Some(r#"{"b":2}"#));
        for document in [
            "",
            "{",
            "[]",
            "null",
            r#"{"dist-tags":{"latest":"1"}}"#,
            r#"{"dist-tags":{"latest":1},"versions":{"1":{}}}"#,
            r#"{"dist-tags":{"latest":"1"},"versions":{"1":null}}"#,
            r#"{"dist-tags":{"latest":"2"},"versions":{"1":{}}}"#,
            r#"{"dist-tags":[],"versions":{"1":{}}}"#,
            r#"{"dist-tags":{"latest":"1"},"versions":{"1":{}"#,
        ] {
            assert_eq!(latest_version(document), None, "{document}");
        }
    }
}
