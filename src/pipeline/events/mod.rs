//! Keeps events: puts those of commits into the files of their days, removes old days, and delivers events as they come.
//!
//! One process at a time does so, under a lease of its own. Not here: the files (`event`), and how events are recorded
//! (`worker`).

mod keeper;
mod output;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

pub use self::keeper::EventKeeper;
pub use self::output::{EventOutput, EventOutputs, EventSettings, Lines};
use super::lease::{Attempt, Lease, LeaseWatch};
use crate::commit::Right as _;
use crate::error::Result;
use crate::event::{Drained, FeedFile, drain, feed_files, feed_files_among};
use crate::lake::OriginLayout;
use crate::store::Store;

/// The purpose of the lease.
const PURPOSE: &str = "keep events";
/// How long the feed waits for a process with outputs that died: it delivers these events when it is started again.
const WAITS_FOR_OUTPUTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Puts the events of the feed into the files of their days, and removes the days before `keep_from`. Does nothing while
/// another process does so. Leaves events in the feed, for a week at most, that a process with outputs has not delivered.
pub(super) async fn keep_events(store: &Store, layout: &OriginLayout, keep_from: Option<Date>) -> Result<Drained> {
    if feed_files(store, layout).await?.is_empty() && old_days(store, layout, keep_from).await?.is_empty() {
        return Ok(Drained::default());
    }
    let Attempt::Taken(lease) = Lease::of_stem(store, layout, OriginLayout::events_lease(), PURPOSE).await? else {
        return Ok(Drained::default());
    };
    let kept = async {
        let listed = store.list(&layout.feed()).await?;
        let waits = listed.contains(&layout.event_outputs());
        let mut files = feed_files_among(layout, listed);
        if waits {
            let oldest_us = jiff::Timestamp::now().as_microsecond() - WAITS_FOR_OUTPUTS.as_micros() as i64;
            files.retain(|file| file.seen_at_us < oldest_us);
        }
        keep(store, layout, &lease.watch(), files, keep_from).await
    };
    let kept = kept.await;
    lease.end_after(kept).await
}

/// Puts these files of the feed into the files of their days, and removes the days before `keep_from`.
async fn keep(
    store: &Store,
    layout: &OriginLayout,
    right: &LeaseWatch,
    files: Vec<FeedFile>,
    keep_from: Option<Date>,
) -> Result<Drained> {
    right.confirm().await?;
    let drained = drain(store, layout, files, || right.check()).await?;
    for path in old_days(store, layout, keep_from).await? {
        right.check()?;
        store.delete(&path).await?;
    }
    Ok(drained)
}

/// Returns the files of days before `keep_from`.
async fn old_days(store: &Store, layout: &OriginLayout, keep_from: Option<Date>) -> Result<Vec<String>> {
    let Some(keep_from) = keep_from else { return Ok(Vec::new()) };
    let paths = store.list(&layout.events()).await?.into_iter();
    Ok(paths.filter(|path| layout.parse_events_of_day(path).is_some_and(|day| day < keep_from)).collect())
}

/// Returns the first day whose events are kept today, if they are kept for `days` days.
pub fn keep_from(days: u32) -> Date {
    let today = jiff::Timestamp::now().to_zoned(TimeZone::UTC).date();
    today.checked_sub(jiff::Span::new().days(i64::from(days))).unwrap_or(Date::MIN)
}
