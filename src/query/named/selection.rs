//! Selects from a view as CouchDB's view parameters do: `key`, `startkey`, `group_level` and the like become SQL.
//!
//! Keys compare as in CouchDB (null, false, true, numbers, texts, lists, objects), but texts by their bytes.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field};
use serde_json::Value;

use super::NamedQuery;
use super::binding::BoundSql;
use super::parameter::{ParameterValue, is_time};
use crate::error::{Error, Result};

/// A key, which is compared with the first columns of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// A value for the first column. The others may hold anything.
    First(Value),
    /// A value for each column from the first on.
    Parts(Vec<Value>),
}

impl Key {
    /// Reads a key: JSON or a bare text. A JSON list has a value for each column.
    pub fn parse(text: &str) -> Key {
        match serde_json::from_str(text) {
            Ok(Value::Array(parts)) => Key::Parts(parts),
            Ok(value) => Key::First(value),
            Err(_) => Key::First(Value::String(text.to_owned())),
        }
    }

    /// Reads a JSON list of keys.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for anything else.
    pub fn parse_list(text: &str) -> Result<Vec<Key>> {
        let keys: Vec<Value> = serde_json::from_str(text).map_err(|error| {
            Error::input(format!("{text:?} is not a list of keys"))
                .hint("as in: --keys '[\"react\", \"vue\"]'")
                .source(error)
        })?;
        let key = |value| match value {
            Value::Array(parts) => Key::Parts(parts),
            value => Key::First(value),
        };
        Ok(keys.into_iter().map(key).collect())
    }

    fn parts(&self) -> &[Value] {
        match self {
            Key::First(value) => std::slice::from_ref(value),
            Key::Parts(parts) => parts,
        }
    }
}

/// The rows of a view to return. By default all of them, in the order of the view's key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Rows that begin with this key.
    pub key: Option<Key>,
    /// Rows that begin with one of these.
    pub keys: Option<Vec<Key>>,
    /// Rows from this key on, in the selected order.
    pub start_key: Option<Key>,
    /// Rows up to this key, in the selected order. A single value includes all rows that begin with it; a list that is
    /// shorter than the view's key ends before them, as in CouchDB.
    pub end_key: Option<Key>,
    /// Whether the order is reversed.
    pub descending: bool,
    /// Rows to skip at the start.
    pub skip: Option<u64>,
    /// The most rows to return.
    pub limit: Option<u64>,
    /// How many columns of the key make a group; the rows of each group are counted.
    pub group_level: Option<usize>,
    /// Whether to count the rows, in one group if there is no group level.
    pub reduce: bool,
}

/// A column of a view, as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ViewColumn {
    pub(in super::super) name: String,
    pub(in super::super) kind: ColumnKind,
    pub(in super::super) nullable: bool,
}

/// The type of a column, as far as keys can be compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum ColumnKind {
    Text,
    Number,
    Boolean,
    Time,
    /// Lists and the like.
    Other,
}

impl ViewColumn {
    /// Makes a view column from the engine's field.
    pub(in super::super) fn of(field: &Field) -> Self {
        let kind = match field.data_type() {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => ColumnKind::Text,
            DataType::Boolean => ColumnKind::Boolean,
            DataType::Timestamp(..) => ColumnKind::Time,
            kind if kind.is_numeric() => ColumnKind::Number,
            _ => ColumnKind::Other,
        };
        ViewColumn { name: field.name().clone(), kind, nullable: field.is_nullable() }
    }
}

/// The comparison of a row's key with a given key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    AtLeast,
    AtMost,
}

