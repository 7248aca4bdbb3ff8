//! Keeps events: puts those of commits into the files of their days, and removes old days.
//!
//! One process at a time does so, under a lease of its own. Not here: the files (`event`), and how events are recorded
//! (`worker`).

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::lease::{Attempt, Lease};
use crate::commit::Right as _;
use crate::error::Result;
use crate::event::{Drained, drain, feed_files};
use crate::lake::OriginLayout;
use crate::store::Store;

/// The purpose of the lease.
const PURPOSE: &str = "keep events";

/// Puts the events of the feed into the files of their days, and removes the days before `keep_from`. Does nothing while
/// another process does so.
pub(super) async fn keep_events(store: &Store, layout: &OriginLayout, keep_from: Option<Date>) -> Result<Drained> {
    if feed_files(store, layout).await?.is_empty() && old_days(store, layout, keep_from).await?.is_empty() {
        return Ok(Drained::default());
    }
    let Attempt::Taken(lease) = Lease::of_stem(store, layout, OriginLayout::events_lease(), PURPOSE).await? else {
        return Ok(Drained::default());
    };
    let watch = lease.watch();
    let kept = async {
        let drained = drain(store, layout, feed_files(store, layout).await?, || watch.check()).await?;
        for path in old_days(store, layout, keep_from).await? {
            watch.check()?;
            store.delete(&path).await?;
        }
        Ok(drained)
    };
    let kept = kept.await;
    lease.end_after(kept).await
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
