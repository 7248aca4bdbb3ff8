//! Counts the requests sent to a host in a calendar month, and limits them.
//!
//! Requests are taken from a block. The ledger counts a block before its first request leaves, and gets the unused rest
//! back at the end. So a ledger that outlives the process never counts less than was sent, whenever the process dies,
//! and several processes can share it. Not here: where the ledger is stored (the lake).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::Record;

/// The size of a run's first block: few runs send fewer requests.
const FIRST_BLOCK: u64 = 16;
/// The size of the largest block, and so about the most requests that a killed process wastes.
const LARGEST_BLOCK: u64 = 4_096;
/// The duration that a block should last: at this rate, ledger writes cost nothing beside the requests.
const BLOCK_LASTS: Duration = Duration::from_secs(1);
/// A block takes at most this part of the rest of a budget, so a killed process wastes little of a small one.
const BLOCKS_LEFT: u64 = 16;

/// The requests of one host in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthCount {
    /// The month in UTC, `2026-11`.
    pub month: String,
    /// Requests sent, or reserved in blocks of running processes.
    pub requests: u64,
}

/// The counts kept from run to run: the last month of each host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BudgetSnapshot {
    /// Keyed by host, with its port where that is not the scheme's.
    pub hosts: BTreeMap<String, MonthCount>,
}

impl Record for BudgetSnapshot {
    const NOUN: &'static str = "the count of requests";
    const DAMAGED_HINT: &'static str = "run all-docs verify --repair: it keeps the undamaged part";
}

impl BudgetSnapshot {
    /// Counts `wish` more requests to `host`, or as many as `limit` requests a month still allow. Returns that number
    /// and its month.
    fn reserve(&mut self, host: &str, month: &str, wish: u64, limit: Option<u64>) -> MonthCount {
        let count = self.at(host, month);
        let requests = limit.map_or(wish, |limit| {
            let left = limit.saturating_sub(count.requests);
            left.min(wish.min(left / BLOCKS_LEFT).max(1))
        });
        count.requests = count.requests.saturating_add(requests);
        MonthCount { month: count.month.clone(), requests }
    }

    /// Takes back requests that were counted and not sent. Ignores a month that is over.
    fn give_back(&mut self, host: &str, unsent: &MonthCount) {
        if let Some(count) = self.hosts.get_mut(host).filter(|count| count.month == unsent.month) {
            count.requests = count.requests.saturating_sub(unsent.requests);
        }
    }

    /// Returns the count of `host` in `month`, or in a later month that another process has begun: clocks differ.
    fn at(&mut self, host: &str, month: &str) -> &mut MonthCount {
        let fresh = || MonthCount { month: month.to_owned(), requests: 0 };
        let count = self.hosts.entry(host.to_owned()).or_insert_with(fresh);
        // Months of four and two digits sort as text.
        if count.month.as_str() < month {
            *count = fresh();
        }
        count
    }
}

/// A store for request counts.
pub trait RequestLedger: Send + Sync {
    /// Changes the counts, with no other change in between; durable when it returns. `change` may be called several
    /// times; the last call holds.
    fn update<'a>(&'a self, change: &'a mut (dyn FnMut(&mut BudgetSnapshot) + Send)) -> BoxFuture<'a, Result<()>>;
}

/// A ledger in memory, for a run without a lake.
#[derive(Debug, Default)]
pub(super) struct MemoryLedger {
    pub(super) counts: Mutex<BudgetSnapshot>,
}

