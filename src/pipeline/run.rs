//! What a running ingest leaves on record while it runs: its status for other processes, a small file in staging that
//! is gone at the end.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::progress::{Progress, ProgressSnapshot};
use crate::error::Result;
use crate::lake::{OriginLayout, Record};
use crate::store::Store;

/// How often the file is replaced: often enough that `status` looks alive, and costs a disk nothing.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// What a process says of the ingest that it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStatus {
    /// The process's id on its machine.
    pub process_id: u32,
    /// When it began, seconds since 1970.
    pub started_at_s: i64,
    /// When this was written, seconds since 1970.
    pub updated_at_s: i64,
    /// Its counters.
    pub counts: ProgressSnapshot,
}

impl Record for RunStatus {
    const NOUN: &'static str = "the status of a run";
    const DAMAGED_HINT: &'static str = "delete it";
}

impl RunStatus {
    /// Reads the status of an origin's run; `None` where none is on record. A damaged one counts as none: it is only news.
    pub async fn read(store: &Store, layout: &OriginLayout) -> Result<Option<RunStatus>> {
        Ok(store.get(&layout.run_status()).await?.and_then(|text| Record::from_json(&layout.run_status(), &text).ok()))
    }
}

/// Writes the status until it is dropped; [`RunReporter::end`] also removes it.
pub(super) struct RunReporter {
    store: Store,
    layout: OriginLayout,
    ended: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl RunReporter {
    pub(super) fn start(store: Store, layout: OriginLayout, progress: Arc<Progress>) -> RunReporter {
        let started_at_s = jiff::Timestamp::now().as_second();
        let (task_store, task_layout) = (store.clone(), layout.clone());
        let ended = CancellationToken::new();
        let task_ended = ended.clone();
        let task = tokio::spawn(async move {
            loop {
                let status = RunStatus {
                    process_id: std::process::id(),
                    started_at_s,
                    updated_at_s: jiff::Timestamp::now().as_second(),
                    counts: progress.snapshot(),
                };
                // News only: a disk that is full will stop the run where it matters.
                let _ = task_store.put_record(&task_layout.run_status(), &status).await;
                if task_ended.run_until_cancelled(tokio::time::sleep(UPDATE_INTERVAL)).await.is_none() {
                    return;
                }
            }
        });
        RunReporter { store, layout, ended, task: AbortOnDropHandle::new(task) }
    }

    pub(super) async fn end(self) -> Result<()> {
        self.ended.cancel();
        // The task may be inside a put, which goes on where the task is only aborted; its file must not come back after the
        // delete.
        let _ = self.task.await;
        self.store.delete(&self.layout.run_status()).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lake::Layout;
    use crate::store::Failure;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_status_that_is_being_put_when_the_run_ends_does_not_come_after_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (store, layout) = (Store::open(folder.path().to_str().unwrap()).unwrap(), Layout::origin("npm"));
        store.put(&format!("{}/before", layout.staging()), "").await.unwrap();
        // The fourth step gives it its name.
        let held = store.failing_at(4, Failure::Held);
        let reporter = RunReporter::start(held.clone(), layout.clone(), Arc::default());
        while held.failed_at().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(held.failed_at().unwrap().path, layout.run_status());
        let ending = tokio::spawn(reporter.end());
        // One that does not wait for the put has ended by then.
        for _ in 0..300_000 {
            tokio::task::yield_now().await;
        }
        held.let_go();
        ending.await.unwrap().unwrap();
        while store.list("").await.unwrap().iter().any(|path| Store::is_put_begun(path)) {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.get(&layout.run_status()).await.unwrap(), None);
    }
}