/// Makes the statement that returns `selection` of `view`, which SQL calls `relation`. `columns` are all columns of the
/// view.
///
/// Fails with [`crate::error::ErrorKind::Input`] for a key that has more values than the view's key, and for a value
/// that cannot be compared with its column.
pub(in super::super) fn select_from_view(
    view: &NamedQuery,
    relation: &str,
    columns: &[ViewColumn],
    selection: &Selection,
) -> Result<BoundSql> {
    let is_key = |column: &&ViewColumn| view.key.is_empty() || view.key.contains(&column.name);
    let key: Vec<&ViewColumn> = columns.iter().filter(is_key).collect();
    let mut conditions = Conditions { view: &view.name, key: &key, values: BTreeMap::new() };
    let mut all = Vec::new();
    let (low, high) = match selection.descending {
        false => (&selection.start_key, &selection.end_key),
        true => (&selection.end_key, &selection.start_key),
    };
    for (wanted, comparison) in
        [(&selection.key, Comparison::Equal), (low, Comparison::AtLeast), (high, Comparison::AtMost)]
    {
        if let Some(wanted) = wanted {
            all.push(conditions.of(wanted, comparison)?);
        }
    }
    if let Some(keys) = &selection.keys {
        let any: Result<Vec<String>> = keys.iter().map(|key| conditions.of(key, Comparison::Equal)).collect();
        let any = any?;
        all.push(if any.is_empty() { "false".to_owned() } else { any.join(" or ") });
    }
    let groups = match (selection.group_level, selection.reduce) {
        (Some(level), _) => Some(level.min(key.len())),
        (None, true) => Some(0),
        (None, false) => None,
    };
    let shown: Vec<&ViewColumn> = match groups {
        Some(level) => key.iter().copied().take(level).collect(),
        None => columns.iter().collect(),
    };
    let mut listed: Vec<String> = shown.iter().map(|column| quoted(&column.name)).collect();
    let named = listed.clone();
    if groups.is_some() {
        listed.push("count(*) as value".to_owned());
    }
    let mut sql = format!("select {}\nfrom {relation}", listed.join(", "));
    if !all.is_empty() {
        let all: Vec<String> = all.iter().map(|condition| format!("({condition})")).collect();
        sql.push_str(&format!("\nwhere {}", all.join(" and ")));
    }
    if groups.is_some() && !named.is_empty() {
        sql.push_str(&format!("\ngroup by {}", named.join(", ")));
    }
    let order = order(&shown, &key, selection.descending);
    if !order.is_empty() {
        sql.push_str(&format!("\norder by {}", order.join(", ")));
    }
    if let Some(limit) = selection.limit {
        sql.push_str(&format!("\nlimit {limit}"));
    }
    if let Some(skip) = selection.skip {
        sql.push_str(&format!("\noffset {skip}"));
    }
    let mut values = conditions.values;
    // A condition that cannot hold drops its parts, so their values are unused.
    values.retain(|name, _| names_parameter(&sql, name));
    Ok(BoundSql { sql, values })
}

fn names_parameter(sql: &str, name: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    sql.split('$').skip(1).any(|rest| rest.split(|letter| !is_part(letter)).next() == Some(name))
}

/// Returns the columns that rows are ordered by: the key, then the other short columns, which order rows of one key.
fn order(shown: &[&ViewColumn], key: &[&ViewColumn], descending: bool) -> Vec<String> {
    let is_document = |column: &ViewColumn| column.name.ends_with("json") || column.kind == ColumnKind::Other;
    let of_key = shown.iter().filter(|column| key.contains(column));
    let others = shown.iter().filter(|column| !key.contains(column) && !is_document(column));
    let direction = |column: &&&ViewColumn| match (descending, column.nullable) {
        (false, false) => quoted(&column.name),
        (true, false) => format!("{} desc", quoted(&column.name)),
        (false, true) => format!("{} nulls first", quoted(&column.name)),
        (true, true) => format!("{} desc nulls last", quoted(&column.name)),
    };
    of_key.chain(others).map(|column| direction(&column)).collect()
}

/// Quotes a name for SQL, unless the bare name means the same.
pub(in super::super) fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let is_bare = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(is_plain);
    // SQL keywords that are names of view columns.
    let is_reserved = matches!(name, "user" | "type" | "year" | "month" | "day" | "key" | "value" | "order" | "group");
    if is_bare && !is_reserved { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Makes conditions, and collects the values that they name.
struct Conditions<'a> {
    view: &'a str,
    key: &'a [&'a ViewColumn],
    values: BTreeMap<String, ParameterValue>,
}

