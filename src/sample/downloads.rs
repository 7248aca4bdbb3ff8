//! The API of download counts: sums and daily counts of one package, of up to 128, and of the whole registry.
//!
//! It has npm's limits, and npm's silence about one of them: it moves the start of a long period (npm-facts F). Not here:
//! the counts (`counts.rs`).

use jiff::civil::Date;

use super::answer::{Answer, JSON};
use super::counts::{days_after, days_between};
use super::json::quoted;
use super::world::World;

const LARGEST_BULK: usize = 128;
const LONGEST_BULK_DAYS: i64 = 365;
const LONGEST_SINGLE_DAYS: i64 = 547;

/// The longest path that the web server in front of the API takes.
const LONGEST_PATH_BYTES: usize = 8 << 10;

/// A path below `/downloads/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DownloadsPath {
    /// Whether each day has its count, rather than all of them a sum.
    is_range: bool,
    period: String,
    /// The names, as they are separated by commas; `None` for the whole registry.
    names: Option<String>,
}

impl DownloadsPath {
    /// Reads a decoded path.
    pub(super) fn read(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/downloads/")?;
        let (kind, rest) = rest.split_once('/')?;
        let is_range = match kind {
            "range" => true,
            "point" => false,
            _ => return None,
        };
        let (period, names) = match rest.split_once('/') {
            Some((period, names)) if !names.is_empty() => (period, Some(names.to_owned())),
            Some((period, _)) => (period, None),
            None => (rest, None),
        };
        Some(DownloadsPath { is_range, period: period.to_owned(), names })
    }

    /// Returns the names that it asks for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().flat_map(|names| names.split(',')).filter(|name| !name.is_empty())
    }

    /// Returns the name, if it asks for one.
    pub(super) fn only_name(&self) -> Option<&str> {
        self.names.as_deref().filter(|names| !names.contains(','))
    }
}

/// The days of a response, both inclusive.
#[derive(Debug, Clone, Copy)]
struct Period {
    start: Date,
    end: Date,
}

impl Period {
    fn read(text: &str, last_day: Date) -> Option<Period> {
        let last = |days: i64| Some(Period { start: days_after(last_day, 1 - days), end: last_day });
        match text {
            "last-day" => return last(1),
            "last-week" => return last(7),
            "last-month" => return last(30),
            "last-year" => return last(365),
            _ => {}
        }
        let (start, end) = text.split_once(':').unwrap_or((text, text));
        Some(Period { start: start.parse().ok()?, end: end.parse().ok()? })
    }

    fn count_days(self) -> i64 {
        days_between(self.start, self.end) + 1
    }
}

/// Returns the response to a path that was `path_bytes` long as it was sent; `today` is the day of the request.
pub(super) fn answer(world: &World, path: &DownloadsPath, path_bytes: usize, today: Date) -> Answer {
    if path_bytes > LONGEST_PATH_BYTES {
        return Answer::header_too_large();
    }
    let last_day = world.counts.last_day.unwrap_or_else(|| days_after(today, -1));
    let Some(mut period) = Period::read(&path.period, last_day) else { return refused("Invalid date") };
    if period.end < period.start {
        return refused("end date > start date");
    }
    let is_bulk = path.names.is_some() && path.only_name().is_none();
    if is_bulk && path.names().any(|name| name.starts_with('@')) {
        return refused("scoped packages are not currently supported in bulk lookups");
    }
    if is_bulk && path.names().count() > LARGEST_BULK {
        return refused("exceeded max bulk size of 128");
    }
    if is_bulk && period.count_days() > LONGEST_BULK_DAYS {
        return refused("exceeded max days of 365 for bulk query");
    }
    if period.count_days() > LONGEST_SINGLE_DAYS {
        period.start = days_after(period.end, 1 - LONGEST_SINGLE_DAYS);
    }
    let counts = &world.counts;
    let of = |name: &str| {
        let is_known = world.find(name).is_some() || world.departed.contains_key(name);
        (is_known && counts.has(name)).then(|| {
            let member = format!(",\"package\":{}", quoted(name));
            path.body(period, &member, |day| counts.lists(day, today).then(|| counts.of_package(name, day)))
        })
    };
    match (path.only_name(), is_bulk) {
        (Some(name), _) => match of(name) {
            Some(body) => Answer::new(200, JSON, body),
            None => Answer::new(404, JSON, format!("{{\"error\":{}}}", quoted(&format!("package {name} not found")))),
        },
        (None, true) => {
            let of = |name| format!("{}:{}", quoted(name), of(name).unwrap_or_else(|| "null".to_owned()));
            let members: Vec<String> = path.names().map(of).collect();
            Answer::new(200, JSON, format!("{{{}}}", members.join(",")))
        }
        (None, false) => {
            let total = |day| counts.lists(day, today).then(|| counts.of_registry(day));
            Answer::new(200, JSON, path.body(period, "", total))
        }
    }
}

impl DownloadsPath {
    /// Returns the object of one package or of the registry. `count` returns `None` for a day that is not listed.
    fn body(&self, period: Period, package: &str, count: impl Fn(Date) -> Option<u64>) -> String {
        let days = (0..period.count_days()).map(|days| days_after(period.start, days));
        let listed = days.filter_map(|day| Some((day, count(day)?)));
        let downloads = match self.is_range {
            true => {
                let days: Vec<String> =
                    listed.map(|(day, count)| format!("{{\"downloads\":{count},\"day\":\"{day}\"}}")).collect();
                format!("[{}]", days.join(","))
            }
            false => listed.map(|(_, count)| count).sum::<u64>().to_string(),
        };
        let Period { start, end } = period;
        format!("{{\"start\":\"{start}\",\"end\":\"{end}\"{package},\"downloads\":{downloads}}}")
    }
}

fn refused(error: &str) -> Answer {
    Answer::new(400, JSON, format!("{{\"error\":{}}}", quoted(error)))
}

impl World {
    /// Returns the downloads of a package on a day; `None` for a name without counts.
    pub fn downloads(&self, name: &str, day: Date) -> Option<u64> {
        self.counts.has(name).then(|| self.counts.of_package(name, day))
    }

    /// Sets the downloads of a package on a day. The package has counts from then on.
    pub fn set_downloads(&mut self, name: &str, day: Date, count: u64) {
        self.counts.removed.remove(name);
        self.counts.edited.insert((name.into(), day), count);
    }

    /// Takes the counts of a package away: 404, and null in a bulk.
    pub fn remove_downloads(&mut self, name: &str) {
        self.counts.edited.retain(|(edited, _), _| **edited != *name);
        self.counts.removed.insert(name.into());
    }

    /// Sets the last day that has counts. Without it, it is the day before the request.
    pub fn set_last_download_day(&mut self, day: Date) {
        self.counts.last_day = Some(day);
    }

    /// Leaves a day out of every response, as before its counts have landed; `false` lists it again.
    pub fn hide_download_day(&mut self, day: Date, is_hidden: bool) {
        match is_hidden {
            true => self.counts.absent_days.insert(day),
            false => self.counts.absent_days.remove(&day),
        };
    }

    /// Makes every count of a day zero, as on days of npm's outages; `false` restores them.
    pub fn zero_download_day(&mut self, day: Date, is_zero: bool) {
        match is_zero {
            true => self.counts.zero_days.insert(day),
            false => self.counts.zero_days.remove(&day),
        };
    }
}
