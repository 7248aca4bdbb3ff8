//! The tap: answers become durable as they come, in a task of its own, whatever their order.

use tokio::sync::{mpsc, oneshot};

use super::StagingWriter;
use crate::error::{Error, Result};
use crate::fetch::Fetched;

/// Answers that wait for the task that stages them. Those who hand them over wait too, so that the memory of a document
/// that is being staged is counted.
const WAITING: usize = 1;

type Entry = (Fetched, oneshot::Sender<Fetched>);

/// Where requests hand their answers over. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StagingTap {
    sender: mpsc::Sender<Entry>,
}

/// The other end.
#[derive(Debug)]
pub struct StagingFeed {
    receiver: mpsc::Receiver<Entry>,
}

/// A tap and its other end. The feed ends when the last tap is dropped.
pub fn staging_tap() -> (StagingTap, StagingFeed) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (StagingTap { sender }, StagingFeed { receiver })
}

impl StagingTap {
    /// Stages an answer and gives it back. One that is a failure passes, and one that would take a document from the lake: it
    /// is cheap to ask for again, and better asked again than believed. So does each where the feed has ended, which
    /// [`StagingTap::closed`] tells.
    pub async fn pass(&self, fetched: Fetched) -> Result<Fetched> {
        if fetched.response.is_err() || fetched.says_held_is_gone() {
            return Ok(fetched);
        }
        let (back, passed) = oneshot::channel();
        match self.sender.send((fetched, back)).await {
            Ok(()) => passed.await.map_err(|_| Error::internal("the task that stages answers died")),
            Err(refused) => Ok(refused.0.0),
        }
    }

    /// Ends when the feed has ended, which it does before its taps only where staging failed.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

impl StagingFeed {
    /// Writes every answer that comes, until the last tap is gone, and makes all of it durable.
    ///
    /// Fails as the store does; then no further answer is staged.
    pub async fn write_to(mut self, writer: StagingWriter) -> Result<()> {
        let written = self.write_all(writer).await;
        // Who has handed an answer over gets it back, staged or not.
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
            // Where nobody waits for it any more, the run has ended.
            let _ = back.send(fetched);
            appended?;
        }
        writer.flush().await
    }

    /// The next answer; `None` when no more will come. What came before does not wait for it longer than its bound says.
    async fn next(&mut self, writer: &mut StagingWriter) -> Result<Option<Entry>> {
        if let Some(time_left) = writer.time_left() {
            // A timeout of nothing still takes what is there; what waits has waited long enough.
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
