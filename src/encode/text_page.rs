//! The rows of one page of text under construction, and the page body made from them.

use parquet::schema::types::ColumnDescriptor;

use super::dictionary::{Dictionary, KEPT_BYTES, write_plain};
use super::levels::Levels;
use super::runs;
use super::text_bounds::TextBounds;

/// Space before plain values for the levels of a page without nulls, so that a page of documents need not be copied to
/// put levels before it.
const HEADROOM: usize = 32;

/// The rows of the current page.
#[derive(Default)]
pub(super) struct PageRows {
    pub(super) rows: usize,
    pub(super) nulls: usize,
    pub(super) places: Vec<u32>,
    /// Values in plain encoding, after [`HEADROOM`].
    pub(super) plain: Vec<u8>,
    pub(super) definitions: Levels,
    pub(super) repetitions: Levels,
    pub(super) bounds: Option<TextBounds>,
    /// Kept between pages only to reuse the memory.
    scratch: Vec<u8>,
}

impl PageRows {
    /// Empties the page. Keeps its memory, except unusually large buffers.
    pub(super) fn clear(&mut self) {
        let PageRows { rows, nulls, places, plain, definitions, repetitions, bounds, scratch } = self;
        (*rows, *nulls, *bounds) = (0, 0, None);
        places.clear();
        places.shrink_to(KEPT_BYTES / size_of::<u32>());
        definitions.clear();
        repetitions.clear();
        for bytes in [plain, scratch] {
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES);
        }
    }

    /// Adds a number of nulls.
    pub(super) fn push_nulls(&mut self, count: usize) {
        self.definitions.push(0, count);
        self.nulls += count;
    }

    /// Adds a value in plain encoding.
    #[inline]
    pub(super) fn write_plain(&mut self, text: &[u8]) {
        if self.plain.is_empty() {
            self.plain.resize(HEADROOM, 0);
        }
        write_plain(text, &mut self.plain);
    }

    /// Returns the body of the page: levels, then values. Values with an index are in `dictionary`, if there is one.
    pub(super) fn body(&mut self, descriptor: &ColumnDescriptor, dictionary: Option<&Dictionary>) -> &[u8] {
        let levels = &mut self.scratch;
        levels.clear();
        for (own, greatest) in
            [(&self.repetitions, descriptor.max_rep_level()), (&self.definitions, descriptor.max_def_level())]
        {
            if greatest > 0 {
                own.write(greatest as u32, levels);
            }
        }
        let Some(dictionary) = dictionary else { return behind(levels, &mut self.plain) };
        let width = runs::bit_width(dictionary.count().saturating_sub(1));
        levels.push(width as u8);
        runs::encode(&self.places, width, levels);
        levels
    }
}

/// Returns the values of `plain` after `levels`: uses the space before the values, or appends to `levels` if that is
/// too small.
fn behind<'a>(levels: &'a mut Vec<u8>, plain: &'a mut [u8]) -> &'a [u8] {
    let start = HEADROOM.checked_sub(levels.len()).filter(|start| *start < plain.len());
    if let Some(room) = start.and_then(|start| plain.get_mut(start..HEADROOM)) {
        room.copy_from_slice(levels);
        return plain.get(HEADROOM - levels.len()..).unwrap_or_default();
    }
    levels.extend_from_slice(plain.get(HEADROOM..).unwrap_or_default());
    levels
}

/// Returns the bounds of the texts at the given indexes.
pub(super) fn bounds_of(places: &[u32], dictionary: &Dictionary) -> Option<TextBounds> {
    let mut bounds = None;
    let mut seen = vec![false; dictionary.count() as usize];
    for &place in places {
        if let Some(seen) = seen.get_mut(place as usize).filter(|seen| !**seen) {
            *seen = true;
            TextBounds::include(&mut bounds, dictionary.get(place).unwrap_or_default());
        }
    }
    bounds
}
