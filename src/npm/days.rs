//! Days: a span of calendar days, in UTC as the API of download counts counts them.

use jiff::ToSpan;
use jiff::civil::{Date, date};

/// The days from one to another, both inclusive; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Days {
    first: Date,
    last: Date,
}

impl Days {
    /// Returns the days from `first` to `last`, or `None` if `last` is earlier.
    pub fn new(first: Date, last: Date) -> Option<Days> {
        (first <= last).then_some(Days { first, last })
    }

    /// Returns the first day.
    pub fn first(self) -> Date {
        self.first
    }

    /// Returns the last day.
    pub fn last(self) -> Date {
        self.last
    }

    /// Returns how many days there are.
    pub fn count(self) -> usize {
        usize::try_from(days_between(self.first, self.last)).unwrap_or_default() + 1
    }

    /// Returns the place of a day among these, from 0; `None` for another day.
    pub fn place(self, day: Date) -> Option<usize> {
        let place = usize::try_from(days_between(self.first, day)).ok()?;
        (day <= self.last).then_some(place)
    }

    /// Returns the days one by one.
    pub fn iter(self) -> impl Iterator<Item = Date> {
        (0..)
            .map_while(move |days| Some(day_after(self.first, days)).filter(|day| *day <= self.last))
            .take(self.count())
    }

    /// Cuts the days into spans of at most `longest_days` (at least 1), the latest first. All but the earliest are full.
    pub fn spans(self, longest_days: usize) -> impl Iterator<Item = Days> {
        let longest_days = longest_days.max(1);
        (0..self.count().div_ceil(longest_days)).map(move |place| {
            let days = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            let last = day_after(self.last, -days(place * longest_days));
            Days { first: day_after(last, 1 - days(longest_days)).max(self.first), last }
        })
    }
}

impl std::fmt::Display for Days {
    /// Writes the days as the API takes them: `2026-11-01:2026-11-28`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.first, self.last)
    }
}

/// Returns the number of days from `first` to `last`; negative if `last` is earlier.
pub fn days_between(first: Date, last: Date) -> i64 {
    // Spans of dates are in days alone, unless another unit is asked for.
    i64::from((last - first).get_days())
}

/// Returns the day `days` after another, or before it if negative; the end of the calendar beyond that.
pub fn day_after(day: Date, days: i64) -> Date {
    // A greater number of days than the calendar has is no span.
    const CALENDAR_DAYS: i64 = 7_000_000;
    day.saturating_add(days.clamp(-CALENDAR_DAYS, CALENDAR_DAYS).days())
}

const EPOCH: Date = date(1970, 1, 1);

/// Returns the number of days from 1970-01-01 to a day, as Arrow and CF metadata count them.
pub fn day_number(day: Date) -> i32 {
    (day - EPOCH).get_days()
}

/// Returns the day with a [`day_number`]; the first or the last of the calendar for a number beyond it.
pub fn day_of_number(number: i32) -> Date {
    day_after(EPOCH, number.into())
}

/// Parses a day as the API writes it, `2026-11-28`, and in no other form.
pub fn parse_day(text: &str) -> Option<Date> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let day: Date = if is_plain { text.parse().ok()? } else { return None };
    (day.to_string() == text).then_some(day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_cover_every_day_once(length in 1usize..2_000, longest in 1usize..600) {
            let first = date(2023, 12, 30);
            let days = Days::new(first, day_after(first, length as i64 - 1)).unwrap();
            let mut spans: Vec<Days> = days.spans(longest).collect();
            prop_assert!(spans.iter().all(|span| span.count() <= longest));
            spans.reverse();
            let covered: Vec<Date> = spans.iter().flat_map(|span| span.iter()).collect();
            prop_assert_eq!(covered, days.iter().collect::<Vec<_>>());
            prop_assert_eq!((days.count(), spans.len()), (length, length.div_ceil(longest)));
        }

        #[test]
        fn a_day_is_read_in_one_form(text in "[0-9 -]{8,11}") {
            if let Some(day) = parse_day(&text) {
                prop_assert_eq!(day.to_string(), text);
            }
        }
    }

    #[test]
    fn days_count_from_their_first() {
        let days = Days::new(date(2024, 2, 28), date(2024, 3, 1)).unwrap();
        assert_eq!((days.count(), days.to_string().as_str()), (3, "2024-02-28:2024-03-01"));
        assert_eq!(
            [date(2024, 2, 27), date(2024, 2, 29), date(2024, 3, 2)].map(|day| days.place(day)),
            [None, Some(1), None]
        );
        assert_eq!(Days::new(date(2024, 3, 1), date(2024, 2, 28)), None);
        assert_eq!(parse_day("2024-02-29"), Some(date(2024, 2, 29)));
        for text in ["2023-02-29", "2024-2-29", "20240229--", "2024-02-29T00", "-024-02-29", ""] {
            assert_eq!(parse_day(text), None, "{text}");
        }
        assert_eq!(day_after(Date::MAX, i64::MAX), Date::MAX);
    }

    #[test]
    fn a_day_has_the_number_of_days_since_1970() {
        for (day, number) in [(date(1970, 1, 1), 0), (date(2015, 1, 10), 16_445), (date(1969, 12, 31), -1)] {
            assert_eq!((day_number(day), day_of_number(number)), (number, day));
        }
        assert_eq!((day_of_number(i32::MIN), day_of_number(i32::MAX)), (Date::MIN, Date::MAX));
    }
}
