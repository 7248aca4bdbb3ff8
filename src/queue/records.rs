//! Small JSON values that processes share, each changed by compare-and-swap.

use std::time::Duration;

use async_nats::jetstream::kv::{self, Operation, UpdateErrorKind};
use async_nats::jetstream::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{PATIENCE, Queue};
use crate::error::{Context, ErrorKind, Result};

/// A bucket of records.
#[derive(Debug, Clone)]
pub struct Records {
    queue: Queue,
    pub(super) store: kv::Store,
}

impl Queue {
    /// Opens the records of this name, and creates them if there are none.
    pub async fn records(&self, name: &str) -> Result<Records> {
        Ok(Records { queue: self.clone(), store: self.bucket(name, Duration::ZERO).await? })
    }

    /// Opens a bucket, and creates it if there is none. (The client's own function for that asks for what servers before
    /// 2.10 do not say.)
    pub(super) async fn bucket(&self, name: &str, max_age: Duration) -> Result<kv::Store> {
        let config = stream::Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            max_age,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            discard: stream::DiscardPolicy::New,
            ..stream::Config::default()
        };
        self.stream(config).await?;
        patiently!(self, "opening a bucket of the queue", self.inner.jetstream.get_key_value(name).await)
    }

    /// Opens a stream, and creates it if there is none.
    pub(super) async fn stream(&self, config: stream::Config) -> Result<stream::Stream> {
        // If another process is faster, with other settings, the next try finds its stream.
        let jetstream = &self.inner.jetstream;
        let doing = "opening the streams of the queue";
        let stream = patiently!(self, doing, jetstream.get_or_create_stream(config.clone()).await)?;
        self.inner.made().streams.insert(config.name.clone(), config);
        Ok(stream)
    }
}

impl Records {
    /// Returns a record and its revision; `None` if there is none.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, u64)>> {
        let entry = patiently!(self.queue, "reading a record of the queue", self.store.entry(key).await)?;
        let entry = entry.filter(|entry| entry.operation == Operation::Put);
        let parsed = entry.map(|entry| serde_json::from_slice(&entry.value).map(|value| (value, entry.revision)));
        parsed.transpose().or_error(ErrorKind::Network, || format!("the record {key} of the queue is damaged"))
    }

    /// Changes a record with no other change in between; it begins with the default. `change` may be called several
    /// times; the last call holds.
    pub async fn update<T: DeserializeOwned + Serialize + Default>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut T),
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found: Option<(T, u64)> = self.read(key).await?;
            let (mut value, revision) = match found {
                Some((value, revision)) => (value, Some(revision)),
                None => (T::default(), None),
            };
            change(&mut value);
            let text = serde_json::to_vec(&value).or_error(ErrorKind::Internal, || format!("cannot write {key}"))?;
            let refused = match revision {
                Some(revision) => match self.store.update(key, text.into(), revision).await {
                    Ok(_) => return Ok(()),
                    Err(error) => (error.kind() != UpdateErrorKind::WrongLastRevision).then(|| error.to_string()),
                },
                None => match self.store.create(key, text.into()).await {
                    Ok(_) => return Ok(()),
                    Err(error) => (error.kind() != kv::CreateErrorKind::AlreadyExists).then(|| error.to_string()),
                },
            };
            // An update whose confirmation was lost may have been made. It is then made twice: a count is never too low.
            if let Some(error) = refused {
                self.queue.after_failure(deadline, "changing a record of the queue", error.into()).await?;
            }
        }
    }
}
