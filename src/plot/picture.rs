//! Draws a chart on a canvas of pixels or of SVG. Not here: the axes (`calendar`, `values`) and the files (`png`).

use std::fmt::Display;
use std::sync::OnceLock;

use jiff::civil::Date;
use plotters::chart::ChartContext;
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::combinators::BindKeyPoints;
use plotters::coord::ranged1d::Ranged;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, RGBAColor, register_font};

use super::calendar::{Tick, span, ticks};
use super::style::{LINES, Line};
use super::values::ValueAxis;
use super::{Chart, Series, printable, wrapped};
use crate::error::{Error, Result};
use crate::npm::day_number;

/// The size of a picture: width and height, in pixels of SVG.
pub(super) const SIZE: (u32, u32) = (960, 540);

/// The family of all texts: every reader of SVG has one. Their widths are measured with the font that PNG takes.
const FAMILY: &str = "sans-serif";
/// The heights of texts, in pixels.
const TITLE: f64 = 20.0;
const TEXT: f64 = 13.0;
/// The height of a line of text, in pixels.
const TEXT_LINE: f64 = 20.0;
/// The distance between the chart and the edges of the picture, in pixels.
const MARGIN: f64 = 24.0;
/// The least distance between the labels of the time axis, in pixels.
const TICK_WIDTH: f64 = 85.0;
/// The least width of the labels of values, in pixels: half of the first label of the time axis is under them.
const LEAST_LABELS_WIDTH: f64 = 28.0;
/// The most letters of a name in the legend: those of most scoped names.
const NAME_LETTERS: usize = 48;
/// The length of the line beside a name in the legend, in pixels.
const SAMPLE: f64 = 36.0;
/// Up to this many points a line has a marker at each of them.
const FEW_POINTS: usize = 40;
/// The number of markers of a longer line that has markers.
const MARKERS: usize = 24;
/// The length of the axis of values for plotters.
const PLACES: i32 = 1_000_000;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const PALE_INK: RGBColor = RGBColor(0x5a, 0x5a, 0x5a);
const GRID: RGBColor = RGBColor(0xe2, 0xe2, 0xe2);

type Drawn<T, Canvas> = Result<T, DrawingAreaErrorKind<<Canvas as DrawingBackend>::ErrorType>>;

/// The measures of a canvas, and how plotters writes texts on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    /// The side of a pixel of SVG, in pixels of the canvas.
    unit: f64,
    /// The size that plotters takes for a text of one em, in em.
    text_size: f64,
    /// How far above its place plotters writes a text, in em.
    text_lift: f64,
}

impl Measures {
    const SVG: Measures = Measures { unit: 1.0, text_size: 1.24, text_lift: 0.0 };

    /// Returns the measures of a canvas of pixels that is `unit` times as wide as [`SIZE`]. The size of a text is there the
    /// distance from the font's highest point to its lowest, and its base line is half of that below its place.
    pub(super) fn of_pixels(unit: u32) -> Measures {
        Measures { unit: f64::from(unit), text_size: 1.164, text_lift: 0.2 }
    }
}

/// Returns the chart as SVG.
pub(super) fn svg(chart: &Chart) -> Result<String> {
    let mut text = String::new();
    draw(chart, SVGBackend::with_string(&mut text, SIZE), Measures::SVG)?;
    Ok(text)
}

/// Draws the chart on a canvas.
pub(super) fn draw<Canvas: DrawingBackend>(chart: &Chart, canvas: Canvas, measures: Measures) -> Result<()> {
    load_font()?;
    Picture { chart, measures }.draw(&canvas.into_drawing_area()).map_err(cannot_draw)
}

fn cannot_draw(cause: impl Display) -> Error {
    Error::internal(format!("the chart cannot be drawn: {cause}"))
}

/// Gives plotters the font, once in a process.
fn load_font() -> Result<()> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let load = || register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular()).is_ok();
    match LOADED.get_or_init(load) {
        true => Ok(()),
        false => Err(cannot_draw("its font cannot be read")),
    }
}

struct Picture<'a> {
    chart: &'a Chart,
    measures: Measures,
}

