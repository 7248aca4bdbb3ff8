//! Tiers: how often the counts of a package are asked for, by how often it is downloaded.
//!
//! Pure. Not here: which days are asked for (`plan`).

use crate::error::{Error, Result};

/// The periods that a tier can have, and their days.
const PERIODS: [(&str, i64); 4] = [("daily", 1), ("weekly", 7), ("monthly", 30), ("yearly", 365)];

const HINT: &str = "give periods from the shortest to the longest with their numbers of packages, as daily=10000,weekly=200000,monthly=rest";

/// Packages that are asked for once in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tier {
    /// The days from one request to the next.
    period_days: i64,
    /// How many packages are in it; `None` for all that are left.
    packages: Option<u32>,
}

/// The tiers of a run: the most downloaded packages are in the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

impl Tiers {
    /// The text of the default tiers. [`Tiers::default`] says why they are these.
    pub const DEFAULT: &str = "daily=10000,weekly=200000,monthly=rest";

    /// Parses tiers as a user writes them: `daily=10000,weekly=200000,monthly=rest`.
    ///
    /// Fails, of kind Input, for another text.
    pub fn parse(text: &str) -> Result<Tiers> {
        let wrong = |why: String| Error::input(format!("the tiers {text:?} are not understood: {why}")).hint(HINT);
        let mut tiers: Vec<Tier> = Vec::new();
        for part in text.split(',') {
            let (name, packages) = part.trim().split_once('=').ok_or_else(|| wrong(format!("{part:?} has no =")))?;
            let period = PERIODS.iter().find(|(period, _)| *period == name.trim());
            let (_, period_days) = *period.ok_or_else(|| wrong(format!("there is no period {name:?}")))?;
            let packages = match packages.trim() {
                "rest" => None,
                number => Some(number.parse().map_err(|_| wrong(format!("{number:?} is no number of packages")))?),
            };
            match tiers.last() {
                Some(Tier { packages: None, .. }) => return Err(wrong("nothing is left after the rest".to_owned())),
                Some(before) if before.period_days >= period_days => {
                    return Err(wrong(format!("{name} is not longer than the period before it")));
                }
                _ => tiers.push(Tier { period_days, packages }),
            }
        }
        Ok(Tiers(tiers))
    }

    /// Returns one tier that is asked for in every run.
    pub(super) fn every_run(packages: Option<u32>) -> Tiers {
        Tiers(vec![Tier { period_days: 1, packages }])
    }

    /// Returns how many tiers there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the days from one request for a package of a tier to the next.
    pub(super) fn period_days(&self, tier: usize) -> Option<i64> {
        self.0.get(tier).map(|tier| tier.period_days)
    }

    /// Returns the tier of each row, in the order of the rows; `None` for rows that are not asked for.
    ///
    /// Rows with downloads come first, the most downloaded in front. Rows that were never asked for follow: their place on
    /// the axis is the best that is known of them. Rows that have no downloads are the last. `None` in `rows` is a row that
    /// is in no tier.
    pub(super) fn of_rows(&self, rows: &[Option<Standing>]) -> Vec<Option<u8>> {
        let mut order: Vec<(Standing, u32)> =
            (0..).zip(rows).filter_map(|(row, standing)| Some(((*standing)?, row))).collect();
        // Equal ones stay in the order of their rows.
        order.sort_by_key(|(standing, _)| *standing);
        let mut tiers = vec![None; rows.len()];
        let mut left = order.into_iter();
        for (number, tier) in (0..).zip(&self.0) {
            let packages = tier.packages.map_or(usize::MAX, |packages| packages as usize);
            for (_, row) in left.by_ref().take(packages) {
                tiers[row as usize] = Some(number);
            }
        }
        tiers
    }
}

impl Default for Tiers {
    /// Returns tiers that fit the budget of 4 million requests to a host in a month, even if every package of the first
    /// two tiers has a scope and so costs a request of its own: 10,000 × 31 days, 200,000 × 31/7, and once the rest of 4.4
    /// million, of which 2 million have a scope at most (npm-facts F.5) and 2.4 million share requests by 128. That is
    /// 310,000 + 886,000 + 2,019,000 = 3.2 million. At one request a second a month has 2.7 million; so the tail of the
    /// rest may come late. It loses nothing: one request has up to 547 days.
    fn default() -> Tiers {
        let tier = |period_days, packages| Tier { period_days, packages };
        Tiers(vec![tier(1, Some(10_000)), tier(7, Some(200_000)), tier(30, None)])
    }
}

/// The key by which rows are sorted into the tiers. The least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It has recent downloads: this number, subtracted from the greatest.
    Downloaded(std::cmp::Reverse<u64>),
    /// It was never asked for.
    New,
    /// It was asked for, and has no recent downloads.
    Idle,
}

impl Standing {
    /// Returns the standing of a row with this sum of recent downloads.
    pub(super) fn of(recent_downloads: u64, was_asked_for: bool) -> Standing {
        match recent_downloads {
            0 if was_asked_for => Standing::Idle,
            0 => Standing::New,
            downloads => Standing::Downloaded(std::cmp::Reverse(downloads)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::npm::MAX_BULK_NAMES;

    #[test]
    fn tiers_are_read_as_they_are_written() {
        assert_eq!(Tiers::parse(Tiers::DEFAULT).unwrap(), Tiers::default());
        assert_eq!(Tiers::parse(" weekly = rest ").unwrap(), Tiers(vec![Tier { period_days: 7, packages: None }]));
        for text in [
            "",
            "daily",
            "daily=",
            "hourly=1",
            "daily=-1",
            "daily=1,daily=2",
            "weekly=1,daily=rest",
            "daily=rest,weekly=1",
            "daily=1,",
        ] {
            let error = Tiers::parse(text).unwrap_err();
            assert_eq!((error.kind(), error.hint_text()), (ErrorKind::Input, Some(HINT)), "{text}");
        }
    }

    #[test]
    fn the_most_downloaded_are_in_the_first_tier_and_new_ones_before_idle_ones() {
        let tiers = Tiers::parse("daily=2,weekly=2,monthly=1").unwrap();
        let standing = |downloads, asked| Some(Standing::of(downloads, asked));
        let rows = [
            standing(0, true),
            standing(5, true),
            None,
            standing(0, false),
            standing(9, true),
            standing(5, true),
            standing(0, false),
        ];
        assert_eq!(tiers.of_rows(&rows), [None, Some(0), None, Some(1), Some(0), Some(1), Some(2)]);
        assert_eq!(tiers.of_rows(&[]), []);
        assert_eq!(Tiers::every_run(None).of_rows(&rows[..3]), [Some(0), Some(0), None]);
    }

    #[test]
    fn the_default_tiers_fit_the_budget_of_a_month() {
        let (names, scoped, budget): (u32, u32, u32) = (4_400_000, 2_000_000, 4_000_000);
        let requests: u32 = Tiers::default()
            .0
            .iter()
            .map(|tier| match tier.packages {
                Some(packages) => packages * 31 / tier.period_days as u32,
                None => scoped + (names - scoped).div_ceil(MAX_BULK_NAMES as u32),
            })
            .sum();
        assert!((3_100_000..3_300_000).contains(&requests) && requests < budget, "{requests}");
    }
}
