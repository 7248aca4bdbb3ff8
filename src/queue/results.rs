//! The results of items, kept for a while by the digest of the item.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Work, WorkQueue};
use crate::error::{Context, Error, ErrorKind, Result};

/// How often a process that waits for a result looks whether it missed it, as by a restart of the server.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// Once in so many looks it also looks whether the queue still has items.
const LOOKS_BETWEEN_COUNTS: u32 = 4;

impl WorkQueue {
    /// Returns the result that is kept for an item.
    pub async fn result(&self, digest: &str) -> Result<Option<Bytes>> {
        let store = &self.parts.results;
        patiently!(self.queue, "reading a result", store.get(result_key(digest)).await)
    }

    /// Keeps the result of an item, and tells those who wait for it.
    pub async fn keep_result(&self, digest: &str, result: Bytes) -> Result<()> {
        let (store, key) = (&self.parts.results, result_key(digest));
        patiently!(self.queue, "keeping a result", store.put(&key, result.clone()).await).map(drop)
    }

    /// Returns what the workers have noted about an item in progress.
    pub async fn note<T: DeserializeOwned>(&self, digest: &str) -> Result<Option<T>> {
        let (store, key) = (&self.parts.results, note_key(digest));
        let found = patiently!(self.queue, "reading a note", store.get(&key).await)?;
        // An unreadable one is that of another version.
        Ok(found.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Notes something about an item in progress.
    pub async fn keep_note<T: Serialize + Sync>(&self, digest: &str, note: &T) -> Result<()> {
        let (store, key) = (&self.parts.results, note_key(digest));
        let text = serde_json::to_vec(note).or_error(ErrorKind::Internal, || "a note is no JSON".to_owned())?;
        let text = Bytes::from(text);
        patiently!(self.queue, "keeping a note", store.put(&key, text.clone()).await).map(drop)
    }

    /// Drops the note about an item that has ended.
    pub async fn drop_note(&self, digest: &str) -> Result<()> {
        let (store, key) = (&self.parts.results, note_key(digest));
        patiently!(self.queue, "dropping a note", store.purge(&key).await)
    }

    /// Puts an item into the queue, and waits for its result. A result that is kept is returned at once.
    pub async fn ask(&self, work: &Work) -> Result<Bytes> {
        // The bucket is a stream, and its subject tells the result to whoever listens.
        let subject = format!("$KV.{}.{}", self.parts.results.name, result_key(&work.digest));
        let client = &self.queue.inner.client;
        let mut told = patiently!(self.queue, "waiting for a result", client.subscribe(subject.clone()).await)?;
        if let Some(result) = self.result(&work.digest).await? {
            return Ok(result);
        }
        self.put(work).await?;
        let mut looks = 0_u32;
        loop {
            let heard = tokio::time::timeout(LOOK_INTERVAL, told.next()).await;
            match heard {
                Ok(Some(message)) if !message.payload.is_empty() => return Ok(message.payload),
                Ok(Some(_)) => {}
                Ok(None) => return Err(Error::network("the connection to the queue was closed")),
                Err(_) => {
                    looks += 1;
                    // A result is kept before its item leaves the queue. If there is neither, the queue has lost the item: it
                    // was purged, or the server has lost its folder. The stream may still know the item's own id.
                    let is_lost = looks.is_multiple_of(LOOKS_BETWEEN_COUNTS) && self.is_empty().await?;
                    if let Some(result) = self.result(&work.digest).await? {
                        return Ok(result);
                    }
                    if is_lost {
                        tracing::warn!(digest = work.digest, "an item is lost from the queue, and is put again");
                        self.put_as(&format!("{}.{looks}", work.digest), work).await?;
                    }
                }
            }
        }
    }
}

fn note_key(digest: &str) -> String {
    format!("note.{digest}")
}

fn result_key(digest: &str) -> String {
    format!("result.{digest}")
}
