//! Draws a chart as text: braille letters of 2 × 4 dots. Not here: the axes (`calendar`, `values`).

use std::convert::Infallible;

use console::Style;

use super::calendar::{Tick, span, ticks};
use super::style::LINES;
use super::values::{ValueAxis, number};
use super::{Chart, Series, printable, wrapped};
use crate::npm::day_number;

/// The room that a chart has, and whether it may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// The width in columns.
    pub columns: u16,
    /// Whether escape sequences of colours are understood and wanted.
    pub has_colours: bool,
}

/// The letter without a dot; a bit for each dot is added to it.
const BLANK: u8 = 0;
const BRAILLE: u32 = 0x2800;
/// The bits of the dots of a letter, by row and column.
const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
/// The lines of text of all panels together.
const ROWS: usize = 28;
const LEAST_PANEL_ROWS: usize = 4;
const MOST_PANEL_ROWS: usize = 14;
/// The columns of the widest chart: a line is hard to follow beyond it.
const MOST_COLUMNS: usize = 160;
const LEAST_PLOT_COLUMNS: usize = 10;
/// The columns that a label of the time axis needs, with the distance to the next one.
const TICK_COLUMNS: usize = 14;
/// Below this value a number is shown with decimals.
const FEW: f64 = 100.0;

/// Returns the chart as lines of text.
pub(super) fn text(chart: &Chart, terminal: Terminal) -> String {
    let columns = usize::from(terminal.columns).clamp(LEAST_PLOT_COLUMNS, MOST_COLUMNS);
    let fits = |line: &str| Ok::<_, Infallible>(line.chars().count() <= columns);
    let texts = [&chart.title, &chart.subtitle, &chart.unit].map(|text| wrapped(text, columns, fits));
    let mut lines: Vec<String> = texts.into_iter().flatten().flatten().collect();
    if let Some((first, last)) = span(chart) {
        let values = ValueAxis::new(chart.known(), chart.is_logarithmic);
        let labels_width = values.ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or_default();
        let (first_day, last_day) = (day_number(first), day_number(last));
        let room = Room {
            columns,
            labels_width,
            width: columns.saturating_sub(labels_width + 2).max(LEAST_PLOT_COLUMNS),
            rows: (ROWS / chart.series.len().max(1)).clamp(LEAST_PANEL_ROWS, MOST_PANEL_ROWS),
            days: first_day..last_day,
        };
        for (series, line) in chart.series.iter().zip(LINES) {
            let style = Style::new().color256(line.terminal_colour).force_styling(terminal.has_colours);
            room.draw_panel(series, &values, &style, &mut lines);
        }
        let ticks = ticks(first, last, (room.width / TICK_COLUMNS).max(1));
        room.draw_time(&ticks, &mut lines);
        lines.push(format!("{:labels_width$}  {}", "", printable(&chart.time)));
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The measures that all panels share.
struct Room {
    columns: usize,
    labels_width: usize,
    /// The columns and rows of a plot.
    width: usize,
    rows: usize,
    days: std::ops::Range<i32>,
}

impl Room {
    /// Draws the heading, the labels and the line of one series.
    fn draw_panel(&self, series: &Series, values: &ValueAxis, style: &Style, lines: &mut Vec<String>) {
        lines.push(String::new());
        lines.push(style.apply_to(self.heading(series)).to_string());
        let mut dots = Dots { width: self.width, letters: vec![BLANK; self.width * self.rows] };
        for run in series.runs() {
            let places: Vec<(usize, usize)> = run
                .iter()
                .map(|&(day, value)| (self.dot_column(day_number(day)), self.dot_row(values.place(value))))
                .collect();
            dots.draw(&places);
        }
        let mut labels = vec![None; self.rows];
        // Labels need a row between them.
        let most = self.rows.div_ceil(2).max(2);
        let every = (values.ticks.len() - 1).div_ceil(most - 1).max(1);
        for (value, label) in values.ticks.iter().step_by(every) {
            labels[self.dot_row(values.place(*value)) / DOTS.len()] = Some(label);
        }
        for (letters, label) in dots.letters.chunks(self.width).zip(labels) {
            let end = letters.iter().rposition(|letter| *letter != BLANK).map_or(0, |last| last + 1);
            let row: String =
                letters[..end].iter().filter_map(|dots| char::from_u32(BRAILLE + u32::from(*dots))).collect();
            let (label, edge) = label.map_or(("", '│'), |label| (label.as_str(), '┤'));
            lines.push(format!("{label:>width$} {edge}{}", style.apply_to(row), width = self.labels_width));
        }
    }

    /// Returns the name of a series, with its last and its greatest value.
    fn heading(&self, series: &Series) -> String {
        let known = || series.points.iter().filter_map(|point| point.value);
        let shown = |value: f64| number(value, if value.fract() == 0.0 || value >= FEW { 0 } else { 2 });
        let facts = match (known().next_back(), known().reduce(f64::max)) {
            (Some(last), Some(most)) => format!("  last {}, most {}", shown(last), shown(most)),
            _ => "  no known value".to_owned(),
        };
        let room = self.columns.saturating_sub(facts.chars().count()).max(LEAST_PLOT_COLUMNS);
        format!("{}{facts}", series.shown_name(room))
    }

    /// Draws the axis of time: a line with marks, and the labels under it.
    fn draw_time(&self, ticks: &[Tick], lines: &mut Vec<String>) {
        let mut axis: Vec<char> = vec!['─'; self.width];
        let mut labels = String::new();
        for (day, label) in ticks {
            let column = self.dot_column(day_number(*day)) / 2;
            axis[column] = '┬';
            // The last label ends with the plot.
            let start = column.min(self.width.saturating_sub(label.chars().count()));
            if labels.is_empty() || labels.chars().count() < start {
                labels.extend(std::iter::repeat_n(' ', start.saturating_sub(labels.chars().count())));
                labels.push_str(label);
            }
        }
        let axis: String = axis.into_iter().collect();
        lines.push(format!("{:width$} └{axis}", "", width = self.labels_width));
        lines.push(format!("{:width$}  {labels}", "", width = self.labels_width));
    }

    fn dot_column(&self, day: i32) -> usize {
        let share = f64::from(day - self.days.start) / f64::from(self.days.end - self.days.start);
        (share * (self.width * 2 - 1) as f64).round() as usize
    }

    fn dot_row(&self, place: f64) -> usize {
        ((1.0 - place) * (self.rows * DOTS.len() - 1) as f64).round() as usize
    }
}

/// Dots in rows of braille letters.
struct Dots {
    width: usize,
    letters: Vec<u8>,
}

impl Dots {
    /// Draws straight lines from each place to the next; one dot if there is only one. A place is a column and a row of dots.
    fn draw(&mut self, places: &[(usize, usize)]) {
        for ends in places.windows(2) {
            let [(left, from), (right, to)] = [ends[0], ends[1]];
            let steps = left.abs_diff(right).max(from.abs_diff(to)).max(1);
            let between = |start: usize, end: usize, step: usize| {
                let part = step as f64 / steps as f64;
                (start as f64 + (end as f64 - start as f64) * part).round() as usize
            };
            for step in 0..=steps {
                self.set(between(left, right, step), between(from, to, step));
            }
        }
        if let [(column, row)] = places {
            self.set(*column, *row);
        }
    }

    fn set(&mut self, column: usize, row: usize) {
        let letter = row / DOTS.len() * self.width + column / 2;
        if let Some(letter) = self.letters.get_mut(letter) {
            *letter |= DOTS[row % DOTS.len()][column % 2];
        }
    }
}
