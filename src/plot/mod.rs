//! Draws lines over time: as SVG, as PNG, and as text for a terminal. It needs no font of the machine. Not here: the
//! values (`query`), and files (`cli`).

mod calendar;
mod picture;
mod png;
mod style;
mod terminal;
#[cfg(test)]
mod tests;
mod values;

use jiff::civil::Date;

pub use terminal::Terminal;

use crate::error::Result;

/// The most series that one chart can hold: each has a colour and a kind of line of its own.
pub const MOST_SERIES: usize = style::LINES.len();

/// A chart of one or more series over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Its title.
    pub title: String,
    /// The line under the title: where the values come from, and their exact meaning.
    pub subtitle: String,
    /// The unit of the values: `downloads a day`.
    pub unit: String,
    /// The meaning of a point's day: `week, by its first day (UTC)`.
    pub time: String,
    /// Whether the values have a logarithmic axis. Zeros have a place of their own below it.
    pub is_logarithmic: bool,
    /// At most [`MOST_SERIES`] series. With more than one there is a legend.
    pub series: Vec<Series>,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points, in the order of their days.
    pub points: Vec<Point>,
}

/// A day and its value, which is finite and not negative; `None` where it is not known, which leaves a gap in the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The day, or the first day of the period.
    pub day: Date,
    /// The value.
    pub value: Option<f64>,
}

impl Chart {
    /// Returns the chart as an SVG document of 960 × 540 pixels, whose texts are in the reader's sans-serif font.
    ///
    /// Fails with [`crate::error::ErrorKind::Internal`] if it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        picture::svg(self)
    }

    /// Returns the chart as a PNG file of 1,920 × 1,080 pixels.
    ///
    /// Fails with [`crate::error::ErrorKind::Internal`] if it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>> {
        png::png(self)
    }

    /// Returns the chart as lines of text. Each series has a panel of its own, and all have the same axes.
    pub fn text(&self, terminal: Terminal) -> String {
        terminal::text(self, terminal)
    }

    /// Returns the known values.
    fn known(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|series| &series.points).filter_map(|point| point.value)
    }
}

impl Series {
    /// Returns the runs of known points, each without a gap.
    fn runs(&self) -> Vec<Vec<(Date, f64)>> {
        let runs = self.points.split(|point| point.value.is_none());
        let known = |run: &[Point]| run.iter().filter_map(|point| Some((point.day, point.value?))).collect();
        runs.filter(|run| !run.is_empty()).map(known).collect()
    }

    /// Returns its name as it can be shown: without control characters, and not longer than `most` letters.
    fn shown_name(&self, most: usize) -> String {
        shortened(&printable(&self.name), most)
    }
}

/// Replaces control characters, which would move a cursor and are no characters of XML.
fn printable(text: &str) -> String {
    let is_plain = |letter: char| !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|letter| if is_plain(letter) { letter } else { '\u{fffd}' }).collect()
}

/// Leaves out the middle of a text of more than `most` letters.
fn shortened(text: &str, most: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = (kept - kept / 2, kept / 2);
    letters[..head].iter().chain(['…'].iter()).chain(&letters[letters.len() - tail..]).collect()
}

/// Breaks a text between words into lines that fit. A word of more than `most` letters is shortened.
fn wrapped<E>(text: &str, most: usize, fits: impl Fn(&str) -> Result<bool, E>) -> Result<Vec<String>, E> {
    let mut lines: Vec<String> = Vec::new();
    for word in printable(text).split(' ') {
        let word = shortened(word, most);
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match (lines.last_mut(), longer) {
            (Some(line), Some(longer)) if fits(&longer)? => *line = longer,
            _ => lines.push(word),
        }
    }
    Ok(lines)
}
