//! The results of items, kept for a while by the digest of the item.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use super::{PATIENCE, Work, WorkQueue};
use crate::error::{Error, Result};

/// How often a process that waits for a result looks whether it missed it, as by a restart of the server.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);

impl WorkQueue {
    /// Returns the result that is kept for an item.
    pub async fn result(&self, digest: &str) -> Result<Option<Bytes>> {
        let store = &self.parts.results;
        self.queue.patiently(PATIENCE, "reading a result", async || store.get(result_key(digest)).await).await
    }

    /// Keeps the result of an item, and tells those who wait for it.
    pub async fn keep_result(&self, digest: &str, result: Bytes) -> Result<()> {
        let (store, key) = (&self.parts.results, result_key(digest));
        let kept = self.queue.patiently(PATIENCE, "keeping a result", async || store.put(&key, result.clone()).await);
        kept.await.map(drop)
    }

    /// Puts an item into the queue, and waits for its result. A result that is kept is returned at once.
    pub async fn ask(&self, work: &Work) -> Result<Bytes> {
        // The bucket is a stream, and its subject tells the result to whoever listens.
        let subject = format!("$KV.{}.{}", self.parts.results.name, result_key(&work.digest));
        let subscribed = self.queue.patiently(PATIENCE, "waiting for a result", async || {
            self.queue.inner.client.subscribe(subject.clone()).await
        });
        let mut told = subscribed.await?;
        if let Some(result) = self.result(&work.digest).await? {
            return Ok(result);
        }
        self.put(work).await?;
        loop {
            let heard = tokio::time::timeout(LOOK_INTERVAL, told.next()).await;
            match heard {
                Ok(Some(message)) if !message.payload.is_empty() => return Ok(message.payload),
                Ok(Some(_)) => {}
                Ok(None) => return Err(Error::network("the connection to the queue was closed")),
                Err(_) => {
                    if let Some(result) = self.result(&work.digest).await? {
                        return Ok(result);
                    }
                }
            }
        }
    }
}

fn result_key(digest: &str) -> String {
    format!("result.{digest}")
}
