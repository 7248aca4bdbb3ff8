//! Dead letters: items that are not tried any more, each with its last error.

use serde::{Deserialize, Serialize};

use super::WorkQueue;
use crate::error::{Context, ErrorKind, Result};

/// An item that is not tried any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The item as it was put, as text.
    pub item: String,
    /// How often it was tried.
    pub attempts: u64,
    /// Why the last attempt failed.
    pub error: String,
    /// When, in UTC.
    pub at: String,
}

/// The dead letters of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetters {
    /// How many are kept.
    pub count: u64,
    /// The newest, the newest first.
    pub newest: Vec<DeadLetter>,
}

impl WorkQueue {
    /// Adds a dead letter. `kind` is the last word of its subject. One of the same digest and attempts is added once.
    pub async fn bury(&self, kind: &str, digest: &str, letter: &DeadLetter) -> Result<()> {
        let text =
            serde_json::to_vec(letter).or_error(ErrorKind::Internal, || "cannot write a dead letter".to_owned())?;
        let id = format!("{digest}.{}", letter.attempts);
        let buried = self.publish("adding a dead letter", self.parts.names.dead(kind), &id, text.into());
        buried.await.map(drop)
    }

    /// Returns the dead letters: how many there are, and the newest up to `most`.
    pub async fn dead_letters(&self, most: usize) -> Result<DeadLetters> {
        let jetstream = &self.queue.inner.jetstream;
        let name = &self.parts.names.dead_stream;
        let stream = patiently!(self.queue, "reading the dead letters", jetstream.get_stream(name).await)?;
        let state = &stream.cached_info().state;
        let mut letters = DeadLetters { count: state.messages, newest: Vec::new() };
        for sequence in (state.first_sequence.max(1)..=state.last_sequence).rev().take(most) {
            // A letter that was removed meanwhile is skipped.
            let Ok(message) = stream.get_raw_message(sequence).await else { continue };
            letters.newest.extend(serde_json::from_slice::<DeadLetter>(&message.payload));
        }
        Ok(letters)
    }
}
