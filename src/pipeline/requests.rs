//! The lake's count of requests per host and month. A budget is measured against it, whichever process sent the
//! requests.

use std::future::ready;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::open::read_lake;
use crate::error::Result;
use crate::lake::Layout;
use crate::registry::{BudgetSnapshot, Registry, RequestLedger};
use crate::store::Store;

/// Runs `work`, which sends requests to `registry`, and counts them in the lake if `store` holds one. Each request is
/// counted before it is sent, so the count is never too low, and in the end it is exact.
///
/// Work that `only_reads` the lake continues, without being counted, if the lake cannot be written.
pub(super) async fn counted<T>(
    store: &Store,
    registry: &Registry,
    only_reads: bool,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    if read_lake(store).await?.is_some() {
        registry.count_in(Arc::new(LakeLedger { store: store.clone(), only_reads })).await?;
    }
    let result = work.await;
    // The first error is the one to report.
    let settled = registry.settle_budget().await;
    result.and_then(|done| settled.map(|()| done))
}

/// Starts to count requests in the lake of `store`, and adds those that were sent before there was a lake.
pub(super) async fn count_in_lake(store: &Store, registry: &Registry) -> Result<()> {
    registry.count_in(Arc::new(LakeLedger { store: store.clone(), only_reads: false })).await
}

/// The count in the lake.
struct LakeLedger {
    store: Store,
    only_reads: bool,
}

impl RequestLedger for LakeLedger {
    fn update<'a>(&'a self, change: &'a mut (dyn FnMut(&mut BudgetSnapshot) + Send)) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let none_yet = || ready(Ok(BudgetSnapshot::default()));
            match self.store.update_record(Layout::REQUESTS, none_yet, change).await {
                Err(_) if self.only_reads => self.store.read_record::<BudgetSnapshot>(Layout::REQUESTS).await.map(drop),
                updated => updated.map(drop),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::registry::MonthCount;
    use crate::store::Failure;

    #[tokio::test]
    async fn a_reader_of_a_lake_needs_no_space_in_it() {
        for only_reads in [true, false] {
            let store = Store::memory().failing_at(1, Failure::FullDisk);
            let mut count = |counts: &mut BudgetSnapshot| {
                counts.hosts.insert("host".to_owned(), MonthCount { month: "2026-11".to_owned(), requests: 3 });
            };
            let updated = LakeLedger { store, only_reads }.update(&mut count).await;
            assert_eq!(updated.is_ok(), only_reads);
        }
    }
}
