//! Values of some packages over time: their downloads, their releases, and how many packages depend on them. Not here:
//! drawing (`plot`).

mod dependents;
mod downloads;
mod names;
mod period;
mod releases;
mod rows;

use jiff::civil::Date;

use super::Session;
use crate::error::{Error, Result};

pub use period::Period;

/// The values of one package over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// The package.
    pub name: String,
    /// The first day of each period, in order and without a gap, and its value; `None` where it is not known.
    pub points: Vec<(Date, Option<f64>)>,
}

/// The values of some packages, in the same periods.
#[derive(Debug, Clone, PartialEq)]
pub struct Timelines {
    /// A line for each package, in the order in which they were asked for.
    pub lines: Vec<Timeline>,
    /// The period that a value is about.
    pub period: Period,
    /// The first day of the first period.
    pub first: Date,
    /// The last day that the values are about. If it is not the last day of its period, that period is not over.
    pub last: Date,
}

/// The packages and days of timelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineOptions<'a> {
    /// The packages, each once.
    pub names: &'a [String],
    /// A day of the first period; the first that has a value if `None`.
    pub since: Option<Date>,
    /// The last day; the last that has a value if `None`.
    pub until: Option<Date>,
    /// The period that a value is about; one that fits the number of days if `None`.
    pub period: Option<Period>,
    /// The current day: what the lake says about later ones is left out.
    pub today: Date,
    /// The flags by which a command asks the registry of these packages, each after a space. Hints of errors have them.
    pub flags: &'a str,
}

impl Session {
    /// Returns the downloads of each package, as the mean of a day: over the known days of a period, of which at least half
    /// must be known. Other periods have no value.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for a package without known downloads.
    pub async fn downloads_over_time(&self, options: TimelineOptions<'_>) -> Result<Timelines> {
        downloads::timelines(self, options).await.and_then(not_empty)
    }

    /// Returns how many versions of each package were published in a period: those that the lake holds and that have a
    /// time.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for a package without such a version.
    pub async fn releases_over_time(&self, options: TimelineOptions<'_>) -> Result<Timelines> {
        releases::timelines(self, options).await.and_then(not_empty)
    }

    /// Returns how many packages depended on each package at the end of a period. A package depends on another one if its
    /// highest version does, with kind prod: the highest stable version that was published by then, or the highest
    /// prerelease if it had no stable one. Versions that were unpublished are not in the lake, so they do not count.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for a package that none has ever depended on.
    pub async fn dependents_over_time(&self, options: TimelineOptions<'_>) -> Result<Timelines> {
        dependents::timelines(self, options).await.and_then(not_empty)
    }
}

/// Refuses timelines without a period.
fn not_empty(timelines: Timelines) -> Result<Timelines> {
    match timelines.first > timelines.last {
        true => Err(Error::input(format!(
            "nothing is known from {} on: the last day is {}",
            timelines.first, timelines.last
        ))
        .hint("give an earlier --since")),
        false => Ok(timelines),
    }
}
