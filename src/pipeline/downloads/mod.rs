//! Download counts: asks a registry for the counts that are missing, and records them in the array of the origin.
//!
//! A run works in passes: tier by tier, packages that are asked for together before those that are asked for alone, block
//! of rows by block. Counts are in staging within seconds, and in the array at the end of a block's pass. Not here: the
//! array (`array`), and what a response means (`registry`).

mod landed;
mod plan;
mod requests;
mod run;
mod summary;
#[cfg(test)]
mod tests;
mod tiers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::arrays::open_downloads;
use super::lease::refuse_locked;
use super::open::{no_lake, raise_lake, read_lake, sweep};
use super::progress::Progress;
use super::requests::counted;
use super::run::{RunReporter, sweep_dead};
use crate::error::{Doing, Error, Result};
use crate::lake::Layout;
use crate::npm::PackageName;
use crate::registry::Registry;
use crate::store::Store;
use landed::Landed;
use plan::{Kind, Wish};
use run::Run;

pub use summary::DownloadsSummary;
pub use tiers::Tiers;

/// The command for which leases are taken.
const PURPOSE: &str = "downloads";

/// The packages that a run asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// All, each as often as its tier says.
    Tiers(Tiers),
    /// The most downloaded ones.
    Top(u32),
    /// These, in the lake or not.
    Names(BTreeSet<PackageName>),
}

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct DownloadsOptions {
    /// The lake.
    pub store: Store,
    /// The registry.
    pub registry: Registry,
    /// The packages.
    pub choice: Choice,
    /// The first day of the counts; `None` for a year of packages that were never asked for, and what follows the known
    /// days of others.
    pub since: Option<Date>,
    /// The present day in UTC; `None` for that of the clock.
    pub today: Option<Date>,
}

/// Brings the download counts of an origin up to date. `stop` ends the run early and cleanly: the counts that were received
/// stay, and the summary says that it was stopped.
///
/// Several processes may run at once: one process works on each block of rows, and leaves the blocks of others alone.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if the lake does not hold the origin yet, with
/// [`crate::error::ErrorKind::RateLimit`] if the host refuses for too long or the month's budget is spent, and otherwise as
/// requests do. Counts that were received before a failure are kept.
pub async fn downloads(
    options: DownloadsOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<DownloadsSummary> {
    let (store, registry) = (options.store.clone(), options.registry.clone());
    counted(&store, &registry, false, run_downloads(options, progress, stop)).await
}

async fn run_downloads(
    options: DownloadsOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<DownloadsSummary> {
    let started = Instant::now();
    let DownloadsOptions { store, registry, .. } = &options;
    let layout = Layout::origin(&registry.origin().name);
    let info = read_lake(store).await?.ok_or_else(|| no_lake(&store.location()))?;
    if !info.origins.contains_key(layout.name()) {
        let (place, name) = (store.location(), layout.name());
        return Err(Error::lake(format!("the lake {place} holds nothing of {name} yet"))
            .hint("the packages of the lake are asked for: fill it first with all-docs ingest"));
    }
    let today = options.today.unwrap_or_else(|| Timestamp::now().to_zoned(TimeZone::UTC).date());
    let landed = stop.run_until_cancelled(Landed::ask(registry, today)).await.ok_or_else(Error::interrupted)??;
    if let Some(since) = options.since.filter(|since| *since > landed.last()) {
        return Err(Error::input(format!("there are no counts of {since} or later yet")).hint(format!(
            "the last day with counts is {}; give that day with --since, or an earlier one",
            landed.last()
        )));
    }
    refuse_locked(store, &layout).await?;
    raise_lake(store).await?;
    sweep(store).await?;
    sweep_dead(store, &layout).await?;
    let reporter =
        RunReporter::start(store.clone(), &layout, PURPOSE, Arc::clone(&progress), Some(registry.clone())).await?;
    let result = async {
        let extra: Vec<String> = match &options.choice {
            Choice::Names(names) => {
                names.iter().map(PackageName::to_string).filter(|name| Kind::of(name).is_some()).collect()
            }
            Choice::Tiers(_) | Choice::Top(_) => Vec::new(),
        };
        let (axis, array) = open_downloads(store, &layout, landed.last(), today, &extra).await?;
        let wish = Wish { since: options.since, last: landed.last() };
        Run::new(&options, layout.clone(), axis, array, landed, wish, progress).await?.complete(&stop, started).await
    };
    let result = result.await.doing(|| format!("recording the downloads of {}", layout.name()));
    // The first error is the one to report.
    let ended = reporter.end().await.and(sweep_dead(store, &layout).await);
    result.and_then(|summary| ended.map(|()| summary))
}
