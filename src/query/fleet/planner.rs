//! Plans a statement as for one machine, and marks the parts that must stay on it. The engine divides the rest.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion_proto::bytes::physical_plan_to_bytes_with_extension_codec;

use super::codec::{ScanCodec, Side};
use super::here::kept_here;
use super::leaf::Leaf;
use crate::query::lake_location::LakeLocation;

/// The planner before the engine's dividing one.
#[derive(Debug)]
pub(super) struct PartsHere {
    location: LakeLocation,
}

impl PartsHere {
    pub(super) fn new(location: LakeLocation) -> PartsHere {
        PartsHere { location }
    }
}

#[async_trait]
impl QueryPlanner for PartsHere {
    async fn create_physical_plan(
        &self,
        logical: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(logical, session).await?;
        let plan = kept_here(plan, &self.location)?;
        // The engine grows, and what it cannot encode must still run.
        match physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &ScanCodec::new(Side::Trial)) {
            Ok(_) => Ok(plan),
            Err(error) => {
                tracing::warn!(%error, "a statement runs on this machine alone, because it cannot be sent");
                Ok(Leaf::here(plan))
            }
        }
    }
}
