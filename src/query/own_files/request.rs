//! A file as a statement names it: by its path alone, or as `read_json('…', …)` and `read_csv('…', …)`. The engine
//! knows only names of tables, so a call travels to the reader within such a name.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, TableAlias, TableFactor, UnaryOperator,
    Value, VisitMut, VisitorMut,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The form of a file's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    Json,
    Csv,
    Parquet,
}

/// The file of a table, and what the statement says about it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) path: String,
    /// The form; by the file's suffix if `None`.
    pub(super) form: Option<Form>,
    /// Names and types of columns, in the order of the statement.
    pub(super) columns: Vec<(String, String)>,
    /// Whether every column is text.
    pub(super) all_text: bool,
    /// The character between the values of CSV.
    pub(super) delimiter: Option<char>,
    /// Whether quotes enclose values of CSV; they do unless the statement says otherwise.
    pub(super) quotes: Option<bool>,
    /// Whether the first row of CSV has the names of the columns; it has unless the statement says otherwise.
    pub(super) header: Option<bool>,
}

/// The beginning of a table's name that holds a request.
const MARK: &str = "a file read as ";

/// The arguments of the functions, for hints.
const USAGE: &str = "as in: read_json('x.ndjson', columns => {'deprecated': 'text'}) or \
                     read_csv('x.csv', all_text => true, delimiter => ';', header => false, quotes => false, columns => {'n': 'bigint'})";

impl Request {
    /// Reads the name of a table.
    pub(super) fn of_table(name: &str) -> Request {
        let call = name.strip_prefix(MARK).and_then(|request| serde_json::from_str(request).ok());
        call.unwrap_or_else(|| Request { path: name.to_owned(), ..Request::default() })
    }

    /// Whether the statement names only a path.
    pub(super) fn is_only_a_path(&self) -> bool {
        self.form.is_none()
    }

    fn table_name(&self) -> Result<String> {
        let request = serde_json::to_string(self);
        let request = request.map_err(|error| Error::internal("a call cannot be passed on").source(error))?;
        Ok(format!("{MARK}{request}"))
    }

    fn of_call(form: Form, function: &str, arguments: &[FunctionArg]) -> Result<Request> {
        let wrong = |why: String| Error::input(format!("{function} {why}")).hint(USAGE);
        let mut request = Request { form: Some(form), ..Request::default() };
        for (index, argument) in arguments.iter().enumerate() {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(path)) if index == 0 => {
                    request.path = text_of(path).ok_or_else(|| wrong("takes the path of a file as text".to_owned()))?;
                }
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                    request.set(form, &name.value.to_ascii_lowercase(), value).map_err(wrong)?;
                }
                _ => return Err(wrong(format!("does not take the argument {argument}"))),
            }
        }
        match request.path.is_empty() {
            true => Err(wrong("takes the path of a file first".to_owned())),
            false => Ok(request),
        }
    }

    /// Sets one named argument. An error is the end of a sentence that begins with the function.
    fn set(&mut self, form: Form, name: &str, value: &Expr) -> Result<(), String> {
        let takes = |what: &str| format!("takes {what} for {name}, not {value}");
        match (name, form) {
            ("columns", _) => {
                self.columns = columns_of(value).ok_or_else(|| takes("names and types of columns"))?;
            }
            ("all_text", _) => self.all_text = boolean_of(value).ok_or_else(|| takes("true or false"))?,
            ("header", Form::Csv) => self.header = Some(boolean_of(value).ok_or_else(|| takes("true or false"))?),
            ("quotes", Form::Csv) => self.quotes = Some(boolean_of(value).ok_or_else(|| takes("true or false"))?),
            ("delimiter", Form::Csv) => {
                let text = text_of(value).map(|text| text.replace("\\t", "\t")).unwrap_or_default();
                let mut letters = text.chars();
                match (letters.next(), letters.next()) {
                    (Some(letter), None) if letter.is_ascii() && !matches!(letter, '"' | '\n' | '\r') => {
                        self.delimiter = Some(letter);
                    }
                    _ => return Err(takes("one ASCII character")),
                }
            }
            _ => return Err(format!("has no argument {name}")),
        }
        Ok(())
    }
}

/// Replaces the calls of `read_json` and `read_csv` in a statement by tables that [`Request::of_table`] reads.
///
/// Fails with [`crate::error::ErrorKind::Input`] for wrong arguments.
pub(in super::super) fn replace_calls(statement: &mut Statement) -> Result<()> {
    let mut inner: &mut Statement = statement;
    while let Statement::Explain(explain) = inner {
        inner = &mut explain.statement;
    }
    let Statement::Statement(statement) = inner else { return Ok(()) };
    match statement.visit(&mut Calls) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Calls;

impl VisitorMut for Calls {
    type Break = Error;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { name, alias, args, .. } = factor else { return ControlFlow::Continue(()) };
        let ([ObjectNamePart::Identifier(function)], Some(arguments)) = (name.0.as_slice(), &args) else {
            return ControlFlow::Continue(());
        };
        let function = function.value.to_ascii_lowercase();
        let form = match function.as_str() {
            "read_json" => Form::Json,
            "read_csv" => Form::Csv,
            _ => return ControlFlow::Continue(()),
        };
        let table = Request::of_call(form, &function, &arguments.args).and_then(|request| request.table_name());
        match table {
            Err(error) => return ControlFlow::Break(error),
            Ok(table) => *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', table))]),
        }
        *args = None;
        alias.get_or_insert(TableAlias { explicit: false, name: Ident::new(function), columns: Vec::new(), at: None });
        ControlFlow::Continue(())
    }
}

fn text_of(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => value.value.clone().into_string(),
        Expr::Identifier(name) if name.quote_style.is_some() => Some(name.value.clone()),
        _ => None,
    }
}

fn boolean_of(value: &Expr) -> Option<bool> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => boolean_of(expr).map(|value| !value),
        _ => None,
    }
}

/// Reads `{'name': 'type'}`, or the same as JSON in a text.
fn columns_of(value: &Expr) -> Option<Vec<(String, String)>> {
    if let Expr::Dictionary(fields) = value {
        let pair = |key: &Ident, value: &Expr| Some((key.value.clone(), text_of(value)?));
        return fields.iter().map(|field| pair(&field.key, &field.value)).collect();
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text_of(value)?).ok()?;
    object.into_iter().map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}
