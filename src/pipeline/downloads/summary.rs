//! The summary of a run, and the results that it is made of.

use std::time::Duration;

use jiff::civil::Date;
use serde::{Serialize, Serializer};

use super::requests::Asked;
use crate::pipeline::summary::seconds;

/// The most names that a summary lists for each reason.
const NAMES_LISTED: usize = 20;

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DownloadsSummary {
    /// The origin's name.
    pub origin: String,
    /// The location of the lake.
    pub lake: String,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
    /// The last day that has counts.
    #[serde(serialize_with = "text")]
    pub last_day: Date,
    /// Days since the first one that was asked for on which no package has counts: they stay unknown.
    #[serde(serialize_with = "texts")]
    pub missing_days: Vec<Date>,
    /// The results for names.
    pub names: NameResults,
    /// Packages that no request can name.
    pub unaskable: u64,
    /// Blocks of rows that were left to other processes.
    pub blocks_left: u64,
    /// The processes that worked on them.
    pub others: Vec<String>,
    /// Requests sent, of all kinds.
    pub requests: u64,
    /// The duration of the run, in seconds.
    #[serde(serialize_with = "seconds", rename = "elapsed_seconds")]
    pub elapsed: Duration,
}

/// How many names had which result. A name whose days were asked for in two tasks counts twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NameResults {
    /// Names with counts.
    pub counted: u64,
    /// Names without counts: their cells stay unknown.
    pub unknown: u64,
    /// Names that the host refuses to respond to: their cells stay unknown.
    pub refused: u64,
    /// Names whose requests failed. The next run asks for them again.
    pub failed: u64,
    /// The first refused names, with the server's words.
    pub refused_names: Vec<(String, String)>,
    /// The first failed names, with the reason.
    pub failed_names: Vec<(String, String)>,
}

impl NameResults {
    /// Returns how many names have a result.
    pub fn total(&self) -> u64 {
        self.counted + self.unknown + self.refused + self.failed
    }

    /// Counts a result.
    pub(super) fn note(&mut self, name: &str, result: &Asked) {
        let list = |names: &mut Vec<(String, String)>, why: &str| {
            if names.len() < NAMES_LISTED {
                names.push((name.to_owned(), why.to_owned()));
            }
        };
        match result {
            Asked::Counts(_) => self.counted += 1,
            Asked::Unknown => self.unknown += 1,
            Asked::Refused(said) => {
                self.refused += 1;
                list(&mut self.refused_names, said);
            }
            Asked::Failed(why) => {
                self.failed += 1;
                list(&mut self.failed_names, why);
            }
        }
    }
}

fn text<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

fn texts<S: Serializer>(days: &[Date], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(days.iter().map(Date::to_string))
}
