//! The connections to workers. They notice a machine that is gone without a word, and their errors name the worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest, GetWorkerInfoResponse,
    SetPlanRequest, WorkerChannel, WorkerToCoordinatorMsg,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::HeaderMap;
use tonic::transport::{Channel, Endpoint};
use url::Url;

use super::headers::refusal;
use super::workers::Workers;
use crate::query::cause::find;

/// The longest time that a connection takes to open.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// The time between the questions of both ends of a connection whether the other one is still there.
pub(in crate::query) const ASKS_EVERY: Duration = Duration::from_secs(10);
/// The longest time that it takes to answer.
pub(in crate::query) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A worker that cannot be reached, or whose connection broke.
#[derive(Debug, thiserror::Error)]
#[error("the worker {url} is lost: {why}")]
pub(in crate::query) struct LostWorker {
    url: String,
    why: String,
}

impl LostWorker {
    /// Finds one in the text of an error: a worker sends its errors as texts.
    pub(in crate::query) fn of_text(text: &str) -> Option<LostWorker> {
        let (_, rest) = text.split_once("the worker ")?;
        let (url, why) = rest.split_once(" is lost: ")?;
        let why = why.lines().next().unwrap_or_default();
        Url::parse(url).is_ok().then(|| LostWorker { url: url.to_owned(), why: why.to_owned() })
    }
}

/// The connections of a session or of a worker. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(in crate::query) struct Channels {
    open: Arc<Mutex<HashMap<Url, Channel>>>,
    /// Where a session notes those that it lost.
    workers: Option<Arc<Workers>>,
}

impl Channels {
    pub(super) fn of_session(workers: &Arc<Workers>) -> Channels {
        Channels { workers: Some(Arc::clone(workers)), ..Channels::default() }
    }

    fn channel(&self, url: &Url) -> Result<Channel> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open.get(url) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(url.to_string())
            .map_err(|error| DataFusionError::External(Box::new(error)))?
            .connect_timeout(CONNECTS_WITHIN)
            .http2_keep_alive_interval(ASKS_EVERY)
            .keep_alive_timeout(ANSWERS_WITHIN)
            .tcp_nodelay(true);
        // It connects when it is first used, and again after its connection broke.
        let channel = endpoint.connect_lazy();
        open.insert(url.clone(), channel.clone());
        Ok(channel)
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let client = create_worker_client(BoxCloneSyncChannel::new(self.channel(url)?));
        let naming = Naming { url: url.clone(), workers: self.workers.clone() };
        Ok(Box::new(NamedChannel { client, naming }))
    }
}

/// A connection whose errors name the worker.
struct NamedChannel {
    client: Box<dyn WorkerChannel>,
    naming: Naming,
}

#[derive(Clone)]
struct Naming {
    url: Url,
    workers: Option<Arc<Workers>>,
}

impl Naming {
    fn named(&self, error: DataFusionError) -> DataFusionError {
        if let Some(status) = find::<tonic::Status>(&error) {
            let cause = std::error::Error::source(status).map(|cause| format!(" ({})", innermost(cause)));
            let why = format!("{}{}", status.message(), cause.unwrap_or_default());
            self.lose(&self.url);
            return DataFusionError::External(Box::new(LostWorker { url: self.url.to_string(), why }));
        }
        if let Some(refusal) = refusal(&self.url, &error.to_string()) {
            return DataFusionError::External(Box::new(refusal));
        }
        // This worker is there, and lost another one.
        if let Some(lost) = LostWorker::of_text(&error.to_string())
            && let Ok(url) = Url::parse(&lost.url)
        {
            self.lose(&url);
        }
        error
    }

    fn lose(&self, url: &Url) {
        if let Some(workers) = &self.workers {
            workers.lose(url);
        }
    }

    fn all<T: 'static>(&self, rows: BoxStream<'static, Result<T>>) -> BoxStream<'static, Result<T>> {
        let naming = self.clone();
        rows.map_err(move |error| naming.named(error)).boxed()
    }
}

fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost
}

#[async_trait]
impl WorkerChannel for NamedChannel {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        plan: SetPlanRequest,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        let answers = self.client.coordinator_channel(headers, plan, messages, metrics, context).await;
        answers.map(|answers| self.naming.all(answers)).map_err(|error| self.naming.named(error))
    }

    async fn execute_task(
        &mut self,
        headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        let streams = self.client.execute_task(headers, request, metrics, context).await;
        let streams = streams.map_err(|error| self.naming.named(error))?;
        Ok(streams.into_iter().map(|rows| self.naming.all(rows)).collect())
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        self.client.get_worker_info(request).await.map_err(|error| self.naming.named(error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_worker_is_found_in_a_text() {
        let lost = LostWorker { url: "http://w:1/".to_owned(), why: "transport error".to_owned() };
        let text = format!("External error: Shared: {lost}\nmore");
        let found = LostWorker::of_text(&text).unwrap();
        assert_eq!(found.to_string(), lost.to_string());
        for text in ["", "the worker http://w:1/", "the worker in row 5 is lost: no"] {
            assert!(LostWorker::of_text(text).is_none(), "{text}");
        }
    }
}
