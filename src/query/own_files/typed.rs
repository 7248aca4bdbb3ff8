//! Types of columns: those that a statement declares, those that texts can have without a loss, and the cast to them.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::{Error, Result};

/// A value that its column's type does not hold.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) value: String,
    pub(super) line: u64,
    pub(super) data_type: DataType,
}

impl Wrong {
    /// Makes the error of a column of a file.
    pub(super) fn error(&self, file: &str, column: &str) -> Error {
        let shown: String = self.value.chars().take(60).collect();
        Error::input(format!(
            "{file}: line {}: {column} is {shown:?}, which is no value of type {}",
            self.line, self.data_type
        ))
        .hint(format!("declare another type: columns => {{'{column}': 'text'}}"))
    }
}

/// Casts texts. `line_of` returns the line of a row, for the error about the first text that is no such value.
pub(super) fn cast_texts(
    texts: &ArrayRef,
    data_type: &DataType,
    line_of: impl Fn(usize) -> u64,
) -> std::result::Result<ArrayRef, Wrong> {
    let wrong = |row: usize| Wrong {
        value: texts.as_string_opt::<i32>().map(|texts| texts.value(row).to_owned()).unwrap_or_default(),
        line: line_of(row),
        data_type: data_type.clone(),
    };
    let cast = cast_with_options(texts, data_type, &CastOptions { safe: true, ..CastOptions::default() });
    let Ok(values) = cast else { return Err(wrong(0)) };
    match (0..texts.len()).find(|row| values.is_null(*row) && texts.is_valid(*row)) {
        Some(row) => Err(wrong(row)),
        None => Ok(values),
    }
}

/// Returns the type of a name in SQL; `None` for `json`, which is text that holds JSON.
///
/// Fails with [`crate::error::ErrorKind::Input`] for a name of no type.
pub(super) async fn declared(state: &SessionState, name: &str) -> Result<Option<DataType>> {
    if name.eq_ignore_ascii_case("json") {
        return Ok(None);
    }
    let unknown = || {
        Error::input(format!("{name:?} is no type of a column"))
            .hint("such as text, json, bigint, double, boolean, timestamp, date, decimal(38, 0), text[]")
    };
    // The parser sees only a type here, so the statement below cannot hold anything else.
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(name).and_then(|mut parser| {
        let data_type = parser.parse_data_type()?;
        parser.expect_token(&datafusion::sql::sqlparser::tokenizer::Token::EOF)?;
        Ok(data_type)
    });
    let data_type = parsed.map_err(|_| unknown())?;
    let plan = state.create_logical_plan(&format!("select cast(null as {data_type})")).await;
    let plan = plan.map_err(|_| unknown())?;
    match plan.schema().field(0).data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => Ok(Some(DataType::Utf8)),
        data_type => Ok(Some(data_type.clone())),
    }
}

/// The types that a column of CSV may have, judged by all of its texts.
#[derive(Debug)]
pub(super) struct Candidates {
    types: Vec<DataType>,
    has_values: bool,
}

impl Candidates {
    /// Makes the candidates of a column without rows.
    pub(super) fn new() -> Self {
        let time = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
        let types = vec![
            DataType::Int64,
            DataType::Float64,
            DataType::Boolean,
            DataType::Date32,
            time(Some("UTC")),
            time(None),
        ];
        Candidates { types, has_values: false }
    }

    /// Keeps the types that hold each of `texts` so that it is written again as it was: `1.10`, `007`, `+5` and `1e5`
    /// are no numbers.
    pub(super) fn keep(&mut self, texts: &StringArray) {
        self.has_values |= texts.null_count() < texts.len();
        self.types.retain(|data_type| holds(data_type, texts));
    }

    /// Returns the column's type.
    pub(super) fn best(&self) -> DataType {
        self.types.first().filter(|_| self.has_values).cloned().unwrap_or(DataType::Utf8)
    }
}

fn holds(data_type: &DataType, texts: &StringArray) -> bool {
    // A name such as NaN or inf is no number.
    let is_number = |text: &str| text.trim_start_matches('-').starts_with(|letter: char| letter.is_ascii_digit());
    if *data_type == DataType::Float64 && !texts.iter().flatten().all(is_number) {
        return false;
    }
    // Most columns of text are told by their first value, without a cast of all.
    let few = texts.slice(0, texts.len().min(8));
    [&few, texts].into_iter().all(|texts| {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        let again = cast_with_options(texts, data_type, &options)
            .and_then(|values| cast_with_options(&values, &DataType::Utf8, &options));
        again.is_ok_and(|again| again.as_string_opt::<i32>() == Some(texts))
    })
}
