//! The count of requests per host and month: checks whether it can be read, and restores as much as possible.
//!
//! If the count is too low, a run may exceed npm's limit. So a lost count does not become zero: `outcomes` shows how
//! often each name was requested, and when.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde_json::Value;
use url::Url;

use super::partition::open_cursor;
use super::proof::{Fault, Finding, lake_finding};
use super::root_file::RootFile;
use crate::error::{Context, ErrorKind, Result};
use crate::lake::{Layout, OriginInfo, Record};
use crate::pipeline::status::read_partition_set;
use crate::registry::{BudgetSnapshot, MonthCount, host_of, month_of};
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// Returns the fault of the count.
pub(super) async fn check(store: &Store) -> Result<Option<Finding>> {
    let file = RootFile::read(store, Layout::REQUESTS).await?;
    let problem = problem_of(&file, &now());
    Ok(problem.map(|problem| lake_finding(Layout::REQUESTS, Fault::Record, problem)))
}

/// Returns whether there is no count.
pub(super) async fn is_absent(store: &Store) -> Result<bool> {
    Ok(RootFile::read(store, Layout::REQUESTS).await?.is_absent())
}

/// Returns the hosts that were sent requests, as far as the count shows.
pub(super) async fn hosts(store: &Store) -> Result<BTreeSet<String>> {
    let file = RootFile::read(store, Layout::REQUESTS).await?;
    Ok(entries(&file).into_iter().map(|(host, _)| host).collect())
}

/// Restores the count if something is wrong with it: from its remains, and with at least the requests that the outcomes
/// of `origins` account for. Returns the new counts in words.
pub(super) async fn mend(store: &Store, origins: &BTreeMap<String, OriginInfo>) -> Result<Vec<String>> {
    let file = RootFile::read(store, Layout::REQUESTS).await?;
    let now = now();
    if problem_of(&file, &now).is_none() {
        return Ok(Vec::new());
    }
    let mut notes = Vec::new();
    let mut counts = BudgetSnapshot::default();
    for (host, entry) in entries(&file) {
        let count = serde_json::from_value(entry).ok().filter(|count| problem_of_count(&host, count, &now).is_none());
        counts.hosts.extend(count.map(|count| (host, count)));
    }
    let month = month_of(now.timestamp());
    for (host, requests) in requests_accounted_for(store, origins, &now).await? {
        let count = MonthCount { month: month.clone(), requests };
        let known = counts.hosts.get(&host).is_some_and(|known| known.month == month && known.requests >= requests);
        if !known {
            counts.hosts.insert(host, count);
        }
    }
    for (host, MonthCount { month, requests }) in &counts.hosts {
        notes.push(format!(
            "{}: {host} was sent at least {requests} requests in {month}; those for pages may not be among them",
            Layout::REQUESTS
        ));
    }
    if counts.hosts.is_empty() {
        notes.push(format!("{}: the count of this month is lost, and begins at 0 again", Layout::REQUESTS));
    }
    file.replace(store, counts.to_json()?).await?;
    Ok(notes)
}

fn problem_of(file: &RootFile, now: &Zoned) -> Option<String> {
    let Some(text) = &file.text else { return file.misfit.clone() };
    match serde_json::from_slice::<BudgetSnapshot>(text) {
        Ok(counts) => counts.hosts.iter().find_map(|(host, count)| problem_of_count(host, count, now)),
        Err(error) => Some(format!("it is damaged: {error}")),
    }
}

/// Returns the fault of an entry. With an invalid host, the real host's count would begin at 0. With an invalid month,
/// or one in the future, requests would be counted in it for ever.
fn problem_of_count(host: &str, count: &MonthCount, now: &Zoned) -> Option<String> {
    let is_host = |scheme| Url::parse(&format!("{scheme}://{host}/")).is_ok_and(|url| host_of(&url) == host);
    if !is_host("https") && !is_host("http") {
        return Some(format!("it counts the requests to {host:?}, which is no host"));
    }
    let month = &count.month;
    let is_month = month.len() == "2026-11".len() && format!("{month}-01").parse::<jiff::civil::Date>().is_ok();
    if !is_month {
        return Some(format!("it counts the requests to {host} in {month:?}, which is no month"));
    }
    // Clocks differ.
    let tomorrow = now.checked_add(Span::new().days(1)).unwrap_or_else(|_| now.clone());
    let is_to_come = *month > month_of(tomorrow.timestamp());
    is_to_come.then(|| format!("it counts the requests to {host} in {month}, which has not come yet"))
}

