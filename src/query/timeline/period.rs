//! Periods of days: their bounds, and the one that fits a number of days.

use jiff::ToSpan;
use jiff::civil::Date;

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A week from Monday on.
    Week,
    /// A month.
    Month,
}

impl Period {
    /// Returns the name: day, week or month.
    pub fn as_str(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        }
    }

    /// Returns the first day of the period that `day` is in.
    pub fn first_day(self, day: Date) -> Date {
        match self {
            Period::Day => day,
            Period::Week => day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days()),
            Period::Month => day.first_of_month(),
        }
    }

    /// Returns the last day of the period that `day` is in.
    pub fn last_day(self, day: Date) -> Date {
        match self {
            Period::Day => day,
            Period::Week => self.first_day(day).saturating_add(6.days()),
            Period::Month => day.last_of_month(),
        }
    }

    /// Returns the first days of the periods from that of `first` to that of `last`, in order.
    pub(super) fn between(self, first: Date, last: Date) -> Vec<Date> {
        let next = |day: &Date| self.last_day(*day).tomorrow().ok();
        std::iter::successors(Some(self.first_day(first)), next).take_while(|day| *day <= last).collect()
    }
}
