//! The least and greatest text of some rows, for statistics.

use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

/// The greatest number of bytes of a text in statistics. Longer texts are cut; a cut upper bound is raised.
const SHOWN_BYTES: usize = 64;

/// The least and the greatest of some texts, ordered by bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextBounds {
    least: Vec<u8>,
    greatest: Vec<u8>,
}

impl TextBounds {
    /// Extends the bounds by one text.
    pub(super) fn include(bounds: &mut Option<TextBounds>, text: &[u8]) {
        match bounds {
            None => *bounds = Some(TextBounds { least: text.to_vec(), greatest: text.to_vec() }),
            Some(bounds) if text < bounds.least.as_slice() => bounds.least = text.to_vec(),
            Some(bounds) if text > bounds.greatest.as_slice() => bounds.greatest = text.to_vec(),
            Some(_) => {}
        }
    }

    /// Returns the bounds of the texts of both.
    pub(super) fn of_both(one: Option<TextBounds>, other: Option<TextBounds>) -> Option<TextBounds> {
        let mut both = one;
        for text in other.iter().flat_map(|other| [&other.least, &other.greatest]) {
            TextBounds::include(&mut both, text);
        }
        both
    }

    /// Returns the statistics of texts within `bounds` (`None` if there are no texts) and the number of `nulls`.
    pub(super) fn statistics(bounds: Option<&TextBounds>, nulls: u64) -> Statistics {
        let short = bounds.map(TextBounds::short);
        let value = |(text, _): &(Vec<u8>, bool)| ByteArray::from(text.clone());
        let is_exact = |bound: Option<&(Vec<u8>, bool)>| bound.is_none_or(|(_, is_exact)| *is_exact);
        let (least, greatest) = short.as_ref().map(|(least, greatest)| (least, greatest)).unzip();
        let values = ValueStatistics::new(least.map(value), greatest.map(value), None, Some(nulls), false);
        Statistics::ByteArray(values.with_min_is_exact(is_exact(least)).with_max_is_exact(is_exact(greatest)))
    }

    /// Returns a short lower and a short upper bound, each with whether it is exact. If no short upper bound exists,
    /// returns the text itself.
    pub(super) fn short(&self) -> ((Vec<u8>, bool), (Vec<u8>, bool)) {
        let cut = |text: &[u8]| -> Option<String> {
            let text = std::str::from_utf8(text).ok().filter(|text| text.len() > SHOWN_BYTES)?;
            text.get(..text.floor_char_boundary(SHOWN_BYTES)).map(str::to_owned)
        };
        let least = cut(&self.least).map(String::into_bytes);
        let greatest = cut(&self.greatest).and_then(raised);
        let shown = |short: Option<Vec<u8>>, whole: &[u8]| match short {
            Some(short) => (short, false),
            None => (whole.to_vec(), true),
        };
        (shown(least, &self.least), shown(greatest, &self.greatest))
    }
}

/// Returns the least text, with no more characters than `start`, that is above every text that begins with `start`.
fn raised(mut start: String) -> Option<Vec<u8>> {
    while let Some(last) = start.pop() {
        // Skips characters of more bytes, and code points that are not valid UTF-8.
        let next = char::from_u32(last as u32 + 1).filter(|next| next.len_utf8() == last.len_utf8());
        if let Some(next) = next {
            start.push(next);
            return Some(start.into_bytes());
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn bounds(texts: &[&str]) -> Option<TextBounds> {
        let mut bounds = None;
        texts.iter().for_each(|text| TextBounds::include(&mut bounds, text.as_bytes()));
        bounds
    }

    #[test]
    fn the_least_and_the_greatest_are_found() {
        let found = bounds(&["b", "a", "é", "c"]).unwrap();
        assert_eq!(found.short(), ((b"a".to_vec(), true), ("é".as_bytes().to_vec(), true)));
        assert_eq!(TextBounds::of_both(bounds(&["a", "b"]), bounds(&["c"])), bounds(&["a", "c"]));
        assert_eq!((bounds(&[]), TextBounds::of_both(None, None)), (None, None));
        assert_eq!(TextBounds::of_both(None, bounds(&["a"])), bounds(&["a"]));
    }

    #[test]
    fn long_texts_are_cut_to_bounds_that_hold() {
        for (text, greatest) in [
            ("a".repeat(100), Some(format!("{}b", "a".repeat(63)))),
            (format!("{}é…", "a".repeat(63)), Some(format!("{}b", "a".repeat(62)))),
            (format!("{}\u{7f}\u{7f}", "a".repeat(63)), Some(format!("{}b", "a".repeat(62)))),
            ("\u{10ffff}".repeat(17), None),
        ] {
            let (least, upper) = bounds(&[&text]).unwrap().short();
            assert!(least.0.as_slice() < text.as_bytes() && !least.1 && least.0.len() <= SHOWN_BYTES);
            assert_eq!(
                (String::from_utf8(upper.0.clone()).unwrap(), upper.1),
                match greatest {
                    Some(greatest) => (greatest, false),
                    None => (text.clone(), true),
                }
            );
            assert!(upper.0.as_slice() >= text.as_bytes());
        }
    }
}
