//! How many packages depended on a package at the end of each period.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type};
use jiff::civil::Date;

use super::names::without_values;
use super::releases::last_day;
use super::rows::{Statement, day_of};
use super::{Period, Timeline, TimelineOptions, Timelines};
use crate::error::{Error, Result};
use crate::query::Session;

/// The versions of all packages of which a version depends on `$dependency`, package by package and in the order of
/// publication: the day, whether it is stable, a text that sorts as the versions do, and whether it depends.
const VERSIONS: &str = "
    with dependents as (
        select distinct name, version from dependencies where dependency = $dependency and kind = 'prod'
    )
    select versions.name, cast(published_at as date) as day, major is not null and prerelease is null as is_stable,
        semver_sort_key(versions.version) as place, dependents.version is not null as depends
    from versions left join dependents on dependents.name = versions.name and dependents.version = versions.version
    where published_at is not null and versions.name in (select name from dependents)
    order by versions.name, published_at, version_index";

pub(super) async fn timelines(session: &Session, options: TimelineOptions<'_>) -> Result<Timelines> {
    let last = last_day(session, options).await?;
    let mut changes = Vec::new();
    for name in options.names {
        let found = changes_of(session, name).await?;
        if found.is_empty() {
            let error = Error::input(format!("no version in the lake depends on {name}"))
                .hint("the chart counts dependencies of kind prod; all-docs ingest brings more packages");
            return Err(without_values(session, name, options.flags, error).await?);
        }
        changes.push(found);
    }
    let period = options.period.unwrap_or(Period::Month);
    let begun = changes.iter().flat_map(BTreeMap::keys).min().copied();
    let first = period.first_day(options.since.or(begun).unwrap_or(last));
    let line = |(name, changes): (&String, BTreeMap<Date, i64>)| {
        let mut changes = changes.into_iter().peekable();
        let mut count = 0;
        let mut value = |start: Date| {
            let end = period.last_day(start).min(last);
            while let Some((_, change)) = changes.next_if(|(day, _)| *day <= end) {
                count += change;
            }
            (start, Some(count as f64))
        };
        Timeline { name: name.clone(), points: period.between(first, last).into_iter().map(&mut value).collect() }
    };
    let lines = options.names.iter().zip(changes).map(line).collect();
    Ok(Timelines { lines, period, first, last })
}

/// Returns by how much the number of dependents changed on each day on which it did, or might have.
async fn changes_of(session: &Session, dependency: &str) -> Result<BTreeMap<Date, i64>> {
    let mut changes: BTreeMap<Date, i64> = BTreeMap::new();
    let mut package = Package::default();
    let types = [DataType::Utf8, DataType::Date32, DataType::Boolean, DataType::Utf8, DataType::Boolean];
    let versions = Statement::new(VERSIONS).with("dependency", dependency);
    versions
        .each_batch(session, &types, |batch| {
            let (names, days) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Date32Type>());
            let (stable, depends) = (batch.column(2).as_boolean(), batch.column(4).as_boolean());
            let places = batch.column(3).as_string::<i32>();
            for row in 0..batch.num_rows() {
                if package.name != names.value(row) {
                    package = Package { name: names.value(row).to_owned(), ..Package::default() };
                }
                let place = places.is_valid(row).then(|| places.value(row));
                let change = package.publish(stable.value(row), place, depends.value(row));
                if let Some(day) = day_of(days.value(row)) {
                    *changes.entry(day).or_default() += change;
                }
            }
            Ok(())
        })
        .await?;
    Ok(changes)
}

/// A package, as far as its versions have been published.
#[derive(Debug, Default)]
struct Package {
    name: String,
    /// The highest version: whether it is stable, and its place in the order of versions.
    highest: Option<(bool, Option<String>)>,
    /// Whether the highest version depends on the package in question.
    depends: bool,
}

impl Package {
    /// Adds a version; one that is no semantic version has no place, and is below all others. Returns by how much the number
    /// of dependents changes.
    fn publish(&mut self, is_stable: bool, place: Option<&str>, depends: bool) -> i64 {
        let is_highest = match &self.highest {
            Some((stable, highest)) => (is_stable, place) >= (*stable, highest.as_deref()),
            None => true,
        };
        if !is_highest {
            return 0;
        }
        let before = i64::from(self.depends);
        self.highest = Some((is_stable, place.map(str::to_owned)));
        self.depends = depends;
        i64::from(depends) - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Publishes versions in this order, each with whether it depends; returns the number of dependents after each.
    fn counts(versions: &[(bool, Option<&str>, bool)]) -> Vec<i64> {
        let mut package = Package::default();
        let changes = versions.iter().map(|&(stable, place, depends)| package.publish(stable, place, depends));
        changes
            .scan(0, |count, change| {
                *count += change;
                Some(*count)
            })
            .collect()
    }

    #[test]
    fn the_highest_version_by_then_decides() {
        assert_eq!(counts(&[(true, Some("1"), true), (true, Some("2"), false), (true, Some("3"), true)]), [1, 0, 1]);
        // A patch of an old line, a prerelease, and no semantic version are not the highest.
        let lower =
            [(true, Some("2"), true), (true, Some("1"), false), (false, Some("3"), false), (false, None, false)];
        assert_eq!(counts(&lower), [1, 1, 1, 1]);
        // A prerelease is the highest until there is a stable version, even of a lower number.
        assert_eq!(counts(&[(false, Some("2"), true), (true, Some("1"), false), (false, Some("3"), true)]), [1, 0, 0]);
        // The same place twice: the later one.
        assert_eq!(counts(&[(true, Some("1"), true), (true, Some("1"), false)]), [1, 0]);
    }
}
