//! The lake that a queue belongs to.
//!
//! The workers of a queue take each other's items, so all of them must do them for one lake, from one registry, with one kind of
//! documents. An ingest says so in a record of the queue; workers compare it with what they were given before they do an item.
//! A lake is known by a mark in it: its location may have another name on each machine.

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::lake::{Layout, OriginLayout, Record};
use crate::pipeline::items::LAKE_MARK;
use crate::pipeline::{IngestOptions, ItemRunner};
use crate::queue::{Records, WorkQueue};
use crate::store::Store;

/// The bytes of a mark, at random.
const MARK_BYTES: usize = 16;

/// The lake, the registry and the kind of documents that the items of a queue are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// The mark of the lake.
    lake: String,
    /// The URLs of the registry.
    registry: String,
    /// The `--packuments`.
    documents: String,
}

/// The mark of a lake.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    mark: String,
}

impl Record for Mark {
    const NOUN: &'static str = "the mark by which a queue knows the lake";
    const DAMAGED_HINT: &'static str = "delete it";
}

/// Claims the queue of an origin for the lake of this process, or compares them.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    records: Records,
    key: String,
    store: Store,
    layout: OriginLayout,
    own: Claim,
}

impl Claims {
    /// `records` are those that all queues of a server share.
    pub(super) fn new(records: Records, options: &IngestOptions) -> Claims {
        let layout = Layout::origin(&options.registry.origin().name);
        let info = &options.origin_info;
        let own = Claim {
            lake: String::new(),
            registry: format!("{} {}", info.replicate_url, info.registry_url),
            documents: options.documents().to_owned(),
        };
        Claims { records, key: format!("queue.{}", layout.name()), store: options.store.clone(), layout, own }
    }

    /// Makes the queue that of this lake. Fails, of kind Input, if it holds items of another one.
    pub(super) async fn take(&self, queue: &WorkQueue) -> Result<()> {
        let own = self.with_mark().await?;
        let found = self.found().await?;
        if found.as_ref() == Some(&own) {
            return Ok(());
        }
        let has_items = queue.waiting().await?.iter().any(|some| some.waiting + some.in_progress > 0);
        if let Some(found) = found.filter(|_| has_items) {
            let told = self.mismatch(&found, &own, queue);
            return Err(told.hint(
                "let its workers end them, purge the stream, or give the origin another name: --origin NAME=URL",
            ));
        }
        self.records.update(&self.key, |claim: &mut Claim| claim.clone_from(&own)).await
    }

    /// Fails, of kind Input, if the items of the queue are not for this process. A queue that nobody has spoken for becomes that
    /// of this lake; `runner` prepares the lake for that.
    pub(super) async fn check(&self, queue: &WorkQueue, runner: &ItemRunner, stop: &CancellationToken) -> Result<()> {
        let mut found = self.found().await?;
        if found.is_none() {
            // If the lake cannot be prepared, the item fails for the same reason, and its result says why.
            let prepared = stop.run_until_cancelled(runner.prepare()).await;
            if !matches!(prepared, Some(Ok(()))) {
                return Ok(());
            }
            let own = self.with_mark().await?;
            let claim = |claim: &mut Claim| {
                if *claim == Claim::default() {
                    claim.clone_from(&own);
                }
            };
            self.records.update(&self.key, claim).await?;
            found = self.found().await?;
        }
        let Ok(mark) = self.mark().await else { return Ok(()) };
        let own = Claim { lake: mark.unwrap_or_default(), ..self.own.clone() };
        match found.filter(|found| *found != own) {
            Some(found) => Err(self.mismatch(&found, &own, queue).hint(
                "start all of a queue with the same --lake, --origin and --packuments; all machines must see the lake",
            )),
            None => Ok(()),
        }
    }

    /// Returns the claim that the queue holds.
    async fn found(&self) -> Result<Option<Claim>> {
        Ok(self.records.read(&self.key).await?.map(|(found, _)| found))
    }

    fn mismatch(&self, found: &Claim, own: &Claim, queue: &WorkQueue) -> Error {
        let (origin, lake) = (self.layout.name(), self.store.location());
        let why = if found.registry != own.registry {
            format!("of the registry {}, not of {}", found.registry, own.registry)
        } else if found.documents != own.documents {
            format!("for --packuments {}, not {}", found.documents, own.documents)
        } else {
            format!("for another lake than {lake}")
        };
        Error::input(format!("the queue of {origin} at {} holds items {why}", queue.queue().address()))
    }

    async fn with_mark(&self) -> Result<Claim> {
        let lake = match self.mark().await? {
            Some(mark) => mark,
            None => {
                let mark: String = (0..MARK_BYTES).map(|_| format!("{:02x}", fastrand::u8(..))).collect();
                match self.store.create_record(&self.layout.item(LAKE_MARK), Mark { mark }).await? {
                    Some(made) => made.record.mark,
                    // Another process was faster.
                    None => self.mark().await?.unwrap_or_default(),
                }
            }
        };
        Ok(Claim { lake, ..self.own.clone() })
    }

    async fn mark(&self) -> Result<Option<String>> {
        let found = self.store.read_record::<Mark>(&self.layout.item(LAKE_MARK)).await?;
        Ok(found.map(|found| found.mark))
    }
}