/// Parses the entries of the count, each on its own.
fn entries(file: &RootFile) -> Vec<(String, Value)> {
    let said: Value = file.text.as_ref().and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    let hosts = said.get("hosts").and_then(Value::as_object).into_iter().flatten();
    hosts.map(|(host, entry)| (host.clone(), entry.clone())).collect()
}

fn now() -> Zoned {
    Timestamp::now().to_zoned(TimeZone::UTC)
}

/// Sums the requests of this month that the lake's outcomes account for, by host: the last ones for each name.
async fn requests_accounted_for(
    store: &Store,
    origins: &BTreeMap<String, OriginInfo>,
    now: &Zoned,
) -> Result<BTreeMap<String, u64>> {
    let begins = now.first_of_month().and_then(|first| first.start_of_day());
    let begins_us = begins.or_error(ErrorKind::Internal, || "this month has no beginning".to_owned())?;
    let begins_us = begins_us.timestamp().as_microsecond();
    let mut requests = BTreeMap::new();
    for (name, info) in origins {
        let layout = Layout::origin(name);
        // The built-in origin has no address, and unreadable rows cannot be counted.
        let (Ok(url), Ok(Some(set))) = (Url::parse(&info.registry_url), read_partition_set(store, &layout).await)
        else {
            continue;
        };
        let store = store.clone();
        let count = move || {
            let mut attempts = 0;
            for partition in set.iter() {
                let columns = ["attempts", "fetched_at"];
                let Ok(Some(mut cursor)) = open_cursor(&store, &layout, &partition, TableKind::Outcomes, &columns)
                else {
                    continue;
                };
                while cursor.name().is_some() {
                    let passed = cursor.pass(|row| {
                        let is_of_month = row.number("fetched_at").is_some_and(|at_us| at_us >= begins_us);
                        let times = row.number("attempts").and_then(|times| u64::try_from(times).ok());
                        attempts += times.filter(|_| is_of_month).unwrap_or(0);
                        Ok(())
                    });
                    if passed.is_err() {
                        break;
                    }
                }
            }
            Ok(attempts)
        };
        *requests.entry(host_of(&url)).or_insert(0_u64) += blocking("counting requests", count).await?;
    }
    requests.retain(|_, requests| *requests > 0);
    Ok(requests)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_none_and_a_month_that_is_none_or_to_come_are_problems() {
        let now = "2026-11-30T12:00:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        let problem = |month: &str| problem_of_count("x", &MonthCount { month: month.to_owned(), requests: 1 }, &now);
        for month in ["2026-11", "2025-01", "2026-12"] {
            assert_eq!(problem(month), None, "{month}: on its last day the next may have begun elsewhere");
        }
        for month in ["2027-01", "2926-11", "2026-13", "2026-1:", "", "2026-1", "a"] {
            assert!(problem(month).is_some(), "{month}");
        }
        let problem =
            |host: &str| problem_of_count(host, &MonthCount { month: "2026-11".to_owned(), requests: 1 }, &now);
        for host in ["registry.npmjs.org", "127.0.0.1:4899", "[::1]:8080", "x:80", "x:443"] {
            assert_eq!(problem(host), None, "{host}");
        }
        for host in ["127.0.0/1:4899", "", "a b", "A", "x:y", "me@x"] {
            assert!(problem(host).is_some(), "{host}");
        }
    }

    #[test]
    fn a_host_is_counted_with_its_port_where_that_is_its_own() {
        for (url, host) in [
            ("https://registry.npmjs.org/", "registry.npmjs.org"),
            ("http://127.0.0.1:4873/npm/", "127.0.0.1:4873"),
            ("http://[::1]:80/a", "[::1]"),
        ] {
            assert_eq!(host_of(&Url::parse(url).unwrap()), host);
        }
    }
}
