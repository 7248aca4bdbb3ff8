//! A table over an array of an origin, for one statement: finds the array, and plans its scan. Not here: the rows of the table
//! (`grid`, `graph`), and the table of names (`index`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, project_schema};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::ArrayTable;
use super::conditions::Axes;
use super::graph::GraphSource;
use super::grid::GridSource;
use super::index::IndexTable;
use super::scan::{ArrayScan, Source, conditions, supported};
use crate::lake::OriginLayout;

/// A table whose rows are cells or edges.
#[derive(Debug)]
pub(super) struct ValuesTable {
    table: ArrayTable,
    schema: SchemaRef,
    index: IndexTable,
    layout: OriginLayout,
    is_absent: AtomicBool,
}

impl ValuesTable {
    pub(super) fn new(table: ArrayTable, schema: SchemaRef, index: IndexTable, layout: OriginLayout) -> ValuesTable {
        ValuesTable { table, schema, index, layout, is_absent: AtomicBool::new(false) }
    }

    pub(super) fn table(&self) -> ArrayTable {
        self.table
    }

    /// Returns whether the statement found no array.
    pub(super) fn is_absent(&self) -> bool {
        self.is_absent.load(Ordering::Relaxed)
    }

    /// Returns the columns, and the axes on which their conditions are evaluated.
    fn axes(&self) -> Axes {
        match self.table {
            ArrayTable::Graph => &[("name", "name"), ("dependency", "name"), ("kind", "kind")],
            ArrayTable::Releases => &[("name", "name"), ("month", "month")],
            ArrayTable::Downloads | ArrayTable::PackageIndex => &[("name", "name"), ("day", "day")],
        }
    }

    fn plan<S: Source>(
        &self,
        source: Option<S>,
        state: &dyn Session,
        schema: SchemaRef,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(source) = source else {
            self.is_absent.store(true, Ordering::Relaxed);
            return Ok(Arc::new(EmptyExec::new(schema)));
        };
        let conditions = conditions(state, self.axes(), &self.schema, filters)?;
        let statistics = source.statistics(&schema, &conditions)?;
        let parts = state.config().target_partitions();
        Ok(Arc::new(ArrayScan::new(source, schema, conditions, statistics, parts)))
    }
}

#[async_trait]
impl TableProvider for ValuesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(supported(self.axes(), filters))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project_schema(&self.schema, projection)?;
        let Some(store) = &self.index.location().lake else {
            return self.plan(None::<GraphSource>, state, schema, filters);
        };
        match self.table {
            ArrayTable::Graph => {
                let source = GraphSource::open(store, &self.layout, &self.index, state).await?;
                self.plan(source, state, schema, filters)
            }
            table => {
                let source = GridSource::open(table, store, &self.layout, &self.index, state).await?;
                self.plan(source, state, schema, filters)
            }
        }
    }
}
