//! A worker for the statements of other machines: it runs parts of their plans over its own access to the same lake. Not
//! here: how a statement is divided, and what is sent (`fleet`).

use std::sync::Arc;

use datafusion::error::Result as EngineResult;
use datafusion::execution::SessionState;
use datafusion_distributed::{
    DistributedExt, Worker, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::fleet::{ANSWERS_WITHIN, ASKS_EVERY, Channels, ScanCodec, Side, Wanted, incoming, refuse_foreign, refused};
use super::overlay::Overlays;
use super::session::Session;
use super::snapshot::Snapshot;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::version::TOOL_VERSION;

/// A worker for statements. It serves gRPC, which is HTTP/2 without TLS.
#[derive(Debug, Clone)]
pub struct QueryWorker {
    session: Session,
    /// The token that a session must show to have its statements run. Without one, whoever can connect can read the lake.
    token: Option<String>,
    channels: Channels,
}

impl QueryWorker {
    /// Makes a worker that reads the lake of a session, with its share of the machine.
    pub fn new(session: &Session, token: Option<String>) -> QueryWorker {
        QueryWorker { session: session.clone(), token, channels: Channels::default() }
    }

    /// Serves until `stop`. Parts of statements that run then are cut off; their sessions run them elsewhere, or fail.
    ///
    /// Fails with [`ErrorKind::Internal`] if the server ends by itself.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<()> {
        let (state, _, _) = self.session.parts();
        let runtime = Arc::clone(state.runtime_env());
        let build = move |context: WorkerQueryContext| {
            let worker = self.clone();
            async move { Box::pin(worker.state_of(context)).await }
        };
        let worker = Worker::from_session_builder(build).with_runtime_env(runtime).with_version(TOOL_VERSION);
        let server = Server::builder()
            .http2_keepalive_interval(Some(ASKS_EVERY))
            .http2_keepalive_timeout(Some(ANSWERS_WITHIN))
            .add_service(worker.into_worker_server())
            .serve_with_incoming(incoming(listener));
        match stop.run_until_cancelled(server).await {
            Some(ended) => ended.or_error(ErrorKind::Internal, || "the server of the worker ended".to_owned()),
            None => Ok(()),
        }
    }

    /// Makes the state in which a part of a statement runs.
    async fn state_of(&self, context: WorkerQueryContext) -> EngineResult<SessionState> {
        let WorkerQueryContext { mut builder, headers } = context;
        let wanted = Wanted::read(&headers, self.token.as_deref())?;
        let (own, catalog, location) = self.session.parts();
        let snapshot = Arc::new(Snapshot::default());
        let config = builder.config().get_or_insert_default();
        config.set_extension(Arc::clone(&snapshot));
        config.set_extension(Arc::new(Overlays::default()));
        let builder = builder
            .with_scalar_functions(own.scalar_functions().values().cloned().collect())
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_worker_plan_rewrite_handler(|event: WorkerPlanRewriteEvent<'_>| {
                refuse_foreign(&event.plan)?;
                Ok(WorkerPlanRewriteEventResponse::new(event.plan))
            });
        let mut state = builder.build();
        let mut views = Vec::new();
        for (origin, digest) in &wanted.overlays {
            let Some(overlay) = catalog.overlay(origin) else {
                return Err(refused(Error::input(format!("the worker's lake has no origin {origin:?}"))));
            };
            match overlay.view(&state, &snapshot).await? {
                Some(view) if view.digest() == *digest => views.push(view),
                _ => return Err(overlay.of_other_record()),
            }
        }
        let side = Side::Worker { location: Arc::new(location.clone()), snapshot, views };
        state.set_distributed_user_codec(ScanCodec::new(side));
        Ok(state)
    }
}
