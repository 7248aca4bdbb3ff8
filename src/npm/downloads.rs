//! Download counts: a query of npm's API, its limits, and the decoding of a response.
//!
//! Not here: requesting counts (`registry/`), and which names and days are asked for (`pipeline/`).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::{Days, PackageName, parse_day};
use crate::error::{Error, Result};

/// The most names of one request (npm-facts F.2).
pub const MAX_BULK_NAMES: usize = 128;

/// The most days of a request for several names (npm-facts F.2).
pub const MAX_BULK_DAYS: usize = 365;

/// The most days of a request for one name. npm moves the start of a longer period, and does not say so (npm-facts F.2).
pub const MAX_SINGLE_DAYS: usize = 547;

/// A request for the downloads of each day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadsQuery {
    /// The packages; none for the registry as a whole.
    pub names: Vec<PackageName>,
    /// The days.
    pub days: Days,
}

/// The downloads of one package, or of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadCounts {
    /// The days that the response is about: those of the query, or fewer.
    pub days: Days,
    /// One count for each of these days; `None` for a day that the response does not list.
    pub counts: Vec<Option<u64>>,
}

/// The part of a response that is about one name of its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedCounts {
    /// The counts.
    Counts(DownloadCounts),
    /// npm has no counts of the name: null in a bulk.
    Unknown,
    /// The bulk leaves the name out, which says nothing about it.
    LeftOut,
}

impl DownloadsQuery {
    /// Returns whether requests can name a package together with others. Scoped ones cannot (npm-facts F.2).
    pub fn takes_in_bulk(name: &str) -> bool {
        !name.contains(['@', '/'])
    }

    /// Returns whether a request can name a package at all: commas separate names, and a dot segment reaches the total
    /// of the registry.
    pub fn can_name(name: &PackageName) -> bool {
        !name.as_str().contains(',') && name.path_segment().is_some()
    }

    /// Decodes the body of a response, in the order of the names; a query without names has one entry.
    ///
    /// Fails, of kind Network, for a body that is no response to this query: of another package, with days outside of
    /// the period or out of order, or with a count that is no number from 0 to 2^64 - 1.
    pub fn decode(&self, body: &[u8]) -> Result<Vec<NamedCounts>> {
        let decoded = match self.names.as_slice() {
            [] => vec![NamedCounts::Counts(Series::of(body, |series| series.checked(self.days, None))?)],
            [name] => {
                let counts = Series::of(body, |series| series.checked(self.days, Some(name.as_str())))?;
                vec![NamedCounts::Counts(counts)]
            }
            names => {
                let Entries(mut entries) = parsed(body)?;
                // Sorted, because the names of a bulk need not be.
                entries.sort_by(|one, other| one.0.cmp(&other.0));
                if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                    return Err(no_counts(format!("it has {:?} twice", pair[0].0)));
                }
                let of = |name: &PackageName| {
                    let place = entries.binary_search_by(|entry| entry.0.as_str().cmp(name.as_str())).ok();
                    Ok(match place.and_then(|place| entries.get(place)) {
                        Some((_, Some(series))) => NamedCounts::Counts(series.checked(self.days, Some(name.as_str()))?),
                        Some((_, None)) => NamedCounts::Unknown,
                        None => NamedCounts::LeftOut,
                    })
                };
                names.iter().map(of).collect::<Result<_>>()?
            }
        };
        Ok(decoded)
    }
}

/// The object of one package as it is in a body. Other members are ignored.
#[derive(Debug, Deserialize)]
struct Series {
    start: String,
    end: String,
    package: Option<String>,
    downloads: Vec<DayCount>,
}

#[derive(Debug, Deserialize)]
struct DayCount {
    day: String,
    /// A number with a fraction, a sign or more than 64 bits is an error of the decoder.
    downloads: u64,
}

impl Series {
    fn of<T>(body: &[u8], check: impl FnOnce(&Series) -> Result<T>) -> Result<T> {
        check(&parsed(body)?)
    }

    /// Returns the counts, if they are of this package, and of no days but these.
    fn checked(&self, asked: Days, package: Option<&str>) -> Result<DownloadCounts> {
        match (package, self.package.as_deref()) {
            (None, None) => {}
            // npm counts names that differ in case together (npm-facts C.2, 52).
            (Some(asked), Some(found)) if asked.eq_ignore_ascii_case(found) => {}
            (Some(asked), None) => {
                return Err(no_counts(format!("it is the total of the registry, and not of {asked:?}")));
            }
            (_, Some(found)) => return Err(no_counts(format!("it is of {:?}", shortened(found)))),
        }
        let day = |text: &str| parse_day(text).ok_or_else(|| no_counts(format!("{:?} is no day", shortened(text))));
        let days = Days::new(day(&self.start)?, day(&self.end)?);
        let within = |days: &Days| days.first() >= asked.first() && days.last() <= asked.last();
        let days = days
            .filter(within)
            .ok_or_else(|| no_counts(format!("its period is {}:{}, and not within {asked}", self.start, self.end)))?;
        let mut counts = vec![None; days.count()];
        let mut free_from = 0;
        for DayCount { day: text, downloads } in &self.downloads {
            let place = days.place(day(text)?).filter(|place| *place >= free_from);
            let place =
                place.ok_or_else(|| no_counts(format!("the day {text} is out of order, or outside of {days}")))?;
            free_from = place + 1;
            if let Some(count) = counts.get_mut(place) {
                *count = Some(*downloads);
            }
        }
        Ok(DownloadCounts { days, counts })
    }
}

/// The members of a response for several packages.
struct Entries(Vec<(String, Option<Series>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of packages")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    if entries.len() == MAX_BULK_NAMES {
                        return Err(A::Error::custom("more packages than a request can name"));
                    }
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn parsed<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(no_counts)
}

const NO_COUNTS: &str = "the response is not one of download counts";

fn no_counts(why: impl fmt::Display) -> Error {
    Error::network(format!("{NO_COUNTS}: {why}"))
}

/// Returns the beginning of a text of a server, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