impl Conditions<'_> {
    /// Makes the condition that a row's key has this comparison with `wanted`.
    fn of(&mut self, wanted: &Key, comparison: Comparison) -> Result<String> {
        let parts = wanted.parts();
        if parts.len() > self.key.len() {
            let names: Vec<&str> = self.key.iter().map(|column| column.name.as_str()).collect();
            return Err(Error::input(format!("the key has {} values, and that of {} fewer", parts.len(), self.view))
                .hint(format!("its key: {}", names.join(", "))));
        }
        let mut condition = match (comparison, wanted) {
            // A row whose key continues after a list is above the list.
            (Comparison::AtMost, Key::Parts(parts)) if parts.len() < self.key.len() => "false".to_owned(),
            _ => "true".to_owned(),
        };
        for (column, part) in self.key.iter().zip(parts).rev() {
            let part = self.part(column, part)?;
            condition = part.then(&quoted(&column.name), column.nullable, comparison, condition);
        }
        Ok(condition)
    }

    fn part(&mut self, column: &ViewColumn, part: &Value) -> Result<Part> {
        let value = match (column.kind, part) {
            (_, Value::Null) => return Ok(Part::Null),
            (ColumnKind::Text, Value::String(text)) => ParameterValue::Text(text.clone()),
            // A bare 2020 or true parses as JSON, but the column may hold such texts.
            (ColumnKind::Text, Value::Number(_) | Value::Bool(_)) => ParameterValue::Text(part.to_string()),
            (ColumnKind::Number, Value::Number(number)) => ParameterValue::Number(number.clone()),
            (ColumnKind::Boolean, Value::Bool(value)) => ParameterValue::Boolean(*value),
            (ColumnKind::Time, Value::String(text)) if is_time(text) => ParameterValue::Text(text.clone()),
            (ColumnKind::Time, Value::String(text)) => {
                return Err(Error::input(format!("{text:?} is not a time, which {} is", column.name))
                    .hint("as in: 2026-01-31 or 2026-01-31T12:00:00Z"));
            }
            (ColumnKind::Other, _) => {
                return Err(Error::input(format!("{} cannot be compared with a key", column.name))
                    .hint("ask for it in SQL: all-docs query \"select …\""));
            }
            (kind, part) => return Ok(if rank(part) < kind.rank() { Part::Lowest } else { Part::Highest }),
        };
        let name = format!("key_{}", self.values.len() + 1);
        let written = match column.kind {
            ColumnKind::Time => format!("cast(${name} as timestamp with time zone)"),
            _ => format!("${name}"),
        };
        self.values.insert(name, value);
        Ok(Part::Value(written))
    }
}

/// One value of a key, against one column.
enum Part {
    Null,
    /// Below every value of the column.
    Lowest,
    /// Above every value of the column: `{}` above all texts.
    Highest,
    /// SQL for the value.
    Value(String),
}

impl Part {
    /// Makes the condition for a column and the columns after it; `rest` is the condition for those after it.
    fn then(&self, column: &str, nullable: bool, comparison: Comparison, rest: String) -> String {
        let or_null = |condition: String| match nullable {
            true => format!("{column} is null or {condition}"),
            false => condition,
        };
        let (equal, beyond) = match (self, comparison) {
            (Part::Null, Comparison::AtLeast) => (format!("{column} is null"), format!("{column} is not null")),
            (Part::Null, _) => (format!("{column} is null"), "false".to_owned()),
            (Part::Lowest, Comparison::AtLeast) => {
                return if nullable { format!("{column} is not null") } else { "true".to_owned() };
            }
            (Part::Lowest, Comparison::AtMost) => {
                return if nullable { format!("{column} is null") } else { "false".to_owned() };
            }
            (Part::Highest, Comparison::AtMost) => return "true".to_owned(),
            (Part::Highest, Comparison::AtLeast) => return "false".to_owned(),
            (Part::Lowest | Part::Highest, Comparison::Equal) => return "false".to_owned(),
            (Part::Value(value), Comparison::Equal) => (format!("{column} = {value}"), "false".to_owned()),
            (Part::Value(value), Comparison::AtLeast) => (format!("{column} = {value}"), format!("{column} > {value}")),
            (Part::Value(value), Comparison::AtMost) => {
                (format!("{column} = {value}"), or_null(format!("{column} < {value}")))
            }
        };
        match (rest.as_str(), beyond.as_str(), comparison, self) {
            ("true", "false", ..) => equal,
            ("true", _, Comparison::AtLeast, Part::Value(value)) => format!("{column} >= {value}"),
            ("true", _, Comparison::AtMost, Part::Value(value)) => or_null(format!("{column} <= {value}")),
            ("true", ..) => "true".to_owned(),
            ("false", ..) => beyond,
            (_, "false", ..) => format!("{equal} and ({rest})"),
            _ => format!("{beyond} or {equal} and ({rest})"),
        }
    }
}

impl ColumnKind {
    fn rank(self) -> u8 {
        match self {
            ColumnKind::Boolean => 1,
            ColumnKind::Number => 2,
            ColumnKind::Text | ColumnKind::Time => 3,
            ColumnKind::Other => 4,
        }
    }
}

/// Returns the place of a value's type in CouchDB's order.
fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
