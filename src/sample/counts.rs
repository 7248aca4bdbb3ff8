//! The download counts of a world: a function of its seed, a name and a day, with the edits of tests on top.
//!
//! Not here: the responses that show them (`downloads.rs`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};

use super::random::{Random, hash};

/// The first day with counts. npm returns zeros for the days before (npm-facts F.2).
const FIRST_COUNTED_DAY: Date = date(2021, 10, 1);

/// The time over which a package grows or shrinks by its rate.
const YEARS_OF_GROWTH_DAYS: i64 = 5 * 365;

/// Downloads a day of the package of rank 1, and the ranks that packages are drawn from.
const MOST_DOWNLOADS: u64 = 4_000_000;
const RANKS: u64 = 40_000_000;

const COUNT_LABEL: u64 = 0x636f_756e_7473;

/// The counts of a world.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) seed: u64,
    /// The last day that has counts; the day before the request's where none is set.
    pub(super) last_day: Option<Date>,
    /// Days that no response lists.
    pub(super) absent_days: BTreeSet<Date>,
    /// Days for which every count is zero.
    pub(super) zero_days: BTreeSet<Date>,
    /// Counts of single days.
    pub(super) edited: BTreeMap<(Box<str>, Date), u64>,
    /// Names whose counts were removed.
    pub(super) removed: BTreeSet<Box<str>>,
}

impl Counts {
    /// Returns whether a package has counts: one in forty has none, as new packages and some old ones of npm.
    pub(super) fn has(&self, name: &str) -> bool {
        let is_edited = || self.edited.keys().any(|(edited, _)| **edited == *name);
        !self.removed.contains(name) && (!self.character(name).below(40).eq(&0) || is_edited())
    }

    /// Returns whether responses list a day; `today` is the day of the request.
    pub(super) fn lists(&self, day: Date, today: Date) -> bool {
        let last_day = self.last_day.or_else(|| today.yesterday().ok());
        last_day.is_some_and(|last_day| day <= last_day) && !self.absent_days.contains(&day)
    }

    /// Returns the downloads of a package that has counts.
    pub(super) fn of_package(&self, name: &str, day: Date) -> u64 {
        if self.zero_days.contains(&day) {
            return 0;
        }
        if let Some(edited) = self.edited.get(&(name.into(), day)) {
            return *edited;
        }
        if day < FIRST_COUNTED_DAY {
            return 0;
        }
        let mut character = self.character(name);
        character.next();
        let drawn = character.below(1 << 20);
        let rank = 1 + ((u128::from(drawn) * u128::from(drawn) * u128::from(RANKS)) >> 40) as u64;
        let published_after_days = character.below(2_600) as i64 - 900;
        let growth_per_mille = character.between(0, 1_300) as i64 - 400;
        let age_days = days_between(FIRST_COUNTED_DAY, day);
        if age_days < published_after_days {
            return 0;
        }
        let trend = (1_000 + growth_per_mille * age_days / YEARS_OF_GROWTH_DAYS).max(50) as u64;
        let mut chance = Random::new(self.seed ^ age_days as u64, hash(name.to_lowercase().as_bytes()) as u64);
        let noise = chance.between(880, 1_120);
        // In thousands of a thousandth: a package with less than one download a day has one now and then.
        let expected = u128::from(MOST_DOWNLOADS) * u128::from(trend * noise * of_weekday(day)) / u128::from(rank);
        (expected / 1_000_000_000) as u64
            + u64::from((expected % 1_000_000_000) > u128::from(chance.below(1_000_000_000)))
    }

    /// Returns the downloads of the whole registry: of names that a world does not hold, too.
    pub(super) fn of_registry(&self, day: Date) -> u64 {
        if self.zero_days.contains(&day) || day < FIRST_COUNTED_DAY {
            return 0;
        }
        MOST_DOWNLOADS * 10 * of_weekday(day)
            + Random::new(self.seed, hash(day.to_string().as_bytes()) as u64).below(1_000_000)
    }

    /// Returns the stream that the permanent traits of a package are drawn from. Names that differ in case only have the
    /// same counts, as at npm (npm-facts C.2, 52).
    fn character(&self, name: &str) -> Random {
        Random::new(self.seed ^ COUNT_LABEL, hash(name.to_lowercase().as_bytes()) as u64)
    }
}

/// Returns the parts in a thousand of a usual day's downloads.
fn of_weekday(day: Date) -> u64 {
    match day.weekday() {
        Weekday::Saturday | Weekday::Sunday => 600,
        _ => 1_000,
    }
}

/// Returns the days from `first` to `last`; negative if `last` is earlier.
pub(super) fn days_between(first: Date, last: Date) -> i64 {
    i64::from((last - first).get_days())
}

/// Returns the day `days` after another, or the last day of the calendar.
pub(super) fn days_after(day: Date, days: i64) -> Date {
    day.saturating_add(days.days())
}
