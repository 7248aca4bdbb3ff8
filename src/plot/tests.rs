#![allow(clippy::unwrap_used)]

use std::io::Read;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::calendar::ticks;
use super::values::{ValueAxis, number};
use super::{Chart, Point, Series, Terminal, shortened};

const START: Date = date(2026, 11, 2);

/// A chart of these series, day by day.
fn chart(is_logarithmic: bool, series: &[(&str, &[Option<f64>])]) -> Chart {
    let point = |(day, value): (i64, &Option<f64>)| Point { day: START + day.days(), value: *value };
    let series = series
        .iter()
        .map(|(name, values)| Series { name: (*name).to_owned(), points: (0..).zip(*values).map(point).collect() });
    Chart {
        title: "Title".to_owned(),
        subtitle: "subtitle".to_owned(),
        unit: "downloads a day".to_owned(),
        time: "day (UTC)".to_owned(),
        is_logarithmic,
        series: series.collect(),
    }
}

fn labels(values: &[f64], is_logarithmic: bool) -> Vec<String> {
    let axis = ValueAxis::new(values.iter().copied(), is_logarithmic);
    axis.ticks.into_iter().map(|(_, label)| label).collect()
}

#[test]
fn a_linear_axis_begins_at_zero_and_has_round_steps() {
    assert_eq!(labels(&[3.0, 6_740_527.0], false), ["0", "2,000,000", "4,000,000", "6,000,000", "8,000,000"]);
    assert_eq!(labels(&[0.7, 0.25], false), ["0.0", "0.2", "0.4", "0.6", "0.8"]);
    assert_eq!(labels(&[2.0], false), ["0", "1", "2"], "a number of things has no fractions");
    assert_eq!(labels(&[0.0, 0.0], false), ["0", "1"]);
    assert_eq!(labels(&[], true), ["0", "1"]);
}

#[test]
fn a_logarithmic_axis_has_powers_of_ten_and_a_place_for_zero() {
    assert_eq!(labels(&[3.0, 600_000.0], true), ["1", "10", "100", "1,000", "10,000", "100,000", "1,000,000"]);
    assert_eq!(labels(&[20.0, 60.0], true), ["10", "20", "50", "100"]);
    assert_eq!(labels(&[0.5, 60.0], true), ["0.1", "1", "10", "100"]);
    assert_eq!(labels(&[0.0, 60.0], true), ["0", "10", "20", "50", "100"]);
    assert_eq!(labels(&[0.0], true), ["0", "1"]);
    let axis = ValueAxis::new([0.0, 1.0, 1_000.0].into_iter(), true);
    assert_eq!((axis.place(0.0), axis.place(1_000.0)), (0.0, 1.0));
    assert!(axis.place(1.0) > 0.1 && axis.place(1.0) < axis.place(10.0));
}

#[test]
fn numbers_have_commas_and_long_names_lose_their_middle() {
    assert_eq!([number(0.0, 0), number(999.6, 0), number(1_234_567.0, 0)], ["0", "1,000", "1,234,567"]);
    assert_eq!(number(1_234.5, 2), "1,234.50");
    assert_eq!(shortened("@scope/name", 11), "@scope/name");
    assert_eq!(shortened("@scope/a-long-name", 9), "@sco…name");
}

#[test]
fn ticks_are_on_round_days_and_say_the_year_where_it_changes() {
    let labels = |first, last, most| ticks(first, last, most).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
    assert_eq!(labels(START, date(2026, 11, 5), 8), ["2 Nov 2026", "3 Nov", "4 Nov", "5 Nov"]);
    assert_eq!(labels(date(2026, 12, 20), date(2027, 1, 9), 4), ["21 Dec 2026", "28 Dec", "4 Jan 2027"]);
    assert_eq!(labels(date(2025, 11, 2), date(2026, 11, 2), 5), ["Jan 2026", "Apr", "Jul", "Oct"]);
    assert_eq!(labels(date(2015, 1, 10), date(2026, 11, 2), 7), ["2016", "2018", "2020", "2022", "2024", "2026"]);
    for days in 1..9_000 {
        let last = START + i64::from(days).days();
        let marks = ticks(START, last, 8);
        assert!((1..=8).contains(&marks.len()), "{days} days: {marks:?}");
        assert!(marks.iter().all(|(day, _)| (START..=last).contains(day)), "{days} days: {marks:?}");
    }
}

#[test]
fn a_gap_divides_a_line_and_a_lone_point_is_a_dot() {
    let values = [Some(1.0), Some(2.0), None, Some(3.0), None, Some(4.0), Some(5.0)];
    let svg = chart(false, &[("a", &values)]).svg().unwrap();
    let of_series = |element: &str| {
        svg.lines().filter(|line| line.starts_with(element) && line.contains("#0072B2")).collect::<Vec<_>>().len()
    };
    assert_eq!((of_series("<polyline"), of_series("<circle")), (2, 5));
    // A line of many points has no dots, except for those without a neighbour.
    let mut many = vec![Some(1.0); 100];
    (many[49], many[51]) = (None, None);
    let svg = chart(false, &[("a", &many)]).svg().unwrap();
    assert_eq!(svg.matches("<circle").count(), 1);
}

