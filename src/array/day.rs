//! Days as the arrays hold them: numbers of days since 1970-01-01, with the CF attributes that say so.

use jiff::civil::{Date, date};
use jiff::{Span, Unit};
use serde_json::{Value, json};

const EPOCH: Date = date(1970, 1, 1);

/// Returns the days from 1970-01-01 to a day.
pub(super) fn number_of(day: Date) -> i32 {
    // The difference of any two dates is less than eight million days.
    EPOCH.until((Unit::Day, day)).map_or(0, |span| span.get_days())
}

/// Returns the day with a number; the last one that a date can be for a number beyond it.
pub(super) fn day_of(number: i32) -> Date {
    EPOCH.saturating_add(Span::new().days(number.clamp(number_of(Date::MIN), number_of(Date::MAX))))
}

/// Returns the attributes that make xarray and other readers of CF metadata turn the numbers into dates.
pub(super) fn attributes(description: &str) -> Value {
    json!({
        "description": description,
        "units": "days since 1970-01-01",
        "calendar": "proleptic_gregorian",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_the_number_of_days_since_1970() {
        for (day, number) in [(date(1970, 1, 1), 0), (date(2015, 1, 10), 16_445), (date(1969, 12, 31), -1)] {
            assert_eq!((number_of(day), day_of(number)), (number, day));
        }
        assert_eq!((day_of(i32::MIN), day_of(i32::MAX)), (Date::MIN, Date::MAX));
    }
}
