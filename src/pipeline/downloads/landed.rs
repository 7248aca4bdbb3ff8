//! The days whose counts have landed: those on which the whole registry has downloads.
//!
//! npm computes the counts of a day some time after its end, and has had days without counts of any package. A response
//! may have zeros for such a day, or leave it out (npm-facts F.3). Neither is a count.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::array::FIRST_DAY;
use crate::error::{Error, Result};
use crate::npm::{Days, DownloadsQuery, MAX_SINGLE_DAYS, NamedCounts, day_after};
use crate::registry::{DownloadsAnswer, Registry};

/// The days of which it is known whether they have counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Landed {
    /// Days without counts.
    missing: BTreeSet<Date>,
    /// The first day that was asked for.
    first: Date,
    /// The last day with counts.
    last: Date,
}

impl Landed {
    /// Asks for the last days before `today`, in one request.
    ///
    /// Fails as requests do, and with [`crate::error::ErrorKind::Network`] if none of them has counts.
    pub(super) async fn ask(registry: &Registry, today: Date) -> Result<Landed> {
        let yesterday = day_after(today, -1);
        let days = Days::new(day_after(yesterday, 1 - MAX_SINGLE_DAYS as i64), yesterday);
        let days = days.ok_or_else(|| Error::internal("the calendar has ended"))?;
        let missing = missing_days(registry, days).await?;
        let landed = days.iter().filter(|day| !missing.contains(day)).max();
        let last = landed.ok_or_else(|| {
            let url = &registry.origin().downloads_url;
            Error::network(format!("{url} has no downloads of any package since {}", days.first()))
                .hint("check that the server has npm's API of download counts; --downloads names another one")
        })?;
        Ok(Landed { missing, first: days.first(), last })
    }

    /// Asks for earlier days too, from `first` on.
    pub(super) async fn extend(&mut self, registry: &Registry, first: Date) -> Result<()> {
        let days = Days::new(first.max(FIRST_DAY), day_after(self.first, -1));
        for days in days.iter().flat_map(|days| days.spans(MAX_SINGLE_DAYS)) {
            self.missing.append(&mut missing_days(registry, days).await?);
            self.first = days.first();
        }
        Ok(())
    }

    /// Returns the last day that has counts.
    pub(super) fn last(&self) -> Date {
        self.last
    }

    /// Returns the days without counts between the first day with counts, from `first` on, and the last.
    pub(super) fn missing_since(&self, first: Date) -> Vec<Date> {
        let days = Days::new(first, self.last);
        let days = days.iter().flat_map(|days| days.iter()).skip_while(|day| self.missing.contains(day));
        days.filter(|day| self.missing.contains(day)).collect()
    }

    /// Returns the days without counts up to the last one with counts.
    pub(super) fn missing(&self) -> impl Iterator<Item = Date> {
        self.missing.iter().copied().filter(|day| *day <= self.last)
    }
}

/// Returns the days of a response about the whole registry on which it has no downloads. Nothing is known of days that
/// the response is not about.
async fn missing_days(registry: &Registry, days: Days) -> Result<BTreeSet<Date>> {
    let answer = registry.downloads(&DownloadsQuery { names: Vec::new(), days }).await.map_err(|failure| {
        let no_api = matches!(failure.http_status, Some(400..=499)) && failure.outcome.is_some();
        let error = Error::from(failure);
        match no_api {
            true => error.hint("the server seems to have no API of download counts; --downloads names another one"),
            false => error,
        }
    })?;
    let DownloadsAnswer::Counts(counts) = answer else { return Ok(BTreeSet::new()) };
    let [NamedCounts::Counts(total)] = counts.as_slice() else { return Ok(BTreeSet::new()) };
    let days = total.days.iter().zip(&total.counts);
    Ok(days.filter(|(_, count)| count.unwrap_or_default() == 0).map(|(day, _)| day).collect())
}
