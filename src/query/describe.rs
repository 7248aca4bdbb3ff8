//! `describe`: the columns of a table or a statement, with their descriptions. A column of a statement has the description
//! of the lake's column that it passes on.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{DescribeAlias, Statement as SqlStatement};

use super::arrays;
use super::events::EventsTable;
use super::lake_table::LakeTable;
use super::shard_table::ShardTable;

/// Returns the query whose columns a statement describes; `None` if it describes nothing.
pub(super) fn described(statement: &Statement) -> Option<Statement> {
    let Statement::Statement(statement) = statement else { return None };
    match statement.as_ref() {
        SqlStatement::ExplainTable {
            describe_alias: DescribeAlias::Describe | DescribeAlias::Desc,
            table_name,
            ..
        } => DFParser::parse_sql(&format!("select * from {table_name}")).ok()?.pop_front(),
        SqlStatement::Explain { describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, statement, .. } => {
            Some(Statement::Statement(statement.clone()))
        }
        _ => None,
    }
}

/// Adds the descriptions of the columns of `query` to the plan of a `describe`; any other plan stays as it is.
pub(super) async fn with_descriptions(
    state: &SessionState,
    plan: LogicalPlan,
    query: Statement,
) -> Result<LogicalPlan, DataFusionError> {
    let LogicalPlan::DescribeTable(described) = &plan else { return Ok(plan) };
    let query = state.statement_to_plan(query).await?;
    let fields = described.schema.fields();
    let texts = |values: Vec<Option<String>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let columns = vec![
        texts(fields.iter().map(|field| Some(field.name().clone())).collect()),
        texts(fields.iter().map(|field| Some(field.data_type().to_string())).collect()),
        texts(fields.iter().map(|field| Some(if field.is_nullable() { "YES" } else { "NO" }.to_owned())).collect()),
        texts((0..fields.len()).map(|index| description(&query, index)).collect()),
    ];
    let text = |name, nullable| Field::new(name, DataType::Utf8, nullable);
    let fields = vec![
        text("column_name", false),
        text("data_type", false),
        text("is_nullable", false),
        text("description", true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let table = MemTable::try_new(schema, vec![vec![rows]])?;
    LogicalPlanBuilder::scan("describe", provider_as_source(Arc::new(table)), None)?.build()
}

/// Returns the description of a column of a plan, if the column is one of the lake's.
fn description(plan: &LogicalPlan, index: usize) -> Option<String> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok()?;
            let name = scan.projected_schema.fields().get(index)?.name();
            let shards = provider.downcast_ref::<ShardTable>().map(|table| LakeTable::Shards(table.kind()));
            let events = provider.downcast_ref::<EventsTable>().map(|_| LakeTable::Events);
            let array = || arrays::table_of(provider.as_ref()).map(LakeTable::Array);
            let table = shards.or(events).or_else(array)?;
            table.columns().into_iter().find(|column| column.name == *name)?.doc
        }
        LogicalPlan::Projection(projection) => of_expression(projection.expr.get(index)?, &projection.input),
        LogicalPlan::Aggregate(aggregate) => of_expression(aggregate.group_expr.get(index)?, &aggregate.input),
        LogicalPlan::SubqueryAlias(alias) => description(&alias.input, index),
        LogicalPlan::Filter(filter) => description(&filter.input, index),
        LogicalPlan::Sort(sort) => description(&sort.input, index),
        LogicalPlan::Limit(limit) => description(&limit.input, index),
        LogicalPlan::Distinct(Distinct::All(input)) => description(input, index),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match index.checked_sub(left) {
                None => description(&join.left, index),
                Some(index) => description(&join.right, index),
            }
        }
        _ => None,
    }
}

fn of_expression(expression: &Expr, input: &LogicalPlan) -> Option<String> {
    match expression {
        Expr::Alias(alias) => of_expression(&alias.expr, input),
        Expr::Column(column) => description(input, input.schema().maybe_index_of_column(column)?),
        _ => None,
    }
}
