//! Keeps events: puts those of commits into the files of their days, removes old days, and delivers events as they come.
//!
//! One process at a time does so, under a lease of its own. Not here: the files (`event`), and how events are recorded
//! (`worker`).

mod keeper;
mod output;
#[cfg(test)]
mod tests;
mod undelivered;

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

/// Puts the events of the feed into the files of their days, and removes the days before `keep_from`. Does nothing while
/// another process does so. Notes what a process with outputs that died has still to deliver.
pub(super) async fn keep_events(store: &Store, layout: &OriginLayout, keep_from: Option<Date>) -> Result<Drained> {
    if feed_files(store, layout).await?.is_empty() && old_days(store, layout, keep_from).await?.is_empty() {
        return Ok(Drained::default());
    }
    let Attempt::Taken(lease) = Lease::of_stem(store, layout, OriginLayout::events_lease(), PURPOSE).await? else {
        return Ok(Drained::default());
    };
    let kept = async {
        let listed = store.list(&layout.feed()).await?;
        let is_for_outputs = listed.contains(&layout.event_outputs());
        let files = feed_files_among(layout, listed);
        if is_for_outputs {
            undelivered::note_for_others(store, layout, &files).await?;
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