#[test]
fn names_cannot_change_the_document_or_the_terminal() {
    let values = [Some(1.0), Some(2.0)];
    let chart = chart(false, &[("</text><a href=\"x\">&\u{1b}[31m\u{0}", &values), ("b", &values)]);
    let svg = chart.svg().unwrap();
    assert!(svg.contains("&lt;/text&gt;&lt;a href=") && !svg.contains("</text><a") && !svg.contains("<a "), "{svg}");
    assert!(!svg.contains(['\u{1b}', '\u{0}']));
    assert!(svg.ends_with("</svg>\n"));
    let text = chart.text(Terminal { columns: 80, has_colours: false });
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "{text:?}");
}

#[test]
fn only_a_chart_of_several_series_has_a_legend() {
    let values = [Some(1.0), Some(2.0)];
    let texts =
        |series: &[(&str, &[Option<f64>])]| chart(false, series).svg().unwrap().matches("only-in-legend").count();
    assert_eq!(texts(&[("only-in-legend", &values)]), 0);
    assert_eq!(texts(&[("only-in-legend", &values), ("b", &values)]), 1);
}

#[test]
fn a_terminal_gets_a_panel_for_each_series_with_the_same_axes() {
    let chart =
        chart(false, &[("rising", &[Some(0.0), Some(5.0), Some(10.0)]), ("gap", &[Some(10.0), None, Some(0.0)])]);
    let text = chart.text(Terminal { columns: 30, has_colours: false });
    let expected = include_str!("expected_panels.txt");
    assert_eq!(text, expected, "\n{text}");
    let coloured = chart.text(Terminal { columns: 30, has_colours: true });
    assert_eq!(console::strip_ansi_codes(&coloured), expected);
    assert!(coloured.contains("\u{1b}[38;5;33mrising"));
}

/// The chunks of a PNG file, after their checksums have been checked.
fn chunks(png: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = png.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let checked = &rest[4..8 + length];
        let checksum = u32::from_be_bytes(rest[8 + length..12 + length].try_into().unwrap());
        assert_eq!(libdeflater::crc32(checked), checksum);
        chunks.push((String::from_utf8(checked[..4].to_vec()).unwrap(), checked[4..].to_vec()));
        rest = &rest[12 + length..];
    }
    chunks
}

#[test]
fn a_png_file_has_the_pixels_of_the_chart() {
    let values = [Some(10.0), Some(10.0)];
    let chunks = chunks(&chart(false, &[("a", &values)]).png().unwrap());
    let kinds: Vec<&str> = chunks.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["IHDR", "IDAT", "IEND"]);
    assert_eq!(chunks[0].1, [0, 0, 7, 128, 0, 0, 4, 56, 8, 2, 0, 0, 0], "1,920 × 1,080, 8 bits, RGB");
    let mut filtered = Vec::new();
    flate2::bufread::ZlibDecoder::new(&chunks[1].1[..]).read_to_end(&mut filtered).unwrap();
    let row_bytes = 1 + 1_920 * 3;
    assert_eq!(filtered.len(), row_bytes * 1_080);
    let mut above = vec![0_u8; row_bytes - 1];
    let mut blue = Vec::new();
    for (number, row) in filtered.chunks(row_bytes).enumerate() {
        assert_eq!(row[0], 2);
        above.iter_mut().zip(&row[1..]).for_each(|(above, change)| *above = above.wrapping_add(*change));
        let pixels = above.chunks(3).filter(|pixel| *pixel == [0x00, 0x72, 0xb2]).count();
        if pixels > 1_000 {
            blue.push(number);
        }
        assert!(number > 40 || above.iter().all(|value| *value == 255), "the upper edge is white");
    }
    // The line is at the head of the axis, and two pixels of the chart high.
    assert!((3..=4).contains(&blue.len()) && blue[0] < 300, "{blue:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_chart_can_be_drawn(
        series in prop::collection::vec(("\\PC{0,300}", prop::collection::vec(prop::option::of(0.0..1e12_f64), 0..60)), 0..9),
        is_logarithmic in any::<bool>(),
        columns in 0..300_u16,
    ) {
        let lent: Vec<(&str, &[Option<f64>])> = series.iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
        let chart = chart(is_logarithmic, &lent);
        let svg = chart.svg().unwrap();
        prop_assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        let text = chart.text(Terminal { columns, has_colours: false });
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        prop_assert!(columns < 60 || widest <= usize::from(columns), "{widest} of {columns} columns:\n{text}");
    }
}
