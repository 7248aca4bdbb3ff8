//! The axis of time: its days, and round ticks. Not here: drawing.

use jiff::ToSpan;
use jiff::civil::{Date, date};

use super::Chart;

/// The distances between ticks, from the least on.
const STEPS: [Step; 11] = [
    Step::Days(1),
    Step::Days(2),
    Step::Weeks(1),
    Step::Weeks(2),
    Step::Months(1),
    Step::Months(2),
    Step::Months(3),
    Step::Months(6),
    Step::Years(1),
    Step::Years(2),
    Step::Years(5),
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Days(i16),
    /// From a Monday on.
    Weeks(i16),
    /// From a January on.
    Months(i16),
    Years(i16),
}

/// A tick: its day, and its label.
pub(super) type Tick = (Date, String);

/// Returns the first and the last day of a chart, which differ; `None` for a chart without a point.
pub(super) fn span(chart: &Chart) -> Option<(Date, Date)> {
    let days = || chart.series.iter().flat_map(|series| &series.points).map(|point| point.day);
    let (first, last) = (days().min()?, days().max()?);
    match first == last {
        true => Some((first.saturating_sub(1.day()), last.saturating_add(1.day()))),
        false => Some((first, last)),
    }
}

/// Returns at most `most` ticks from `first` to `last`, and at least one.
pub(super) fn ticks(first: Date, last: Date, most: usize) -> Vec<Tick> {
    let days_of = |&step: &Step| (step, days_of(step, first, last, most));
    let fitting = STEPS.iter().map(days_of).find(|(_, days)| days.len() <= most);
    let (step, days) = fitting.filter(|(_, days)| !days.is_empty()).unwrap_or((Step::Days(1), vec![first]));
    let mut year = None;
    let label = |day: Date| {
        let is_new_year = year.replace(day.year()) != Some(day.year());
        let format = match step {
            Step::Days(_) | Step::Weeks(_) if is_new_year => "%-d %b %Y",
            Step::Days(_) | Step::Weeks(_) => "%-d %b",
            Step::Months(_) if is_new_year => "%b %Y",
            Step::Months(_) => "%b",
            Step::Years(_) => "%Y",
        };
        (day, day.strftime(format).to_string())
    };
    days.into_iter().map(label).collect()
}

/// Returns the days of a step from `first` to `last`, and no more than one too many.
fn days_of(step: Step, first: Date, last: Date, most: usize) -> Vec<Date> {
    let (start, span) = match step {
        Step::Days(days) => (first, days.days()),
        Step::Weeks(weeks) => {
            let monday = first.saturating_sub(i64::from(first.weekday().to_monday_zero_offset()).days());
            (monday, weeks.weeks())
        }
        Step::Months(months) => {
            let month = (first.month() - 1) / months as i8 * months as i8 + 1;
            (date(first.year(), month, 1), months.months())
        }
        Step::Years(years) => (date(first.year().div_euclid(years) * years, 1, 1), years.years()),
    };
    let days = (0..).map_while(|step: i64| start.checked_add(span.checked_mul(step).ok()?).ok());
    days.skip_while(|day| *day < first).take_while(|day| *day <= last).take(most + 1).collect()
}
