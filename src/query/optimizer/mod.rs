//! Optimizer rules beyond DataFusion's own. They change how a statement runs, never its rows.

mod first_rows;
mod implied_latest;
mod kept_rows;
mod yields;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use first_rows::FirstRows;
use implied_latest::ImpliedLatest;
use kept_rows::KeepRows;
use yields::Yields;

/// Adds the rules to the engine's.
pub(super) fn with_rules(builder: SessionStateBuilder) -> SessionStateBuilder {
    // The rule comes before all others: no filter that changes from round to round may be below kept rows.
    let mut physical: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(KeepRows)];
    physical.extend(PhysicalOptimizer::new().rules);
    // The orders and limits of a plan are settled.
    physical.extend([Arc::new(FirstRows) as Arc<dyn PhysicalOptimizerRule + Send + Sync>, Arc::new(Yields)]);
    builder.with_optimizer_rule(Arc::new(ImpliedLatest)).with_physical_optimizer_rules(physical)
}