impl RequestLedger for MemoryLedger {
    fn update<'a>(&'a self, change: &'a mut (dyn FnMut(&mut BudgetSnapshot) + Send)) -> BoxFuture<'a, Result<()>> {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Counts requests, and refuses the one that would exceed the limit.
pub(super) struct RequestBudget {
    shared: Arc<Shared>,
}

struct Shared {
    per_month: Option<u64>,
    blocks: Mutex<Blocks>,
    /// Has one permit; its holder changes the ledger.
    turn: Arc<Semaphore>,
}

struct Blocks {
    ledger: Arc<dyn RequestLedger>,
    /// The ledger used before another one was given.
    own: Arc<MemoryLedger>,
    by_host: BTreeMap<String, Block>,
}

/// Requests that the ledger has counted already.
struct Block {
    month: String,
    /// Not sent yet.
    left: u64,
    reserved: u64,
    /// The size requested for the block; the budget may have granted less.
    wish: u64,
    since: Instant,
}

/// The result of taking a request from a block.
enum Taken {
    Yes,
    /// It was one of the last.
    NearlyEmpty,
    No,
}

impl RequestBudget {
    /// Creates a budget of this many requests per host and month, `None` for no limit. Requests are counted in either
    /// case.
    pub(super) fn new(per_month: Option<u64>) -> Self {
        let own = Arc::new(MemoryLedger::default());
        let ledger = Arc::clone(&own) as Arc<dyn RequestLedger>;
        let blocks = Mutex::new(Blocks { ledger, own, by_host: BTreeMap::new() });
        RequestBudget { shared: Arc::new(Shared { per_month, blocks, turn: Arc::new(Semaphore::new(1)) }) }
    }

    /// Counts in `ledger` from now on, and adds the requests sent before.
    pub(super) async fn count_in(&self, ledger: Arc<dyn RequestLedger>) -> Result<()> {
        let turn = turn(&self.shared).await?;
        self.settle_in(&turn).await?;
        let own = Arc::clone(&self.shared.blocks().own);
        let sent = own.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut add = |counts: &mut BudgetSnapshot| {
            for (host, sent) in &sent.hosts {
                counts.reserve(host, &sent.month, sent.requests, None);
            }
        };
        ledger.update(&mut add).await?;
        own.counts.lock().unwrap_or_else(PoisonError::into_inner).hosts.clear();
        self.shared.blocks().ledger = ledger;
        Ok(())
    }

    /// Takes one request to `host` in `month` from the budget.
    ///
    /// Fails, of kind RateLimit, when the month's budget is spent, and as the ledger does. Counts nothing then.
    pub(super) async fn take(&self, host: &str, month: &str) -> Result<()> {
        loop {
            match self.shared.blocks().take(host, month) {
                Taken::Yes => return Ok(()),
                Taken::NearlyEmpty => {
                    // Reserve ahead, so that nobody has to wait. The next caller that needs the block gets the error.
                    if let Ok(turn) = Arc::clone(&self.shared.turn).try_acquire_owned() {
                        drop(self.reserve(turn, host, month));
                    }
                    return Ok(());
                }
                Taken::No => {}
            }
            let turn = turn(&self.shared).await?;
            if self.shared.blocks().has(host, month) {
                continue;
            }
            let reserved = self.reserve(turn, host, month).await;
            if reserved.or_error(ErrorKind::Internal, || "counting requests died".to_owned())?? == 0 {
                let limit = self.shared.per_month.unwrap_or_default();
                return Err(spent(host, month, limit));
            }
        }
    }

    /// Returns counted but unsent requests to the ledger at the end of a run. A later request is counted again.
    pub(super) async fn settle(&self) -> Result<()> {
        self.settle_in(&turn(&self.shared).await?).await
    }

    async fn settle_in(&self, _turn: &OwnedSemaphorePermit) -> Result<()> {
        let (ledger, blocks) = {
            let mut blocks = self.shared.blocks();
            (Arc::clone(&blocks.ledger), std::mem::take(&mut blocks.by_host))
        };
        let unsent: Vec<(String, MonthCount)> = blocks
            .into_iter()
            .filter(|(_, block)| block.left > 0)
            .map(|(host, block)| (host, MonthCount { month: block.month, requests: block.left }))
            .collect();
        if unsent.is_empty() {
            return Ok(());
        }
        ledger.update(&mut |counts| unsent.iter().for_each(|(host, unsent)| counts.give_back(host, unsent))).await
    }

    /// Reserves the next block in the ledger, in a task of its own: a counted block must not be lost when its waiter
    /// goes away. Returns the number of requests in it.
    fn reserve(&self, turn: OwnedSemaphorePermit, host: &str, month: &str) -> tokio::task::JoinHandle<Result<u64>> {
        let (shared, host, month) = (Arc::clone(&self.shared), host.to_owned(), month.to_owned());
        tokio::spawn(async move {
            let (ledger, wish) = {
                let blocks = shared.blocks();
                (Arc::clone(&blocks.ledger), blocks.by_host.get(&host).map_or(FIRST_BLOCK, Block::next_wish))
            };
            let mut counted = MonthCount { month: String::new(), requests: 0 };
            ledger.update(&mut |counts| counted = counts.reserve(&host, &month, wish, shared.per_month)).await?;
            let requests = counted.requests;
            shared.blocks().add(host, counted, wish);
            drop(turn);
            Ok(requests)
        })
    }
}

impl Shared {
    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    fn take(&mut self, host: &str, month: &str) -> Taken {
        match self.by_host.get_mut(host) {
            Some(block) if block.serves(month) => {
                block.left -= 1;
                if block.left < block.reserved / 4 { Taken::NearlyEmpty } else { Taken::Yes }
            }
            _ => Taken::No,
        }
    }

    fn has(&self, host: &str, month: &str) -> bool {
        self.by_host.get(host).is_some_and(|block| block.serves(month))
    }

    fn add(&mut self, host: String, counted: MonthCount, wish: u64) {
        let MonthCount { month, requests } = counted;
        let rest = self.by_host.get(&host).filter(|block| block.month == month).map_or(0, |block| block.left);
        let block = Block { month, left: rest + requests, reserved: requests, wish, since: Instant::now() };
        self.by_host.insert(host, block);
    }
}

impl Block {
    /// Returns whether the block has a request for `month`. The ledger may be in the next month already.
    fn serves(&self, month: &str) -> bool {
        self.left > 0 && self.month.as_str() >= month
    }

    fn next_wish(&self) -> u64 {
        let lasted = self.since.elapsed();
        if lasted < BLOCK_LASTS {
            (self.wish * 2).min(LARGEST_BLOCK)
        } else if lasted > BLOCK_LASTS * 4 {
            (self.wish / 2).max(FIRST_BLOCK)
        } else {
            self.wish
        }
    }
}

async fn turn(shared: &Shared) -> Result<OwnedSemaphorePermit> {
    Arc::clone(&shared.turn).acquire_owned().await.map_err(|_| Error::internal("the count of requests was closed"))
}

/// Returns the calendar month of an instant in UTC, as budgets count it.
pub fn month_of(timestamp: jiff::Timestamp) -> String {
    timestamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m").to_string()
}

fn spent(host: &str, month: &str, limit: u64) -> Error {
    Error::new(ErrorKind::RateLimit, format!("the budget of {limit} requests to {host} in {month} is spent"))
        .hint("run the same command again next month, when it requests only the missing documents, or raise --monthly-budget; npm's terms call 5 million requests a month unreasonable")
}

#[cfg(test)]
mod tests;
