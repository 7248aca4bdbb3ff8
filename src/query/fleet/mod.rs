//! SQL on several machines: a session plans a statement, workers read its shards, group, join and sort, and the session
//! puts their rows together. The engine's plans are divided by `datafusion_distributed`; this module tells it which scans
//! can be divided, how to send them, and what stays here. Not here: the worker (`fleet_worker`).
//!
//! A scan is sent as the engine encodes it, with the version of each of its shards. A worker reads the same lake itself,
//! and each shard on condition that it is still that version. A part that a worker cannot read is one of its own that
//! runs here: arrays, own files, recursion, and the rows of a feed.

mod channel;
mod codec;
mod headers;
mod here;
mod incoming;
mod leaf;
mod planner;
mod scan;
mod workers;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{
    DistributedConfig, DistributedExec, DistributedExt, SessionStateBuilderExt, display_plan_ascii,
};
use url::Url;

use super::lake_location::LakeLocation;
use super::overlay::Overlays;
use super::plan_limits::DOCUMENT_BATCH_ROWS;

pub(super) use channel::{ANSWERS_WITHIN, ASKS_EVERY, Channels, LostWorker};
pub(super) use codec::{ScanCodec, Side};
pub(super) use headers::{Wanted, refused};
pub(super) use here::refuse_foreign;
pub(super) use incoming::incoming;
pub(super) use workers::Workers;

use planner::PartsHere;

/// The machines that take part in a session's statements.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// The addresses of the workers, such as `http://10.0.0.7:8081`.
    pub workers: Vec<Url>,
    /// The token that the workers ask for.
    pub token: Option<String>,
}

/// Makes the statements of a session run on workers.
pub(super) fn enable(
    builder: SessionStateBuilder,
    workers: &Arc<Workers>,
    location: &LakeLocation,
) -> Result<SessionStateBuilder> {
    builder
        .with_query_planner(Arc::new(PartsHere::new(location.clone())))
        .with_distributed_planner()
        .with_distributed_worker_resolver(Workers::resolver(workers))
        .with_distributed_channel_resolver(Channels::of_session(workers))
        .with_distributed_user_codec(ScanCodec::new(Side::Session))
        .with_distributed_desired_task_count_handler(scan::wanted_tasks)
        .with_distributed_scale_up_leaf_node_handler(scan::divide)
        // A part that must stay here would be moved, if it is below a union whose inputs are given to different workers.
        .with_distributed_children_isolator_unions(false)
}

/// Returns whether the statements of a session run on workers.
pub(super) fn has_workers(config: &SessionConfig) -> bool {
    DistributedConfig::from_session_config(config).is_ok()
}

/// Optimizes a statement as for one machine. For several, the engine turns subqueries of one value into joins, and that fails
/// where two of their columns have the same name. A part that has such a subquery then stays here.
pub(super) fn optimize_on_one(state: &mut SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    state.config_mut().options_mut().optimizer.enable_physical_uncorrelated_scalar_subquery = true;
    state.optimize(plan)
}

/// Tells the workers of a planned statement what they must know before they read: see [`Wanted`].
pub(super) fn tell_workers(
    state: &mut SessionState,
    workers: &Workers,
    location: &LakeLocation,
    reads_documents: bool,
) -> Result<()> {
    let overlays = state.config().get_extension::<Overlays>().unwrap_or_default();
    let wanted = Wanted::new(overlays.known(location), workers.token().map(str::to_owned));
    let config = state.config_mut();
    config.set_distributed_passthrough_headers(wanted.headers()?)?;
    config.set_distributed_shuffle_batch_size(if reads_documents { DOCUMENT_BATCH_ROWS } else { 0 })
}

/// Returns a plan with its stages, each with the part that a worker does; `None` if it runs on this machine alone.
pub(super) fn stages(plan: &Arc<dyn ExecutionPlan>) -> Option<String> {
    plan.is::<DistributedExec>().then(|| display_plan_ascii(plan.as_ref(), false))
}
