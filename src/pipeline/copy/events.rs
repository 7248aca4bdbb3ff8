//! Copies the events of an origin: the files of days, and those of commits that are in no file of a day yet.

use std::io::{Read, Write};

use super::ends::Ends;
use super::partition::PURPOSE;
use super::summary::{CopyOptions, CopySummary};
use crate::commit::Right as _;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::OriginLayout;
use crate::pipeline::lease::{Attempt, Lease};
use crate::store::blocking;

/// Copies the events, if there are any. A drain in the lake that is copied may move events from the feed into a day
/// meanwhile, so the feed is copied first, and files of the feed that are gone there afterwards are removed from the copy.
///
/// Does nothing while another process writes the events of the copy.
pub(super) async fn copy_events(ends: &Ends, options: &CopyOptions, summary: &mut CopySummary) -> Result<()> {
    let paths = event_paths(ends, true).await?;
    if paths.is_empty() && event_paths(ends, false).await?.is_empty() {
        return Ok(());
    }
    if options.dry_run {
        for path in paths {
            summary.event_files_copied += u64::from(!is_current(ends, &path).await?);
        }
        return Ok(());
    }
    let lease = Lease::of_stem(&ends.to, &ends.layout, OriginLayout::events_lease(), PURPOSE).await?;
    let Attempt::Taken(lease) = lease else { return Ok(()) };
    let watch = lease.watch();
    let copied = async {
        for path in &paths {
            if ends.stop.is_cancelled() {
                return Ok(());
            }
            if !is_current(ends, path).await? {
                let check = || watch.check();
                summary.event_files_copied += u64::from(copy_file(ends, path, &check).await?);
            }
        }
        // A copy that died may have left one.
        ends.to.delete(&ends.layout.staged_events_of_day()).await?;
        let there = event_paths(ends, true).await?;
        for path in event_paths(ends, false).await? {
            if ends.layout.parse_feed_file(&path).is_some() && !there.contains(&path) {
                watch.check()?;
                ends.to.delete(&path).await?;
            }
        }
        Ok(())
    };
    let copied = copied.await;
    lease.end_after(copied).await
}

/// Returns the files of events at one end: first those of the feed, then those of days.
async fn event_paths(ends: &Ends, is_source: bool) -> Result<Vec<String>> {
    let store = if is_source { &ends.from } else { &ends.to };
    let mut paths = store.list(&ends.layout.feed()).await?;
    paths.retain(|path| ends.layout.parse_feed_file(path).is_some());
    let days = store.list(&ends.layout.events()).await?;
    paths.extend(days.into_iter().filter(|path| ends.layout.parse_events_of_day(path).is_some()));
    Ok(paths)
}

/// Returns whether the copy has the same bytes.
async fn is_current(ends: &Ends, path: &str) -> Result<bool> {
    let held = ends.to.digest(path).await?;
    Ok(held.is_some() && held == ends.from.digest(path).await?)
}

/// Copies a file. Returns whether it was still there.
async fn copy_file(ends: &Ends, path: &str, check: &impl Fn() -> Result<()>) -> Result<bool> {
    let staged = ends.layout.staged_events_of_day();
    let (from, to, of_path, of_staged) = (ends.from.clone(), ends.to.clone(), path.to_owned(), staged.clone());
    let read = blocking("the copy of events", move || {
        let Some(file) = from.blocking().open_whole(&of_path)? else { return Ok(None) };
        let mut staged = to.stage(&of_staged)?;
        let mut reader = file.into_read();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = reader.read(&mut buffer).or_error(ErrorKind::Lake, || format!("cannot read {of_path}"))?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            staged.write_all(bytes).or_error(ErrorKind::Lake, || format!("cannot write {of_staged}"))?;
        }
        staged.finish()?;
        Ok(Some(()))
    });
    if read.await?.is_none() {
        return Ok(false);
    }
    check()?;
    if !ends.to.promote(&staged, path).await? {
        return Err(Error::lake(format!("the staged file {staged} vanished")).hint("run the same command again"));
    }
    Ok(true)
}
