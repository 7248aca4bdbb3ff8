//! The lake's count of requests per host and month: what a budget is measured against, whichever process sent them.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::open::read_lake;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::Layout;
use crate::registry::{BudgetSnapshot, Registry, RequestLedger};
use crate::store::Store;

/// How often the count is written while others write it too. Each try fails only because another one succeeded.
const MAX_TRIES: usize = 100;

/// Does `work`, which asks `registry`, with its requests counted in the lake where `store` holds one: each before it is
/// sent, so that the count is never too low, and in the end exactly.
///
/// Work that `only_reads` the lake goes on where the lake cannot be written, and is not counted then.
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
    // Whatever else failed is the story.
    let settled = registry.settle_budget().await;
    result.and_then(|done| settled.map(|()| done))
}

/// Has requests counted in the lake of `store` from now on, and those that were sent before there was one.
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
            for _ in 0..MAX_TRIES {
                if self.try_update(change).await? {
                    return Ok(());
                }
            }
            Err(Error::lake(format!("cannot write {} of {}", Layout::REQUESTS, self.store.location()))
                .hint("other processes write it all the time; run the same command again"))
        })
    }
}

impl LakeLedger {
    /// `false` where another process changed the count in between.
    async fn try_update(&self, change: &mut (dyn FnMut(&mut BudgetSnapshot) + Send)) -> Result<bool> {
        let kept = self.store.get(Layout::REQUESTS).await?;
        let before: BudgetSnapshot = match &kept {
            Some(text) => serde_json::from_slice(text)
                .or_error(ErrorKind::Lake, || format!("{} is damaged", Layout::REQUESTS))
                .map_err(|error| error.hint("run all-docs verify --repair: it keeps what is whole of it"))?,
            None => BudgetSnapshot::default(),
        };
        let mut counts = before.clone();
        change(&mut counts);
        if counts == before {
            return Ok(true);
        }
        let mut text = serde_json::to_vec_pretty(&counts)
            .or_error(ErrorKind::Internal, || "the count of requests cannot be spelled as JSON".to_owned())?;
        text.push(b'\n');
        let written = match kept {
            Some(kept) => self.store.replace_if_unchanged(Layout::REQUESTS, &kept, text).await,
            None => self.store.put_if_absent(Layout::REQUESTS, text).await,
        };
        if self.only_reads { Ok(written.unwrap_or(true)) } else { written }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::registry::MonthCount;
    use crate::store::Failure;

    #[tokio::test]
    async fn who_only_reads_a_lake_needs_no_room_in_it() {
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
