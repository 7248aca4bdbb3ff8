//! Runs a statement about some packages and reads its rows: a name, a day, and a number. Not here: the statements.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use futures::TryStreamExt;
use jiff::ToSpan;
use jiff::civil::{Date, date};

use crate::error::{Context, ErrorKind, Result};
use crate::query::{BoundSql, ParameterValue, Session};

/// A statement and the values of its parameters.
pub(super) struct Statement {
    sql: String,
    values: BTreeMap<String, ParameterValue>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Statement { sql: sql.into(), values: BTreeMap::new() }
    }

    /// Replaces `$names` by a list of texts.
    pub(super) fn with_names(mut self, names: &[String]) -> Self {
        let places: Vec<String> = (0..names.len()).map(|place| format!("$name{place}")).collect();
        self.sql = self.sql.replace("$names", &places.join(", "));
        let values = names.iter().map(|name| ParameterValue::Text(name.clone()));
        self.values.extend((0..).zip(values).map(|(place, value): (usize, _)| (format!("name{place}"), value)));
        self
    }

    /// Gives `$name` a text.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_owned(), ParameterValue::Text(value.to_owned()));
        self
    }

    /// Runs it, and calls `see` with each batch of its rows, whose columns have been converted to `types`.
    pub(super) async fn each_batch(
        self,
        session: &Session,
        types: &[DataType],
        mut see: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let mut rows = session.query_bound(&BoundSql { sql: self.sql, values: self.values }).await?;
        while let Some(batch) = rows.try_next().await? {
            let columns = batch.columns().iter().zip(types).map(|(column, wanted)| cast(column, wanted));
            let batch = columns
                .collect::<Result<Vec<_>, _>>()
                .and_then(|columns| {
                    let names = batch.schema();
                    let names = names.fields().iter().map(|field| field.name().as_str());
                    RecordBatch::try_from_iter_with_nullable(
                        names.zip(columns).map(|(name, column)| (name, column, true)),
                    )
                })
                .or_error(ErrorKind::Internal, || "the rows have other types than the statement says".to_owned())?;
            see(&batch)?;
        }
        Ok(())
    }

    /// Runs it, and returns its rows of a text, a day and a number, those with a null left out.
    pub(super) async fn days(self, session: &Session) -> Result<Vec<(String, Date, i64)>> {
        let mut found = Vec::new();
        self.each_batch(session, &[DataType::Utf8, DataType::Date32, DataType::Int64], |batch| {
            let names = batch.column(0).as_string::<i32>().iter();
            let days = batch.column(1).as_primitive::<Date32Type>().iter();
            let numbers = batch.column(2).as_primitive::<Int64Type>().iter();
            let rows = names.zip(days).zip(numbers);
            found.extend(rows.filter_map(|((name, day), number)| Some((name?.to_owned(), day_of(day?)?, number?))));
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Runs it, and returns the texts of its one column.
    pub(super) async fn texts(self, session: &Session) -> Result<Vec<String>> {
        let mut found = Vec::new();
        self.each_batch(session, &[DataType::Utf8], |batch| {
            found.extend(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
            Ok(())
        })
        .await?;
        Ok(found)
    }
}

/// Returns the day of a number of days since 1970; `None` outside the years of the calendar.
pub(super) fn day_of(days: i32) -> Option<Date> {
    date(1970, 1, 1).checked_add(i64::from(days).days()).ok()
}
