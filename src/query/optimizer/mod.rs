//! What this lake's engine knows beyond DataFusion's optimizer: rules that change how a statement runs, never its rows.

mod implied_latest;
mod kept_rows;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use implied_latest::ImpliedLatest;
use kept_rows::KeepRows;

/// Adds the rules to those of the engine.
pub(super) fn with_rules(builder: SessionStateBuilder) -> SessionStateBuilder {
    // Before all others: a filter that changes from round to round must not have gone below rows that are kept.
    let mut physical: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(KeepRows)];
    physical.extend(PhysicalOptimizer::new().rules);
    builder.with_optimizer_rule(Arc::new(ImpliedLatest)).with_physical_optimizer_rules(physical)
}
