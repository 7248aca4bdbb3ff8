//! Plans a view: the SQL of its file against the tables of one origin.

use std::collections::BTreeMap;

use datafusion::catalog::view::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;

use super::parameter::ParameterValue;
use super::{NamedQuery, bind};
use crate::error::Result;
use crate::query::own_files::replace_calls;
use crate::query::statement;

/// The value that every view may name: the base URL of the origin's documents.
pub(super) const REGISTRY_URL: &str = "registry_url";

/// Plans the view as a table of `origin`, whose documents come from `registry_url`. Names without a schema belong to
/// the origin.
pub(in super::super) async fn plan_view(
    mut state: SessionState,
    view: &NamedQuery,
    origin: &str,
    registry_url: &str,
) -> Result<ViewTable, DataFusionError> {
    let planned = |error: crate::error::Error| DataFusionError::External(Box::new(error));
    let statement = statement_of(&view.sql, registry_url).map_err(planned)?;
    origin.clone_into(&mut state.config_mut().options_mut().catalog.default_schema);
    let plan = state.statement_to_plan(statement).await?;
    Ok(ViewTable::new(plan, Some(view.sql.clone())))
}

/// Parses the one statement of a view's file.
///
/// Fails with [`crate::error::ErrorKind::Input`] as [`statement::parse`] does, and for a parameter.
pub(in super::super) fn statement_of(sql: &str, registry_url: &str) -> Result<Statement> {
    let mut statement = statement::parse(sql)?;
    let mut values = BTreeMap::new();
    if sql.contains(&format!("${REGISTRY_URL}")) {
        values.insert(REGISTRY_URL.to_owned(), ParameterValue::Text(registry_url.to_owned()));
    }
    bind(&mut statement, &values)?;
    replace_calls(&mut statement)?;
    Ok(statement)
}
