//! How many versions of a package were published in each period.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::names::without_values;
use super::rows::Statement;
use super::{Period, Timeline, TimelineOptions, Timelines};
use crate::error::{Error, Result};
use crate::query::Session;

/// The published versions of each package by day.
const BY_DAY: &str = "select name, cast(published_at as date), count(*) from versions
    where name in ($names) and published_at is not null group by 1, 2";
/// The last publication of all that the lake holds. Later days are not known.
const LAST: &str = "select '', max(cast(published_at as date)), 0 from versions
    where published_at < cast($end as timestamp with time zone)";

pub(super) async fn timelines(session: &Session, options: TimelineOptions<'_>) -> Result<Timelines> {
    let last = last_day(session, options).await?;
    let mut by_name: BTreeMap<String, BTreeMap<Date, i64>> = BTreeMap::new();
    for (name, day, versions) in Statement::new(BY_DAY).with_names(options.names).days(session).await? {
        by_name.entry(name).or_default().insert(day, versions);
    }
    for name in options.names {
        if !by_name.contains_key(name) {
            let error = Error::input(format!("the lake has no version of {name} with a time"))
                .hint("the table unpublished says which versions it had");
            return Err(without_values(session, name, options.flags, error).await?);
        }
    }
    let period = options.period.unwrap_or(Period::Month);
    let days = || by_name.values().flat_map(BTreeMap::keys);
    let first = period.first_day(options.since.or(days().min().copied()).unwrap_or(last));
    let periods = period.between(first, last);
    let line = |name: &String| {
        let mut counts: BTreeMap<Date, i64> = BTreeMap::new();
        for (day, versions) in by_name.get(name).into_iter().flatten().filter(|(day, _)| **day <= last) {
            *counts.entry(period.first_day(*day)).or_default() += versions;
        }
        let value = |start: &Date| (*start, Some(counts.get(start).copied().unwrap_or_default() as f64));
        Timeline { name: name.clone(), points: periods.iter().map(value).collect() }
    };
    Ok(Timelines { lines: options.names.iter().map(line).collect(), period, first, last })
}

/// Returns the last day to show: the one that was asked for, else that of the lake's last publication by the current day.
pub(super) async fn last_day(session: &Session, options: TimelineOptions<'_>) -> Result<Date> {
    if let Some(until) = options.until {
        return Ok(until);
    }
    let end = options.today.tomorrow().unwrap_or(options.today).to_string();
    let last = Statement::new(LAST).with("end", &end).days(session).await?.pop();
    Ok(last.map_or(options.today, |(_, day, _)| day))
}
