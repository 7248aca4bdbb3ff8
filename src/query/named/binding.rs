//! Replaces `$name` in a parsed statement by values. They become values in the parser's tree, so text that looks like
//! SQL stays text.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Statement as SqlStatement, Value, ValueWithSpan, VisitMut, VisitorMut};

use super::parameter::{ParameterValue, values_of};
use super::{NamedQuery, Parameter};
use crate::error::{Error, Result};

/// One statement and the values of its parameters.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BoundSql {
    /// The statement, with `$name` where a value belongs.
    pub sql: String,
    /// The values by name.
    pub values: BTreeMap<String, ParameterValue>,
}

impl BoundSql {
    /// Makes a statement that takes no values.
    pub fn new(sql: impl Into<String>) -> Self {
        BoundSql { sql: sql.into(), values: BTreeMap::new() }
    }

    /// Makes a statement that declares no parameters, with values for its `$name`s. A value that is JSON is read as
    /// JSON; any other is text.
    pub fn undeclared(sql: impl Into<String>, given: &BTreeMap<String, String>) -> Self {
        let values = given.iter().map(|(name, text)| (name.clone(), ParameterValue::guess(text))).collect();
        BoundSql { sql: sql.into(), values }
    }
}

impl NamedQuery {
    /// Returns the query with values for its parameters: the given ones, as text, and its own defaults.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] and the list of its parameters for an unknown parameter, a missing
    /// one, and a value of the wrong type.
    pub fn with_values(&self, given: &BTreeMap<String, String>) -> Result<BoundSql> {
        let name = format!("the {} {}", self.kind.as_str(), self.name);
        Ok(BoundSql { sql: self.sql.clone(), values: values_of(&name, &self.parameters, given)? })
    }
}

impl std::fmt::Display for BoundSql {
    /// Writes the SQL, and its values as comments under it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sql.trim_end())?;
        let names = self.values.iter();
        names.into_iter().try_for_each(|(name, value)| write!(f, "\n-- ${name} = {}", one_line(&value.to_string())))
    }
}

/// Replaces control characters, so a value cannot end the comment that shows it.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Inserts `values` into `statement`.
///
/// Fails with [`crate::error::ErrorKind::Input`] for a `$name` that has no value, and for a value that no `$name` uses.
pub(in super::super) fn bind(statement: &mut Statement, values: &BTreeMap<String, ParameterValue>) -> Result<()> {
    let mut binder = Binder { values, used: BTreeSet::new() };
    let mut inner: &mut Statement = statement;
    while let Statement::Explain(explain) = inner {
        inner = &mut explain.statement;
    }
    let missing = match inner {
        Statement::Statement(statement) => {
            let statement: &mut SqlStatement = statement;
            statement.visit(&mut binder)
        }
        _ => ControlFlow::Continue(()),
    };
    if let ControlFlow::Break(name) = missing {
        return Err(Error::input(format!("the statement has no value for ${name}")).hint(match name.is_empty() {
            true => "name it: $name, and --param name=value".to_owned(),
            false => format!("give one: --param {name}=value"),
        }));
    }
    if let Some(unused) = values.keys().find(|name| !binder.used.contains(*name)) {
        let used: Vec<&str> = binder.used.iter().map(String::as_str).collect();
        let hint = match used.as_slice() {
            [] => format!("write ${unused} where the value belongs"),
            used => format!("its parameters: {}", used.join(", ")),
        };
        return Err(Error::input(format!("the statement has no parameter {unused:?}")).hint(hint));
    }
    Ok(())
}

/// Replaces every `$name` by its value; stops at one that has none.
struct Binder<'v> {
    values: &'v BTreeMap<String, ParameterValue>,
    used: BTreeSet<String>,
}

impl VisitorMut for Binder<'_> {
    type Break = String;

    fn pre_visit_value(&mut self, place: &mut ValueWithSpan) -> ControlFlow<String> {
        let Value::Placeholder(written) = &place.value else { return ControlFlow::Continue(()) };
        let name = written.trim_start_matches(['$', '?', ':', '@']).to_owned();
        let Some(value) = self.values.get(&name) else { return ControlFlow::Break(name) };
        place.value = match value {
            ParameterValue::Null => Value::Null,
            ParameterValue::Boolean(value) => Value::Boolean(*value),
            ParameterValue::Number(value) => Value::Number(value.to_string(), false),
            ParameterValue::Text(value) => Value::SingleQuotedString(value.clone()),
        };
        self.used.insert(name);
        ControlFlow::Continue(())
    }
}

/// Checks that every `$name` of a file is declared and every declared one is used. Returns the error, or `None`.
pub(super) fn undeclared(statement: &Statement, parameters: &[Parameter]) -> Option<Error> {
    let any = |parameter: &Parameter| (parameter.name.clone(), ParameterValue::Null);
    let values: BTreeMap<String, ParameterValue> = parameters.iter().map(any).collect();
    bind(&mut statement.clone(), &values)
        .err()
        .map(|error| error.hint("a header declares each of them: -- Parameter: limit number = 20: most rows"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use datafusion::sql::parser::DFParser;

    fn bound(sql: &str, given: &[(&str, &str)]) -> Result<String> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let bound = BoundSql::undeclared(sql, &given);
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        bind(&mut statement, &bound.values)?;
        Ok(statement.to_string())
    }

    #[test]
    fn values_take_the_places_of_their_names_everywhere() {
        let sql = "select $a from f($a, 1) where x in ($b, $c) and y = $d limit $b";
        let text = bound(sql, &[("a", "x' or 1=1 --"), ("b", "2"), ("c", "null"), ("d", "true")]).unwrap();
        assert_eq!(text, "SELECT 'x'' or 1=1 --' FROM f('x'' or 1=1 --', 1) WHERE x IN (2, NULL) AND y = true LIMIT 2");
        assert_eq!(bound("explain select $a", &[("a", "1")]).unwrap().to_lowercase(), "explain select 1");
    }

    #[test]
    fn a_missing_and_a_needless_value_are_reported() {
        let error = bound("select $a", &[]).unwrap_err();
        assert_eq!(error.message(), "the statement has no value for $a");
        let error = bound("select $a", &[("a", "1"), ("b", "1")]).unwrap_err();
        assert_eq!(
            (error.message(), error.hint_text()),
            ("the statement has no parameter \"b\"", Some("its parameters: a"))
        );
    }

    #[test]
    fn a_shown_value_stays_in_its_comment() {
        let values = BTreeMap::from([("a".to_owned(), ParameterValue::Text("x\n; drop".to_owned()))]);
        assert_eq!(BoundSql { sql: "select $a\n".to_owned(), values }.to_string(), "select $a\n-- $a = 'x ; drop'");
    }
}
