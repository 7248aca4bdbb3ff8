//! The month of a fleet: the count of its requests in the queue, by which budgets are measured. Each lake also counts the
//! requests that were sent for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;

use crate::error::Result;
use crate::queue::Records;
use crate::registry::{BudgetSnapshot, MonthCount, RequestLedger};

/// The key of the counts.
const KEY: &str = "requests";

pub(super) struct FleetLedger {
    records: Records,
    lake: Arc<dyn RequestLedger>,
    /// Whether the queue's counts are no lower than the lake's: a lake may have counted before it had a queue.
    has_begun: AtomicBool,
}

impl FleetLedger {
    pub(super) fn new(records: Records, lake: Arc<dyn RequestLedger>) -> FleetLedger {
        FleetLedger { records, lake, has_begun: AtomicBool::new(false) }
    }

    async fn counted_in_lake(&self) -> Result<BudgetSnapshot> {
        let mut counted = BudgetSnapshot::default();
        if !self.has_begun.load(Ordering::Relaxed) {
            self.lake.update(&mut |counts| counted = counts.clone()).await?;
        }
        Ok(counted)
    }
}

impl RequestLedger for FleetLedger {
    fn update<'a>(&'a self, change: &'a mut (dyn FnMut(&mut BudgetSnapshot) + Send)) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let in_lake = self.counted_in_lake().await?;
            let (mut before, mut after) = (BudgetSnapshot::default(), BudgetSnapshot::default());
            let update = |counts: &mut BudgetSnapshot| {
                raise(counts, &in_lake);
                before = counts.clone();
                change(counts);
                after = counts.clone();
            };
            self.records.update(KEY, update).await?;
            self.has_begun.store(true, Ordering::Relaxed);
            self.lake.update(&mut |counts| add_difference(counts, &before, &after)).await
        })
    }
}

/// Raises counts that are lower than `least`, or of an earlier month.
fn raise(counts: &mut BudgetSnapshot, least: &BudgetSnapshot) {
    for (host, least) in &least.hosts {
        let count = counts.hosts.entry(host.clone()).or_insert_with(|| least.clone());
        if (&count.month, count.requests) < (&least.month, least.requests) {
            *count = least.clone();
        }
    }
}

/// Makes the change from `before` to `after` to the counts of a lake.
fn add_difference(counts: &mut BudgetSnapshot, before: &BudgetSnapshot, after: &BudgetSnapshot) {
    for (host, after) in &after.hosts {
        let before = before.hosts.get(host).filter(|before| before.month == after.month);
        let before = before.map_or(0, |before| before.requests);
        if before == after.requests {
            continue;
        }
        let none = || MonthCount { month: after.month.clone(), requests: 0 };
        let count = counts.hosts.entry(host.clone()).or_insert_with(none);
        if count.month < after.month {
            *count = none();
        }
        if count.month == after.month {
            count.requests = (count.requests + after.requests).saturating_sub(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(month: &str, requests: u64) -> BudgetSnapshot {
        let count = MonthCount { month: month.to_owned(), requests };
        BudgetSnapshot { hosts: [("a.example".to_owned(), count)].into() }
    }

    #[test]
    fn a_lake_counts_what_was_sent_for_it() {
        let mut lake = counts("2026-11", 7);
        add_difference(&mut lake, &counts("2026-11", 100), &counts("2026-11", 116));
        assert_eq!(lake, counts("2026-11", 23));
        add_difference(&mut lake, &counts("2026-11", 116), &counts("2026-11", 111));
        assert_eq!(lake, counts("2026-11", 18));
        add_difference(&mut lake, &counts("2026-11", 111), &counts("2026-12", 16));
        assert_eq!(lake, counts("2026-12", 16));
        // A process whose clock is behind.
        add_difference(&mut lake, &counts("2026-11", 1), &counts("2026-11", 5));
        assert_eq!(lake, counts("2026-12", 16));
    }

    #[test]
    fn a_fleet_begins_with_the_count_of_the_lake() {
        for (own, lake, expected) in [(3, 9, 9), (9, 3, 9)] {
            let mut own = counts("2026-11", own);
            raise(&mut own, &counts("2026-11", lake));
            assert_eq!(own, counts("2026-11", expected));
        }
        let mut own = counts("2026-12", 3);
        raise(&mut own, &counts("2026-11", 9));
        assert_eq!(own, counts("2026-12", 3));
    }
}
