//! The outputs of events: lines of JSON, and a webhook. Each has a task of its own, so a slow one holds up nothing.
//!
//! An output receives the events of the commits in the order of their times, each at least once: it may receive some
//! again after a failure, and drops repeats by their id.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::undelivered::{read, waiting};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::event::FeedFile;
use crate::lake::OriginLayout;
use crate::registry::Webhook;
use crate::store::{Store, blocking};
use crate::table::events::Event;

/// The commits whose events are read at once.
const COMMITS_AT_ONCE: usize = 8;
/// The events of one request to a webhook.
const EVENTS_A_REQUEST: usize = 100;
/// The pause after a request that was not accepted, and the longest one. It doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// An output looks for news this often, also if nobody tells it of any.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A writer of lines: an open file, or standard output.
pub type Lines = Box<dyn Write + Send>;

/// A place to which events are delivered.
pub enum EventOutput {
    /// A line of JSON for each event. Called by `name` in errors.
    Lines {
        /// Its name.
        name: String,
        /// The writer.
        lines: Lines,
    },
    /// Requests with up to a hundred events each: `{"events": […]}`.
    Webhook(Box<Webhook>),
}

/// The outputs of a run.
pub type EventOutputs = Vec<EventOutput>;

/// The settings of events: where a run delivers them, and how long it keeps them.
#[derive(Clone, Default)]
pub struct EventSettings {
    /// The outputs. The run takes them.
    pub outputs: Arc<Mutex<EventOutputs>>,
    /// For how many days events are kept; `None` for ever.
    pub keep_days: Option<u32>,
}

impl std::fmt::Debug for EventSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSettings").field("keep_days", &self.keep_days).finish_non_exhaustive()
    }
}

impl EventSettings {
    /// Takes the outputs.
    pub(in crate::pipeline) fn take_outputs(&self) -> EventOutputs {
        std::mem::take(&mut *self.outputs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The state of an output, shared with its task.
#[derive(Default)]
pub(super) struct Delivery {
    /// The files that were delivered, as long as others may wait for them.
    delivered: Mutex<BTreeSet<String>>,
    failure: Mutex<Option<Error>>,
    has_ended: AtomicBool,
    /// Sent to when there may be new files, and when one was delivered.
    news: Notify,
    done: Notify,
}

impl Delivery {
    /// Tells the task that there may be new files.
    pub(super) fn wake(&self) {
        self.news.notify_one();
    }

    /// Waits until a file was delivered, or the output has failed.
    pub(super) async fn progress(&self) {
        self.done.notified().await;
    }

    /// Returns whether a file was delivered.
    pub(super) fn has(&self, file: &FeedFile) -> bool {
        self.delivered().contains(&file.path)
    }

    fn delivered(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the output has failed and gets nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Returns why the output ended, once.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Delivers the feed to an output until the task is dropped, or the output fails.
pub(super) async fn deliver(store: Store, layout: OriginLayout, output: EventOutput, delivery: Arc<Delivery>) {
    let mut output = Some(output);
    loop {
        match deliver_all(&store, &layout, &mut output, &delivery).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Lake => {
                tracing::warn!(%error, "events could not be read for an output; they are tried again");
            }
            Err(error) => {
                *delivery.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                delivery.has_ended.store(true, Ordering::Release);
                delivery.done.notify_one();
                return;
            }
        }
        let _ = tokio::time::timeout(LOOK_INTERVAL, delivery.news.notified()).await;
    }
}

/// Delivers what was not delivered yet.
async fn deliver_all(
    store: &Store,
    layout: &OriginLayout,
    output: &mut Option<EventOutput>,
    delivery: &Delivery,
) -> Result<()> {
    let waiting = waiting(store, layout).await?;
    {
        let there: BTreeSet<&str> = waiting.iter().map(|file| file.path.as_str()).collect();
        delivery.delivered().retain(|path| there.contains(path.as_str()));
    }
    let due: Vec<FeedFile> = waiting.into_iter().filter(|file| !delivery.has(file)).collect();
    let days = due.chunk_by(|one, other| one.day() == other.day());
    for files in days.flat_map(|of_day| of_day.chunks(COMMITS_AT_ONCE)) {
        // One commit has a bounded number of changes.
        send(read(store, layout, files).await?, output).await?;
        delivery.delivered().extend(files.iter().map(|file| file.path.clone()));
        delivery.done.notify_one();
    }
    Ok(())
}

/// Sends events to an output.
async fn send(events: Vec<Event>, output: &mut Option<EventOutput>) -> Result<()> {
    match output.take() {
        Some(EventOutput::Lines { name, lines }) => {
            // A reader that stands still must not hold up other tasks.
            let written = blocking("a writer of events", move || write_lines(name, lines, &events)).await?;
            *output = Some(written);
        }
        Some(EventOutput::Webhook(webhook)) => {
            for events in events.chunks(EVENTS_A_REQUEST) {
                post(&webhook, events).await?;
            }
            *output = Some(EventOutput::Webhook(webhook));
        }
        None => return Err(Error::internal("an output of events is gone")),
    }
    Ok(())
}

/// Writes each event on a line, and flushes. Returns the output.
fn write_lines(name: String, mut lines: Lines, events: &[Event]) -> Result<EventOutput> {
    let cannot = || format!("cannot write events to {name}");
    for event in events {
        let mut line = serde_json::to_vec(event).or_error(ErrorKind::Internal, cannot)?;
        line.push(b'\n');
        lines.write_all(&line).or_error(ErrorKind::Input, cannot)?;
    }
    lines.flush().or_error(ErrorKind::Input, cannot)?;
    Ok(EventOutput::Lines { name, lines })
}

/// Posts events until they are accepted.
async fn post(webhook: &Webhook, events: &[Event]) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        events: &'a [Event],
    }
    let body = serde_json::to_vec(&Body { events });
    let body = Bytes::from(body.or_error(ErrorKind::Internal, || "cannot write events as JSON".to_owned())?);
    let mut pause = FIRST_PAUSE;
    loop {
        match webhook.post(body.clone(), jiff::Timestamp::now().as_second()).await {
            Ok(()) => return Ok(()),
            Err(reason) => {
                tracing::warn!(
                    reason,
                    pause_s = pause.as_secs(),
                    "a webhook did not accept events; they are sent again"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
