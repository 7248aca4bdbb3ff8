//! The typed values that a report takes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Error, Result};

/// The type of a parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A whole number or a fraction.
    Number,
    /// true or false.
    Boolean,
    /// A day (2026-01-31) or a point in time (2026-01-31T12:00:00Z).
    Time,
}

impl ParameterType {
    const ALL: [ParameterType; 4] =
        [ParameterType::Text, ParameterType::Number, ParameterType::Boolean, ParameterType::Time];

    /// Returns its name in a file's header.
    pub fn as_str(self) -> &'static str {
        match self {
            ParameterType::Text => "text",
            ParameterType::Number => "number",
            ParameterType::Boolean => "boolean",
            ParameterType::Time => "time",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        ParameterType::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Returns the names of all types, for messages.
    pub(super) fn names() -> String {
        ParameterType::ALL.map(ParameterType::as_str).join(", ")
    }

    /// Reads a value of this type; returns `None` if `text` is not one.
    pub(super) fn read(self, text: &str) -> Option<ParameterValue> {
        match self {
            ParameterType::Text => Some(ParameterValue::Text(text.to_owned())),
            ParameterType::Number => ParameterValue::number(text),
            ParameterType::Boolean => match text {
                "true" => Some(ParameterValue::Boolean(true)),
                "false" => Some(ParameterValue::Boolean(false)),
                _ => None,
            },
            ParameterType::Time => is_time(text).then(|| ParameterValue::Text(text.to_owned())),
        }
    }
}

/// Returns whether a text is a day or a point in time that SQL reads as a timestamp.
pub(super) fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::Date>().is_ok()
}

/// A value that replaces `$name`: always a value, never SQL.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// No value.
    Null,
    /// true or false.
    Boolean(bool),
    /// A number as it is written in SQL.
    Number(serde_json::Number),
    /// A text; also a time.
    Text(String),
}

impl ParameterValue {
    fn number(text: &str) -> Option<Self> {
        let is_finite = |value: &serde_json::Number| value.as_f64().is_some_and(f64::is_finite);
        serde_json::from_str(text.trim()).ok().filter(is_finite).map(ParameterValue::Number)
    }

    /// Reads the value of a parameter that no file declares: JSON as JSON, anything else as text.
    pub(super) fn guess(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(serde_json::Value::Null) => ParameterValue::Null,
            Ok(serde_json::Value::Bool(value)) => ParameterValue::Boolean(value),
            Ok(serde_json::Value::Number(value)) => ParameterValue::Number(value),
            Ok(serde_json::Value::String(value)) => ParameterValue::Text(value),
            _ => ParameterValue::Text(text.to_owned()),
        }
    }
}

impl std::fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ParameterValue::Null => f.write_str("null"),
            ParameterValue::Boolean(value) => write!(f, "{value}"),
            ParameterValue::Number(value) => write!(f, "{value}"),
            ParameterValue::Text(value) => write!(f, "'{}'", value.replace('\'', "''")),
        }
    }
}

/// One parameter of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// Its name: `$name` in the SQL, `--param name=…` on the command line.
    pub name: String,
    /// The type of its value.
    #[serde(rename = "type")]
    pub value_type: ParameterType,
    /// The default value. Without it the parameter must be given.
    pub default: Option<ParameterValue>,
    /// Its description.
    pub doc: String,
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.name, self.value_type.as_str())?;
        match &self.default {
            Some(default) => write!(f, ", {default} unless given)")?,
            None => f.write_str(", must be given)")?,
        }
        if self.doc.is_empty() { Ok(()) } else { write!(f, ": {}", self.doc) }
    }
}

/// Returns the values of `parameters`: the given ones, read by type, and defaults for the rest. `query` names the query
/// in messages.
///
/// Fails with [`crate::error::ErrorKind::Input`] and the list of parameters for an unknown name, a value of the wrong
/// type, and a missing value.
pub(super) fn values_of(
    query: &str,
    parameters: &[Parameter],
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, ParameterValue>> {
    if let Some(unknown) = given.keys().find(|name| parameters.iter().all(|parameter| parameter.name != **name)) {
        return Err(Error::input(format!("{query} has no parameter {unknown:?}")).hint(listed(parameters)));
    }
    let mut values = BTreeMap::new();
    for parameter in parameters {
        let value =
            match (given.get(&parameter.name), &parameter.default) {
                (Some(text), _) => parameter.value_type.read(text).ok_or_else(|| {
                    let kind = parameter.value_type.as_str();
                    Error::input(format!("{text:?} is not a {kind}, which the parameter {:?} takes", parameter.name))
                        .hint(listed(parameters))
                })?,
                (None, Some(default)) => default.clone(),
                (None, None) => {
                    return Err(Error::input(format!("{query} needs the parameter {:?}", parameter.name))
                        .hint(format!("add --param {}=…\n{}", parameter.name, listed(parameters))));
                }
            };
        values.insert(parameter.name.clone(), value);
    }
    Ok(values)
}

fn listed(parameters: &[Parameter]) -> String {
    if parameters.is_empty() {
        return "it takes none".to_owned();
    }
    let lines: Vec<String> = parameters.iter().map(|parameter| format!("    {parameter}")).collect();
    format!("its parameters are\n{}", lines.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_type() {
        assert_eq!(ParameterType::Number.read("-1.5").unwrap().to_string(), "-1.5");
        for (kind, text) in [
            (ParameterType::Number, "1; drop table x"),
            (ParameterType::Number, "one"),
            (ParameterType::Number, "1e999"),
            (ParameterType::Boolean, "yes"),
            (ParameterType::Time, "last week"),
            (ParameterType::Time, "2026-02-30"),
        ] {
            assert_eq!(kind.read(text), None, "{text}");
        }
        assert!(ParameterType::Time.read("2026-01-31").is_some());
        assert!(ParameterType::Time.read("2026-01-31T10:00:00.5Z").is_some());
        assert_eq!(ParameterValue::guess("a b"), ParameterValue::Text("a b".to_owned()));
        assert_eq!(ParameterValue::guess("\"5\""), ParameterValue::Text("5".to_owned()));
        assert_eq!(ParameterValue::guess("5"), ParameterValue::number("5").unwrap());
    }

    #[test]
    fn wrong_unknown_and_missing_parameters_list_the_right_ones() {
        let parameter = |name: &str, default: Option<&str>| Parameter {
            name: name.to_owned(),
            value_type: ParameterType::Number,
            default: default.and_then(ParameterValue::number),
            doc: "so many".to_owned(),
        };
        let parameters = [parameter("days", None), parameter("limit", Some("20"))];
        let given = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let values = values_of("x", &parameters, &given(&[("days", "7")])).unwrap();
        assert_eq!(values.values().map(ToString::to_string).collect::<Vec<_>>(), ["7", "20"]);
        for (pairs, expected) in [
            (vec![], "needs the parameter \"days\""),
            (vec![("days", "x")], "\"x\" is not a number"),
            (vec![("days", "1"), ("lmit", "1")], "has no parameter \"lmit\""),
        ] {
            let error = values_of("x", &parameters, &given(&pairs)).unwrap_err();
            assert!(error.message().contains(expected), "{}", error.message());
            assert!(error.hint_text().unwrap().contains("limit (number, 20 unless given): so many"), "{error:?}");
        }
    }
}
