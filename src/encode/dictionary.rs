//! The dictionary of a column chunk: each distinct text once, in the order of first appearance.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Memory that each emptied buffer keeps: enough for a page of usual size, not for one huge document.
pub(super) const KEPT_BYTES: usize = 4 << 20;

/// Distinct texts, each with its index.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    /// The texts in the form of a dictionary page: each after its length in four bytes.
    plain: Vec<u8>,
    /// The span of each text in `plain`, without its length.
    spans: Vec<TextSpan>,
    /// A table of the texts by hash: index and span. The span is repeated here to save an access to distant memory.
    places: HashTable<(u32, TextSpan)>,
    hashes: DefaultHashBuilder,
    /// The text of the last look-up.
    last: Option<(u32, TextSpan)>,
}

type TextSpan = (u32, u32);

impl Dictionary {
    /// Returns the index of `text`, and whether it is new.
    #[inline]
    pub(super) fn place_of(&mut self, text: &[u8]) -> (u32, bool) {
        // Consecutive rows often have the same text.
        let Dictionary { plain, spans, places, hashes, last } = self;
        if let Some((place, span)) = *last
            && span_text(plain, span) == Some(text)
        {
            return (place, false);
        }
        let hash = hashes.hash_one(text);
        if let Some(&found) = places.find(hash, |(_, span)| span_text(plain, *span) == Some(text)) {
            *last = Some(found);
            return (found.0, false);
        }
        let place = spans.len() as u32;
        write_plain(text, plain);
        let span = ((plain.len() - text.len()) as u32, plain.len() as u32);
        spans.push(span);
        places.insert_unique(hash, (place, span), |(_, span)| {
            hashes.hash_one(span_text(plain, *span).unwrap_or_default())
        });
        *last = Some((place, span));
        (place, true)
    }

    /// Returns the text at an index.
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&[u8]> {
        span_text(&self.plain, *self.spans.get(place as usize)?)
    }

    /// Returns the number of distinct texts.
    pub(super) fn count(&self) -> u32 {
        self.spans.len() as u32
    }

    /// Returns the body of the dictionary page.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// Empties the dictionary. Keeps its memory, except that of a huge text.
    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.plain.shrink_to(KEPT_BYTES);
        self.spans.clear();
        self.places.clear();
        self.last = None;
    }
}

/// Appends `text` in Parquet's plain encoding.
#[inline]
pub(super) fn write_plain(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

#[inline]
fn span_text(plain: &[u8], (start, end): TextSpan) -> Option<&[u8]> {
    plain.get(start as usize..end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_place_in_the_order_of_appearance() {
        let mut dictionary = Dictionary::default();
        let texts = ["b", "b", "", "a", "", "b"];
        let places = texts.map(|text| dictionary.place_of(text.as_bytes()));
        assert_eq!(places, [(0, true), (0, false), (1, true), (2, true), (1, false), (0, false)]);
        assert_eq!(dictionary.plain(), b"\x01\0\0\0b\0\0\0\0\x01\0\0\0a");
        assert_eq!((dictionary.get(2), dictionary.get(3), dictionary.count()), (Some(&b"a"[..]), None, 3));
        dictionary.clear();
        assert_eq!(dictionary.place_of(b"a"), (0, true));
    }
}
