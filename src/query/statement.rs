//! Parses one SQL statement and checks that it only reads. Not here: whether its tables and columns exist.

use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement, TableFactor, Visit, Visitor};

use crate::error::{Error, Result};

use super::named::{BoundSql, bind};
use super::own_files::replace_calls;
use super::syntax::syntax;

/// Parses the one statement of `sql`.
///
/// Fails with [`crate::error::ErrorKind::Input`] for a text that is no SQL, for none or several statements, and for a
/// statement that would change something.
pub(super) fn parse(sql: &str) -> Result<Statement> {
    let mut statements = DFParser::parse_sql(sql).map_err(|error| syntax(sql, &error))?;
    let Some(statement) = statements.pop_front() else {
        return Err(Error::input("there is no statement").hint("give one, such as: select count(*) from versions"));
    };
    if !statements.is_empty() {
        let message = format!("there are {} statements where one is expected", statements.len() + 1);
        return Err(Error::input(message).hint("run them one after the other"));
    }
    if !reads_only(&statement) {
        return Err(refused(sql));
    }
    match ignored(&statement) {
        Some(clause) => Err(Error::input(format!("{clause} is not supported, and would be ignored"))
            .hint("for some rows of a table: order by random() limit 100")),
        None => Ok(statement),
    }
}

/// Parses the one statement of `bound` and inserts its values.
///
/// Fails as [`parse`] and [`bind`] do.
pub(super) fn parse_bound(bound: &BoundSql) -> Result<Statement> {
    let mut statement = parse(&bound.sql)?;
    bind(&mut statement, &bound.values)?;
    replace_calls(&mut statement)?;
    Ok(statement)
}

/// Plans a statement against the tables of the session. `explain` converts an error of the planner; it takes the tables
/// that the statement names.
pub(super) async fn plan(
    state: &SessionState,
    sql: &str,
    statement: Statement,
    explain: impl FnOnce(DataFusionError, &[TableReference]) -> Error,
) -> Result<LogicalPlan> {
    let references = state.resolve_table_references(&statement).unwrap_or_default();
    let planned = state.statement_to_plan(statement).await;
    let plan = planned.map_err(|error| explain(error, &references))?;
    // A second check: the first one knows a few kinds of statements, the planner knows all of them.
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|_| refused(sql))?;
    Ok(plan)
}

fn reads_only(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            statement.as_ref(),
            SqlStatement::Query(_)
                | SqlStatement::Explain { .. }
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
                | SqlStatement::ShowVariable { .. }
                | SqlStatement::ShowFunctions { .. }
        ),
        Statement::Explain(explain) => reads_only(&explain.statement),
        _ => false,
    }
}

/// Finds a clause that the engine parses and then ignores, which changes the statement's result.
fn ignored(statement: &Statement) -> Option<&'static str> {
    struct Finder;

    impl Visitor for Finder {
        type Break = &'static str;

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<&'static str> {
            if query.locks.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break("for update") }
        }

        fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<&'static str> {
            match table {
                TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                    ControlFlow::Break("tablesample")
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }

    match statement {
        Statement::Statement(statement) => statement.visit(&mut Finder).break_value(),
        Statement::Explain(explain) => ignored(&explain.statement),
        _ => None,
    }
}

fn refused(sql: &str) -> Error {
    let first_word = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
    Error::input(format!("a lake is only read with SQL, and {first_word} would change something"))
        .hint("all-docs ingest writes a lake; query runs select, with, values, explain, describe and show")
}
