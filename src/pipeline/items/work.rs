//! The work of an item: a part of an ingest.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::outcome::Ended;
use super::{Inner, PURPOSE};
use crate::diff::Selection;
use crate::error::{Error, Result};
use crate::lake::{Item, ItemError, PackumentPayload, PartitionPayload, PartitionSetPayload, Payload};
use crate::npm::{Outcome, PackageName};
use crate::pipeline::documents::{Absent, LakeDocuments};
use crate::pipeline::ingest::{Doer, Run};
use crate::pipeline::item_metrics::ItemMetrics;
use crate::pipeline::options::IngestOptions;
use crate::pipeline::progress::Progress;
use crate::pipeline::run::RunReporter;
use crate::pipeline::source::Scope;
use crate::store::blocking;

/// How the run of an item ended.
enum Worked {
    /// All of it is done.
    Done(Box<ItemMetrics>),
    /// Other processes hold a part of it.
    Held(String),
}

impl Inner {
    /// Does an item. Its lease is held.
    pub(super) async fn work(&self, item: &Item, stop: &CancellationToken) -> Result<Ended> {
        match item.payload() {
            Payload::PartitionSet(payload) => self.partition_set(payload, stop).await,
            Payload::Partition(payload) => self.partition(payload, stop).await,
            Payload::Packument(payload) => self.packument(payload, stop).await,
        }
    }

    async fn partition(&self, payload: &PartitionPayload, stop: &CancellationToken) -> Result<Ended> {
        let options = IngestOptions { scope: Scope::Range(payload.range()), ..self.options.clone() };
        let metrics = match self.run(options, stop).await? {
            Worked::Held(by) => return Ok(Ended::Held(by)),
            Worked::Done(metrics) => metrics,
        };
        let counts = &metrics.counts;
        let data = json!({
            "partitions": counts.partitions_done,
            "unchanged": counts.partitions_unchanged,
            "names": counts.rows_planned,
            "documents": counts.packuments_fresh,
        });
        Ok(Ended::Done { data, metrics: value_of(&metrics)? })
    }

    async fn packument(&self, payload: &PackumentPayload, stop: &CancellationToken) -> Result<Ended> {
        let name = PackageName::new(payload.package_name.as_str());
        let options = IngestOptions {
            scope: Scope::Selected,
            selection: Selection::Names([name.clone()].into()),
            ..self.options.clone()
        };
        let metrics = match self.run(options, stop).await? {
            Worked::Held(by) => return Ok(Ended::Held(by)),
            Worked::Done(metrics) => value_of(&metrics)?,
        };
        let documents = LakeDocuments::open(&self.options.store, &self.layout).await?;
        let asked = name.clone();
        let held = match blocking("reading the outcome of a name", move || documents.why_absent(&asked)).await? {
            Absent::Outcome(held) => held,
            Absent::Listed | Absent::Unknown(_) => {
                return Ok(Ended::Failed { error: told(404, format!("the registry lists no {name}")), metrics });
            }
        };
        let (status_code, what) = match held.outcome {
            Outcome::Present | Outcome::Tombstone => {
                let data =
                    json!({"packageName": name.as_str(), "rev": held.rev.as_str(), "outcome": held.outcome.as_str()});
                return Ok(Ended::Done { data, metrics });
            }
            Outcome::Stale | Outcome::Failed => {
                let error = told(503, format!("the registry does not serve {name} yet: {}", held.outcome.as_str()));
                return Ok(Ended::NotYet { error, metrics });
            }
            Outcome::NotFound => (404, "it has no document"),
            Outcome::Blocked => (451, "it may not be read"),
            Outcome::Oversize => (413, "its document is too large"),
            Outcome::Malformed => (502, "its document is no packument"),
        };
        Ok(Ended::Failed { error: told(status_code, format!("{name}: {what}")), metrics })
    }

    async fn partition_set(&self, payload: &PartitionSetPayload, stop: &CancellationToken) -> Result<Ended> {
        let pivots = payload.parsed_pivots()?.or_else(|| self.options.pivots.clone());
        let options = IngestOptions { pivots, scope: Scope::All, ..self.options.clone() };
        let progress = Arc::new(Progress::default());
        let reporter = self.reporter(&progress).await?;
        let run = Run::new(options, self.layout.clone(), Arc::clone(&progress), reporter.run(), Doer::OwnUnlessHeld);
        let made = stop.run_until_cancelled(run.partition_set()).await;
        let ended = reporter.end().await;
        let set = made.unwrap_or_else(|| Err(Error::interrupted()))?;
        ended?;
        let id = payload.partition_set_id.clone().unwrap_or_else(|| set.id());
        let item = |(index, partition): (usize, crate::lake::Partition)| {
            let payload = PartitionPayload {
                start_key: partition.start,
                end_key: partition.end,
                partition_set_id: Some(id.clone()),
                index: Some(index as u64),
                run: payload.run.clone(),
            };
            Item::new(self.layout.name(), Payload::Partition(payload))
        };
        let items = set.iter().enumerate().map(item).collect::<Result<Vec<Item>>>()?;
        let (metrics, _) = run.begin_summary().into_item(&progress, self.untold_requests());
        self.total.add_all(&metrics.counts);
        let data = json!({"partitionSetId": id, "partitions": items.len(), "items": value_of(&items)?});
        Ok(Ended::Done { data, metrics: value_of(&metrics)? })
    }

    /// Runs an ingest of a part, and leaves partitions to the processes that hold them.
    async fn run(&self, options: IngestOptions, stop: &CancellationToken) -> Result<Worked> {
        let progress = Arc::new(Progress::default());
        let reporter = self.reporter(&progress).await?;
        let run = Run::new(options, self.layout.clone(), Arc::clone(&progress), reporter.run(), Doer::OwnUnlessHeld);
        let mut summary = run.begin_summary();
        let worked = run.work(stop, &mut summary).await;
        let ended = reporter.end().await;
        let (metrics, held_by) = summary.into_item(&progress, self.untold_requests());
        self.total.add_all(&metrics.counts);
        let is_stopped = worked?;
        ended?;
        match held_by.is_empty() {
            _ if is_stopped => Err(Error::interrupted()),
            true => Ok(Worked::Done(Box::new(metrics))),
            false => Ok(Worked::Held(held_by.join(", "))),
        }
    }

    async fn reporter(&self, progress: &Arc<Progress>) -> Result<RunReporter> {
        let IngestOptions { store, registry, .. } = &self.options;
        RunReporter::start(store.clone(), &self.layout, PURPOSE, Arc::clone(progress), Some(registry.clone())).await
    }
}

fn told(status_code: u16, message: String) -> ItemError {
    ItemError { message, status_code }
}

fn value_of(part: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(part).map_err(|error| Error::internal("a result cannot be written as JSON").source(error))
}