impl Picture<'_> {
    fn draw<Canvas: DrawingBackend>(&self, area: &DrawingArea<Canvas, Shift>) -> Drawn<(), Canvas> {
        area.fill(&WHITE)?;
        let mut top = MARGIN;
        let room = f64::from(SIZE.0) - 2.0 * MARGIN;
        for (text, height, colour) in [(&self.chart.title, TITLE, INK), (&self.chart.subtitle, TEXT, PALE_INK)] {
            // Letters are narrower than high, most of them by far.
            let most = (room / height) as usize;
            for line in wrapped(text, most, |line| Ok(self.width_of(area, line, height)? <= room))? {
                self.write(area, &line, height, colour, (MARGIN, top))?;
                top += height * 1.5;
            }
        }
        if self.chart.series.len() > 1 {
            top = self.draw_legend(area, top + 6.0)?;
        }
        top += 10.0;
        self.write(area, &self.chart.unit, TEXT, PALE_INK, (MARGIN, top))?;
        self.draw_lines(area, top + TEXT_LINE)?;
        area.present()
    }

    /// Draws the names of the series, each beside its line, in as many rows as they need. Returns the end of the last row.
    fn draw_legend<Canvas: DrawingBackend>(&self, area: &DrawingArea<Canvas, Shift>, top: f64) -> Drawn<f64, Canvas> {
        let (mut left, mut top) = (MARGIN, top);
        for (series, line) in self.chart.series.iter().zip(LINES) {
            let name = series.shown_name(NAME_LETTERS);
            let width = SAMPLE + 8.0 + self.width_of(area, &name, TEXT)?;
            if left > MARGIN && left + width > f64::from(SIZE.0) - MARGIN {
                (left, top) = (MARGIN, top + TEXT_LINE);
            }
            let middle = self.pixels(top + TEXT / 2.0 + 1.0);
            let ends = [(self.pixels(left), middle), (self.pixels(left + SAMPLE), middle)];
            area.draw(&self.path(line, ends.to_vec()))?;
            if line.has_markers {
                area.draw(&self.marker(line, (self.pixels(left + SAMPLE / 2.0), middle)))?;
            }
            self.write(area, &name, TEXT, INK, (left + SAMPLE + 8.0, top))?;
            left += width + 28.0;
        }
        Ok(top + TEXT_LINE)
    }

    /// Draws the axes and the lines of the series, from `top` to the lower edge.
    fn draw_lines<Canvas: DrawingBackend>(&self, area: &DrawingArea<Canvas, Shift>, top: f64) -> Drawn<(), Canvas> {
        let Some((first, last)) = span(self.chart) else { return Ok(()) };
        let values = ValueAxis::new(self.chart.known(), self.chart.is_logarithmic);
        let mut labels_width = LEAST_LABELS_WIDTH;
        for (_, label) in &values.ticks {
            labels_width = labels_width.max(self.width_of(area, label, TEXT)?);
        }
        let room = f64::from(SIZE.0) - 3.0 * MARGIN - labels_width;
        let days = ticks(first, last, (room / TICK_WIDTH) as usize);
        let days_axis = day_number(first)..day_number(last);
        let values_axis = 0..PLACES;
        let plot =
            area.margin(self.pixels(top), self.pixels(MARGIN / 2.0), self.pixels(MARGIN), self.pixels(2.0 * MARGIN));
        let mut plot = ChartBuilder::on(&plot)
            .margin_top(self.pixels(6.0))
            .set_label_area_size(LabelAreaPosition::Left, self.pixels(labels_width + 8.0))
            .set_label_area_size(LabelAreaPosition::Bottom, self.pixels(2.6 * TEXT_LINE))
            .build_cartesian_2d(
                days_axis.with_key_points(days.iter().map(|(day, _)| day_number(*day)).collect()),
                values_axis.with_key_points(values.ticks.iter().map(|(value, _)| place_of(&values, *value)).collect()),
            )?;
        let time = printable(&self.chart.time);
        plot.configure_mesh()
            .bold_line_style(GRID.stroke_width(self.stroke(1.0)))
            .light_line_style(TRANSPARENT)
            .axis_style(PALE_INK.stroke_width(self.stroke(1.0)))
            .set_all_tick_mark_size(self.pixels(5.0))
            .label_style(self.style(TEXT, PALE_INK))
            .axis_desc_style(self.style(TEXT, PALE_INK))
            .x_desc(time)
            .x_label_formatter(&|day| label_of(&days, *day))
            .y_label_formatter(&|_| String::new())
            .disable_x_mesh()
            .draw()?;
        let label_style = self.style(TEXT, PALE_INK).pos(Pos::new(HPos::Right, VPos::Center));
        for (value, label) in &values.ticks {
            let (left, middle) = plot.backend_coord(&(day_number(first), place_of(&values, *value)));
            let place = (f64::from(left) / self.measures.unit - 9.0, f64::from(middle) / self.measures.unit);
            self.write_as(area, label, TEXT, label_style.clone(), place)?;
        }
        for (series, line) in self.chart.series.iter().zip(LINES) {
            self.draw_series(&mut plot, &values, series, line)?;
        }
        Ok(())
    }

    fn draw_series<Canvas, Days, Values>(
        &self,
        plot: &mut ChartContext<'_, Canvas, Cartesian2d<Days, Values>>,
        values: &ValueAxis,
        series: &Series,
        line: Line,
    ) -> Drawn<(), Canvas>
    where
        Canvas: DrawingBackend,
        Days: Ranged<ValueType = i32>,
        Values: Ranged<ValueType = i32>,
    {
        let place = |&(day, value): &(Date, f64)| (day_number(day), place_of(values, value));
        let area = plot.plotting_area();
        let marks_all = series.points.len() <= FEW_POINTS;
        let every = series.points.len().div_ceil(MARKERS);
        for run in series.runs() {
            let (left, top) = area.get_base_pixel();
            let to_area = |(x, y): (i32, i32)| (x - left, y - top);
            let pixels: Vec<(i32, i32)> = run.iter().map(|point| to_area(area.map_coordinate(&place(point)))).collect();
            let area = area.strip_coord_spec();
            if pixels.len() > 1 {
                area.draw(&self.path(line, pixels.clone()))?;
            }
            let is_marked = |at: usize| pixels.len() == 1 || marks_all || (line.has_markers && at % every == every / 2);
            for (_, &pixel) in pixels.iter().enumerate().filter(|&(at, _)| is_marked(at)) {
                area.draw(&self.marker(line, pixel))?;
            }
        }
        Ok(())
    }

    /// Returns a path of the line's colour and dashes.
    fn path<Canvas: DrawingBackend>(
        &self,
        line: Line,
        pixels: Vec<(i32, i32)>,
    ) -> DynElement<'static, Canvas, (i32, i32)> {
        let style = colour_of(line).stroke_width(self.stroke(2.0));
        match line.dashes {
            Some((dash, gap)) => DashedPathElement::new(pixels, self.pixels(dash), self.pixels(gap), style).into_dyn(),
            None => PathElement::new(pixels, style).into_dyn(),
        }
    }

    fn marker<Canvas: DrawingBackend>(&self, line: Line, pixel: (i32, i32)) -> DynElement<'static, Canvas, (i32, i32)> {
        Circle::new(pixel, self.pixels(3.5), colour_of(line).filled()).into_dyn()
    }

    /// Writes a text whose upper left corner is at `place`.
    fn write<Canvas: DrawingBackend>(
        &self,
        area: &DrawingArea<Canvas, Shift>,
        text: &str,
        height: f64,
        colour: RGBColor,
        place: (f64, f64),
    ) -> Drawn<(), Canvas> {
        self.write_as(area, text, height, self.style(height, colour), place)
    }

    /// Writes a text of some style, at `place` as the style says.
    fn write_as<Canvas: DrawingBackend>(
        &self,
        area: &DrawingArea<Canvas, Shift>,
        text: &str,
        height: f64,
        style: TextStyle<'_>,
        place: (f64, f64),
    ) -> Drawn<(), Canvas> {
        let top = place.1 + height * self.measures.text_lift;
        area.draw_text(&printable(text), &style, (self.pixels(place.0), self.pixels(top)))
    }

    /// Returns the width of a text.
    fn width_of<Canvas: DrawingBackend>(
        &self,
        area: &DrawingArea<Canvas, Shift>,
        text: &str,
        height: f64,
    ) -> Drawn<f64, Canvas> {
        let (width, _) = area.estimate_text_size(text, &self.style(height, INK))?;
        Ok(f64::from(width) / self.measures.unit)
    }

    fn style(&self, height: f64, colour: RGBColor) -> TextStyle<'static> {
        (FAMILY, height * self.measures.text_size * self.measures.unit).into_font().color(&colour)
    }

    fn pixels(&self, length: f64) -> i32 {
        (length * self.measures.unit).round() as i32
    }

    fn stroke(&self, width: f64) -> u32 {
        (width * self.measures.unit).round() as u32
    }
}

fn colour_of(line: Line) -> RGBAColor {
    let (red, green, blue) = line.colour;
    RGBColor(red, green, blue).to_rgba()
}

fn place_of(values: &ValueAxis, value: f64) -> i32 {
    (values.place(value) * f64::from(PLACES)).round() as i32
}

fn label_of(ticks: &[Tick], day: i32) -> String {
    let tick = ticks.iter().find(|(tick, _)| day_number(*tick) == day);
    tick.map(|(_, label)| label.clone()).unwrap_or_default()
}
