//! The tap: makes responses durable in the order of arrival, in a separate task.

use tokio::sync::{mpsc, oneshot};

use super::StagingWriter;
use crate::error::{Error, Result};
use crate::fetch::Fetched;

/// The number of responses that wait for the staging task. Senders wait too, so that the memory of a document is
/// counted while it is staged.
const WAITING: usize = 1;

type Entry = (Fetched, oneshot::Sender<Fetched>);

/// The sending end for requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StagingTap {
    sender: mpsc::Sender<Entry>,
}

/// The receiving end.
#[derive(Debug)]
pub struct StagingFeed {
    receiver: mpsc::Receiver<Entry>,
}

/// Creates a tap and its feed. The feed ends when the last tap is dropped.
pub fn staging_tap() -> (StagingTap, StagingFeed) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (StagingTap { sender }, StagingFeed { receiver })
}

impl StagingTap {
    /// Stages a response and returns it. Passes on without staging: a failure, and a response without a document, since
    /// it depends on time and credentials, and a new request is cheap. Once the feed has ended, which
    /// [`StagingTap::closed`] reports, passes on everything without staging.
    pub async fn pass(&self, mut fetched: Fetched) -> Result<Fetched> {
        if !fetched.is_lasting() {
            fetched.drop_gzip();
            return Ok(fetched);
        }
        let (back, passed) = oneshot::channel();
        match self.sender.send((fetched, back)).await {
            Ok(()) => passed.await.map_err(|_| Error::internal("the task that stages responses died")),
            Err(refused) => Ok(refused.0.0),
        }
    }

    /// Waits until the feed has ended. If a tap is still open then, staging failed.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl StagingFeed {
    /// Writes every response until the last tap is gone, and makes all of it durable.
    ///
    /// Fails as the store does; then no further response is staged.
    pub async fn write_to(mut self, writer: StagingWriter) -> Result<()> {
        let written = self.write_all(writer).await;
        // The sender of a response gets it back, staged or not.
        self.receiver.close();
        while let Some((fetched, back)) = self.receiver.recv().await {
            let _ = back.send(fetched);
        }
        written
    }

    async fn write_all(&mut self, mut writer: StagingWriter) -> Result<()> {
        while let Some((mut fetched, back)) = self.next(&mut writer).await? {
            let appended = match &fetched.response {
                Ok(response) => writer.append(&fetched.item, response, fetched.fetched_at_us).await,
                Err(_) => Ok(()),
            };
            fetched.drop_gzip();
            // If the receiver is gone, the run has ended.
            let _ = back.send(fetched);
            appended?;
        }
        writer.flush().await
    }

    /// Returns the next response; `None` when there are no more. Earlier responses do not wait for it longer than the
    /// bound allows.
    async fn next(&mut self, writer: &mut StagingWriter) -> Result<Option<Entry>> {
        if let Some(time_left) = writer.time_left() {
            // A timeout of zero still takes a response that has arrived; the others have waited long enough.
            if !time_left.is_zero()
                && let Ok(entry) = tokio::time::timeout(time_left, self.receiver.recv()).await
            {
                return Ok(entry);
            }
            writer.flush().await?;
        }
        Ok(self.receiver.recv().await)
    }
}
