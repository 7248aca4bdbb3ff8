//! How many requests a host has been sent in a calendar month, and how many it may be sent.
//!
//! Pure: the month is handed in. Who keeps the counts from run to run is the lake.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, Retry};

/// The requests of one host in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthCount {
    /// The month in UTC, `2026-11`.
    pub month: String,
    /// How many requests were sent.
    pub requests: u64,
}

/// What is kept from run to run: the last month of each host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BudgetSnapshot {
    /// By host, with its port where that is not the scheme's.
    pub hosts: BTreeMap<String, MonthCount>,
}

/// Counts requests, and refuses the one that would pass the limit.
#[derive(Debug, Clone, Default)]
pub struct RequestBudget {
    per_month: Option<u64>,
    counts: BudgetSnapshot,
}

impl RequestBudget {
    /// A budget of this many requests per host and month, `None` for no limit. Counting goes on without one.
    pub fn new(per_month: Option<u64>) -> Self {
        RequestBudget { per_month, counts: BudgetSnapshot::default() }
    }

    /// Takes one request to `host` in `month` off the budget.
    ///
    /// Fails, of kind RateLimit, when the budget of the month is spent. Nothing is counted then.
    pub fn take(&mut self, host: &str, month: &str) -> Result<()> {
        if !self.counts.hosts.contains_key(host) {
            self.counts.hosts.insert(host.to_owned(), MonthCount { month: month.to_owned(), requests: 0 });
        }
        let Some(count) = self.counts.hosts.get_mut(host) else { return Ok(()) };
        if count.month != month {
            *count = MonthCount { month: month.to_owned(), requests: 0 };
        }
        match self.per_month {
            Some(limit) if count.requests >= limit => Err(spent(host, month, limit)),
            _ => {
                count.requests += 1;
                Ok(())
            }
        }
    }

    /// How many requests `host` may still be sent in `month`; `None` without a limit.
    pub fn left(&self, host: &str, month: &str) -> Option<u64> {
        let used = self.counts.hosts.get(host).filter(|count| count.month == month).map_or(0, |count| count.requests);
        self.per_month.map(|limit| limit.saturating_sub(used))
    }

    /// The counts, to be kept.
    pub fn snapshot(&self) -> BudgetSnapshot {
        self.counts.clone()
    }

    /// Takes kept counts: of two months the later holds, of two counts of a month the greater.
    pub fn restore(&mut self, kept: &BudgetSnapshot) {
        for (host, kept) in &kept.hosts {
            match self.counts.hosts.get_mut(host) {
                // Months of four and two digits sort as text.
                Some(own) if (&own.month, own.requests) >= (&kept.month, kept.requests) => {}
                Some(own) => *own = kept.clone(),
                None => {
                    self.counts.hosts.insert(host.clone(), kept.clone());
                }
            }
        }
    }
}

/// The calendar month of an instant in UTC, as budgets count it.
pub(super) fn month_of(timestamp: jiff::Timestamp) -> String {
    timestamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m").to_string()
}

fn spent(host: &str, month: &str, limit: u64) -> Error {
    Error::new(ErrorKind::RateLimit, format!("the budget of {limit} requests to {host} in {month} is spent"))
        .retry(Retry::Later)
        .hint("run the same command again next month, when only what is missing is asked for, or raise --monthly-budget; npm's terms call 5 million requests a month unreasonable")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_per_host_and_month() {
        let mut budget = RequestBudget::new(Some(2));
        budget.take("a", "2026-11").unwrap();
        budget.take("a", "2026-11").unwrap();
        let error = budget.take("a", "2026-11").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimit);
        assert!(error.hint_text().is_some_and(|hint| hint.contains("--monthly-budget")));
        budget.take("b", "2026-11").unwrap();
        assert_eq!((budget.left("a", "2026-11"), budget.left("a", "2026-12")), (Some(0), Some(2)));
        budget.take("a", "2026-12").unwrap();
        assert_eq!(budget.snapshot().hosts["a"], MonthCount { month: "2026-12".to_owned(), requests: 1 });
    }

    #[test]
    fn counts_survive_from_run_to_run() {
        let mut first = RequestBudget::new(Some(2));
        first.take("a", "2026-11").unwrap();
        let kept = serde_json::to_string(&first.snapshot()).unwrap();
        let mut second = RequestBudget::new(Some(2));
        second.restore(&serde_json::from_str(&kept).unwrap());
        second.take("a", "2026-11").unwrap();
        assert!(second.take("a", "2026-11").is_err());
        // What is kept is older than what was counted since.
        second.restore(&first.snapshot());
        assert_eq!(second.left("a", "2026-11"), Some(0));
    }

    #[test]
    fn without_a_limit_requests_are_still_counted() {
        let mut budget = RequestBudget::new(None);
        budget.take("a", "2026-11").unwrap();
        assert_eq!((budget.snapshot().hosts["a"].requests, budget.left("a", "2026-11")), (1, None));
    }

    #[test]
    fn months_turn_in_utc() {
        let month = |text: &str| month_of(text.parse().unwrap());
        assert_eq!(month("2026-11-30T23:59:59Z"), "2026-11");
        assert_eq!(month("2026-12-01T00:30:00+01:00"), "2026-11");
        assert_eq!(month("2026-12-01T00:00:00Z"), "2026-12");
    }
}
