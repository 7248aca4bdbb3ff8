//! Points in time as documents write them, as microseconds since 1970. Not here: clocks.

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Returns the microseconds since 1970-01-01T00:00:00Z of an ISO 8601 time with a zone; finer parts are cut off.
///
/// It parses the form that registries write, `2021-02-03T04:05:06.789Z`, by hand: a document has as many of them as
/// versions. It leaves other forms (offsets, a space for the `T`, RFC 2822) to jiff. Returns `None` for anything else.
pub fn parse_micros(text: &str) -> Option<i64> {
    parse_usual(text.as_bytes()).or_else(|| parse_unusual(text))
}

/// Returns the same for a JSON string with its quotes; `None` for any other value.
pub fn parse_quoted_micros(raw: &str) -> Option<i64> {
    if super::json::Kind::of(raw) != super::json::Kind::String {
        return None;
    }
    parse_micros(&super::json::RawString::of(raw).unescape().text)
}

fn parse_usual(text: &[u8]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', ref time @ ..] = text else { return None };
    let &[h1, h2, b':', i1, i2, b':', s1, s2, b'.', f1, f2, f3, b'Z'] = time else { return None };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, i1, i2, s1, s2, f1, f2, f3];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (year, month, day) = (two(y1, y2) * 100 + two(y3, y4), two(m1, m2), two(d1, d2));
    let (hour, minute, second) = (two(h1, h2), two(i1, i2), two(s1, s2));
    let milliseconds = two(f1, f2) * 10 + i64::from(f3 - b'0');
    // A day past its month's end and a leap second are rare enough to leave them to jiff.
    if !(1..=12).contains(&month)
        || !(1..=28).contains(&day) && day > days_in_month(year, month)
        || day == 0
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * SECOND + milliseconds * 1_000)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from 1970-01-01 in the Gregorian calendar, for years from 0 on. It counts a year from March: then
/// the leap day is the last day, and the starts of the months are a straight line cut to whole days.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    before_year + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cold]
fn parse_unusual(text: &str) -> Option<i64> {
    let stamp = text.parse::<jiff::Timestamp>().ok();
    let stamp = stamp.or_else(|| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp()));
    Some(stamp?.as_microsecond())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_form_agrees_with_jiff_on_every_day_of_eight_centuries() {
        let mut day = jiff::civil::date(1600, 1, 1);
        while day.year() < 2401 {
            let text = format!("{day}T23:59:58.987Z");
            let expected = text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
            assert_eq!(parse_usual(text.as_bytes()), Some(expected), "{text}");
            day = day.tomorrow().unwrap();
        }
    }

    #[test]
    fn other_forms_are_the_same_moment() {
        let expected = parse_micros("2011-05-19T00:00:00.000Z");
        assert_eq!(expected, Some(1_305_763_200_000_000));
        for text in ["2011-05-19T00:00:00Z", "2011-05-19T02:00:00.000000+02:00", "Thu, 19 May 2011 00:00:00 +0000"] {
            assert_eq!(parse_micros(text), expected, "{text}");
        }
        assert_eq!(parse_micros("2011-05-19T00:00:00.1234567Z"), Some(1_305_763_200_123_456));
    }

    #[test]
    fn a_text_that_is_not_a_time_is_none() {
        for text in ["", "2011", "2011-05-19", "2011-02-29T00:00:00.000Z", "2011-05-19T24:00:00.000Z", "yesterday"] {
            assert_eq!(parse_micros(text), None, "{text}");
        }
        assert!(parse_micros("2012-02-29T00:00:00.000Z").is_some());
    }
}
