//! Kept results: small records in the lake, so that an item that arrives twice is done once, whichever workers get it.

use std::time::Duration;

use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

use crate::error::Result;
use crate::lake::{ItemResult, KeptResult, OriginLayout, Record};
use crate::pipeline::run::RunStatus;
use crate::store::Store;

/// The least time between two sweeps: each reads every kept result.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(15 * 60);

/// The kept results of an origin.
pub(super) struct KeptResults {
    store: Store,
    layout: OriginLayout,
    keep: Duration,
    swept_at: Mutex<Option<Instant>>,
}

impl KeptResults {
    pub(super) fn new(store: Store, layout: OriginLayout, keep: Duration) -> KeptResults {
        KeptResults { store, layout, keep, swept_at: Mutex::default() }
    }

    /// Returns the result of the item with this digest, if it is still kept. One that cannot be read is none.
    pub(super) async fn find(&self, digest: &str) -> Result<Option<ItemResult>> {
        let path = self.layout.item(digest);
        let Some(text) = self.store.get(&path).await? else { return Ok(None) };
        let Ok(kept) = KeptResult::from_json(&path, &text) else { return Ok(None) };
        Ok(if self.is_valid(&kept).await? { Some(kept.result) } else { None })
    }

    /// Keeps the result of the item with this digest. The caller holds the item's lease.
    pub(super) async fn keep(&self, digest: &str, run: Option<&str>, result: ItemResult) -> Result<()> {
        let kept = KeptResult { ended_at_s: now_s(), run: run.map(str::to_owned), result };
        self.store.put_record(&self.layout.item(digest), &kept).await?;
        if self.is_sweep_due() { self.sweep().await } else { Ok(()) }
    }

    /// Removes the results that are no longer kept.
    pub(super) async fn sweep(&self) -> Result<()> {
        *self.swept_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let listed = self.store.list_sized(&self.layout.items()).await?;
        for (path, text) in self.store.get_all_listed(listed).await? {
            let is_kept = match KeptResult::from_json(&path, &text) {
                Ok(kept) => self.is_valid(&kept).await?,
                Err(_) => false,
            };
            if !is_kept && !Store::is_put_begun(&path) {
                // A newer one of the same item may have taken its place meanwhile.
                self.store.delete_if_unchanged(&path, &text).await?;
            }
        }
        Ok(())
    }

    fn is_sweep_due(&self) -> bool {
        let swept_at = *self.swept_at.lock().unwrap_or_else(PoisonError::into_inner);
        swept_at.is_none_or(|at| at.elapsed() >= BETWEEN_SWEEPS.max(self.keep / 4))
    }

    async fn is_valid(&self, kept: &KeptResult) -> Result<bool> {
        let age_s = u64::try_from(now_s().saturating_sub(kept.ended_at_s)).unwrap_or(0);
        match &kept.run {
            _ if age_s < self.keep.as_secs() => Ok(true),
            Some(run) => self.is_alive(run).await,
            None => Ok(false),
        }
    }

    /// Returns whether a run of this name works on the lake now. A name that no run of this tool has names none.
    pub(super) async fn is_alive(&self, run: &str) -> Result<bool> {
        if !RunStatus::is_name(run) {
            return Ok(false);
        }
        let status = self.store.read_record::<RunStatus>(&self.layout.run_status(run)).await?;
        Ok(status.is_some_and(|status| status.is_alive()))
    }
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}
