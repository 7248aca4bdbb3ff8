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

/// The name, among the kept results, of the mark by which a queue knows the lake. No digest is like it.
pub(in crate::pipeline) const LAKE_MARK: &str = "lake";

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

    /// Returns the result of the item with this digest, if it is still kept. A damaged record counts as none.
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
        let mut listed = self.store.list_sized(&self.layout.items()).await?;
        listed.retain(|listed| listed.path != self.layout.item(LAKE_MARK));
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::lake::Layout;
    use crate::pipeline::run::RunReporter;

    const HOUR: Duration = Duration::from_secs(3600);

    fn kept(ended_at_s: i64, run: Option<&str>) -> KeptResult {
        let result = ItemResult {
            work_item_id: "v1:packument:npm:78".to_owned(),
            success: true,
            data: json!({"rev": "1-x"}),
            error: None,
            duration: 7,
            metrics: json!(null),
        };
        KeptResult { ended_at_s, run: run.map(str::to_owned), result }
    }

    #[tokio::test]
    async fn a_result_is_kept_for_its_time_and_that_of_a_run_until_the_run_ends() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let results = KeptResults::new(store.clone(), layout.clone(), HOUR);
        let run = RunReporter::start(store.clone(), &layout, "ingest", Arc::default(), None).await.unwrap();
        let (now, old) = (now_s(), now_s() - 3601);
        for (digest, record, is_kept) in [
            ("new", kept(now, None), true),
            ("old", kept(old, None), false),
            ("of-run", kept(old, Some(run.run())), true),
            ("of-another-run", kept(old, Some("0123456789abcdef")), false),
            // A producer's own name for a run is no name of one here, and no path.
            ("new-of-theirs", kept(now, Some("nightly")), true),
            ("old-of-theirs", kept(old, Some("../../all-docs")), false),
        ] {
            store.put_record(&layout.item(digest), &record).await.unwrap();
            assert_eq!(results.find(digest).await.unwrap().is_some(), is_kept, "{digest}");
        }
        store.put(&layout.item("damaged"), "{").await.unwrap();
        assert_eq!(results.find("damaged").await.unwrap(), None);
        results.sweep().await.unwrap();
        let left = |paths: Vec<String>| -> Vec<String> {
            paths.iter().filter_map(|path| Some(path.strip_prefix("npm/items/")?.to_owned())).collect()
        };
        let items = store.list(&layout.items()).await.unwrap();
        assert_eq!(left(items), ["new-of-theirs.json", "new.json", "of-run.json"]);
        run.end().await.unwrap();
        results.sweep().await.unwrap();
        assert_eq!(left(store.list(&layout.items()).await.unwrap()), ["new-of-theirs.json", "new.json"]);
    }

    #[tokio::test]
    async fn a_kept_result_is_replaced_by_that_of_new_work() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let results = KeptResults::new(store.clone(), layout.clone(), HOUR);
        store.put_record(&layout.item("x"), &kept(0, None)).await.unwrap();
        assert_eq!(results.find("x").await.unwrap(), None);
        let new = kept(0, None).result;
        results.keep("x", None, new.clone()).await.unwrap();
        assert_eq!(results.find("x").await.unwrap(), Some(new));
    }
}
