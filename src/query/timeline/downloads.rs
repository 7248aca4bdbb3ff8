//! The mean downloads of a day in each period.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};

use super::names::without_values;
use super::rows::Statement;
use super::{Period, Timeline, TimelineOptions, Timelines};
use crate::error::{Error, Result};
use crate::query::Session;

/// Up to so many days are shown day by day.
const MOST_DAYS: i32 = 120;
/// Up to so many days are shown week by week: a point is then at least two pixels wide.
const MOST_DAYS_BY_WEEK: i32 = 5 * 366;
/// No count is older: npm began to publish them later.
const FIRST_DAY: Date = date(2010, 1, 1);

/// The known downloads of each package by day.
const BY_DAY: &str = "select name, day, downloads from downloads where name in ($names)
    and day >= cast($first as date) and day <= cast($last as date)";

pub(super) async fn timelines(session: &Session, options: TimelineOptions<'_>) -> Result<Timelines> {
    // The whole of the first and of the last period is read, whatever the period will be.
    let first = options.since.map_or(FIRST_DAY, |day| Period::Week.first_day(day).min(day.first_of_month()));
    let last = options.until.unwrap_or(options.today);
    let last = Period::Week.last_day(last).max(last.last_of_month());
    let counts = Statement::new(BY_DAY).with_names(options.names);
    let counts = counts.with("first", &first.to_string()).with("last", &last.to_string());
    let mut by_name: BTreeMap<String, BTreeMap<Date, i64>> = BTreeMap::new();
    for (name, day, downloads) in counts.days(session).await? {
        by_name.entry(name).or_default().insert(day, downloads);
    }
    for name in options.names {
        if !by_name.contains_key(name) {
            let error = Error::input(format!("no downloads of {name} are known in these days")).hint(format!(
                "ask for them: echo {name} | all-docs downloads --names -{}{}",
                options.since.map(|day| format!(" --since {day}")).unwrap_or_default(),
                options.flags
            ));
            return Err(without_values(session, name, options.flags, error).await?);
        }
    }
    let days = || by_name.values().flat_map(BTreeMap::keys).copied();
    let (Some(least), Some(most)) = (days().min(), days().max()) else {
        return Err(Error::internal("no package has downloads"));
    };
    let (first, last) = (options.since.unwrap_or(least), options.until.unwrap_or(most));
    let period = options.period.unwrap_or_else(|| fitting(first, last));
    let line = |name: &String| {
        let mut sums: BTreeMap<Date, (i64, i32)> = BTreeMap::new();
        for (day, downloads) in by_name.get(name).into_iter().flatten() {
            let (sum, known) = sums.entry(period.first_day(*day)).or_default();
            (*sum, *known) = (*sum + downloads, *known + 1);
        }
        let mean = |start: &Date| {
            let length = (period.last_day(*start) - *start).get_days() + 1;
            let (sum, known) = sums.get(start).copied().filter(|(_, known)| known * 2 >= length)?;
            Some(sum as f64 / f64::from(known))
        };
        let points = period.between(first, last).into_iter().map(|start| (start, mean(&start))).collect();
        Timeline { name: name.clone(), points }
    };
    let lines = options.names.iter().map(line).collect();
    Ok(Timelines { lines, period, first: period.first_day(first), last })
}

/// Returns the period that makes a readable line of the days from `first` to `last`.
fn fitting(first: Date, last: Date) -> Period {
    match (last - first).get_days() {
        ..=MOST_DAYS => Period::Day,
        ..=MOST_DAYS_BY_WEEK => Period::Week,
        _ => Period::Month,
    }
}
