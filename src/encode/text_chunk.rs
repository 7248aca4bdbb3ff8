//! A column chunk of text under construction: the encoder for columns of text and of lists of texts.
//!
//! The Parquet library's own encoder hashes every value, even if rows repeat each other, as versions usually do. This
//! encoder processes a run of equal rows once, and looks up each value of an Arrow dictionary once. Page boundaries
//! depend only on the rows, not on the form of the batches.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::chunk::ChunkEncoder;
use super::dictionary::Dictionary;
use super::levels::valid_runs;
use super::pages::{ChunkPages, DataPage};
use super::text_bounds::TextBounds;
use super::text_page::{PageRows, bounds_of};
use crate::error::{Context, Error, ErrorKind, Result};

/// A page of lists ends with the row that reaches this number of items.
const PAGE_VALUES: usize = 1 << 20;

/// Marks a value without a dictionary index.
const UNKNOWN: u32 = u32::MAX;

/// The settings of a column, shared by its chunks.
#[derive(Debug)]
struct Settings {
    descriptor: ColumnDescPtr,
    compression: Compression,
    has_statistics: bool,
    has_dictionary: bool,
    /// The number of distinct values that the filter is made for, and its false positive rate.
    filter: Option<(u64, f64)>,
    page_rows: usize,
    page_bytes: usize,
    dictionary_bytes: usize,
    /// The definition level of a value.
    value_level: u8,
}

/// A chunk under construction.
pub(super) struct TextChunk {
    settings: Settings,
    pages: ChunkPages,
    /// The bounds of all pages so far.
    bounds: Option<TextBounds>,
    nulls: u64,
    filter: Option<Sbbf>,
    dictionary: Dictionary,
    /// Whether values are written in plain encoding: from the start, or since the dictionary has grown too large.
    is_plain: bool,
    /// The values of the last Arrow dictionary, and the index of each in ours.
    source: Option<(ArrayRef, Vec<u32>)>,
    page: PageRows,
}

impl TextChunk {
    /// Creates an encoder for a column of `properties`; `None` if the library handles its encoding.
    pub(super) fn new(descriptor: ColumnDescPtr, properties: &WriterProperties) -> Option<TextChunk> {
        let path = descriptor.path();
        let compression = properties.compression(path);
        if properties.encoding(path).is_some() || !matches!(compression, Compression::ZSTD(_)) {
            return None;
        }
        let settings = Settings {
            compression,
            has_statistics: properties.statistics_enabled(path) != EnabledStatistics::None,
            has_dictionary: properties.dictionary_enabled(path),
            filter: properties.bloom_filter_properties(path).map(|filter| (filter.ndv(), filter.fpp())),
            page_rows: properties.data_page_row_count_limit(),
            page_bytes: properties.column_data_page_size_limit(path),
            dictionary_bytes: properties.column_dictionary_page_size_limit(path),
            value_level: u8::try_from(descriptor.max_def_level()).ok()?,
            descriptor,
        };
        Some(TextChunk {
            pages: ChunkPages::new(settings.descriptor.clone(), settings.compression, settings.has_statistics),
            bounds: None,
            nulls: 0,
            filter: None,
            dictionary: Dictionary::default(),
            is_plain: !settings.has_dictionary,
            source: None,
            page: PageRows::default(),
            settings,
        })
    }

    /// Views an array of texts. Remembers the values of a dictionary, because more slices of it are likely to follow.
    fn values(&mut self, array: &ArrayRef) -> Result<Texts> {
        if let Some(texts) = array.as_string_opt::<i32>() {
            return Ok(Texts::Plain(texts.clone()));
        }
        if let Some(views) = array.as_string_view_opt() {
            return Ok(Texts::Views(views.clone()));
        }
        let dictionary = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>();
        let dictionary = dictionary.ok_or_else(|| Error::internal("a column of text is of another type"))?;
        let texts = dictionary.values().as_string_opt::<i32>();
        let texts = texts.ok_or_else(|| Error::internal("a dictionary is not of texts"))?;
        if self.source.as_ref().is_none_or(|(values, _)| !Arc::ptr_eq(values, dictionary.values())) {
            self.source = Some((Arc::clone(dictionary.values()), vec![UNKNOWN; texts.len()]));
        }
        Ok(Texts::Dictionary(texts.clone(), dictionary.clone()))
    }

    /// Adds rows with one value or null each.
    fn write_rows(&mut self, texts: &Texts, array: &dyn Array, compressor: &mut Compressor<'_>) -> Result<()> {
        let mut row = 0;
        while row < array.len() {
            let end = array.len().min(row + self.settings.page_rows - self.page.rows);
            let start = row;
            match array.nulls() {
                None => row = self.write_values(texts, row..end),
                Some(nulls) => row = self.write_nullable(texts, nulls, row..end),
            }
            if array.nulls().is_none() && self.settings.value_level > 0 {
                self.page.definitions.push(1, row - start);
            }
            self.page.rows += row - start;
            self.end_full_page(compressor)?;
        }
        Ok(())
    }

    /// Adds rows until the page is full. Returns the number of rows added. Nulls alone do not fill a page.
    fn write_nullable(&mut self, texts: &Texts, nulls: &NullBuffer, rows: Range<usize>) -> usize {
        let mut at = rows.start;
        for valid in valid_runs(nulls, &rows) {
            self.page.push_nulls(valid.start - at);
            at = self.write_values(texts, valid.clone());
            self.page.definitions.push(1, at - valid.start);
            if self.is_page_full() {
                return at;
            }
        }
        self.page.push_nulls(rows.end - at);
        rows.end
    }

    /// Adds the row of a list.
    fn write_list(&mut self, texts: &Texts, items: Range<usize>, is_null: bool) {
        let page = &mut self.page;
        page.rows += 1;
        page.repetitions.push(0, 1);
        if items.is_empty() || is_null {
            page.nulls += 1;
            page.definitions.push(self.settings.value_level.saturating_sub(1 + u8::from(is_null)), 1);
            return;
        }
        page.repetitions.push(1, items.len() - 1);
        page.definitions.push(self.settings.value_level, items.len());
        // A page cannot end between the items of a list.
        let mut at = items.start;
        while at < items.end {
            at = self.write_values(texts, at..items.end);
            if at < items.end {
                self.write_value(texts, at);
                at += 1;
            }
        }
    }

    /// Adds values until the page is full. Returns the number of values added.
    fn write_values(&mut self, texts: &Texts, values: Range<usize>) -> usize {
        let mut at = values.start;
        loop {
            at += self.copy_known_places(texts, at..values.end);
            if at >= values.end || self.is_page_full() {
                return at;
            }
            self.write_value(texts, at);
            at += 1;
        }
    }

    /// Adds the leading values that already have an index, as nearly all values of a dictionary do. Returns their
    /// number.
    #[inline]
    fn copy_known_places(&mut self, texts: &Texts, values: Range<usize>) -> usize {
        let (Texts::Dictionary(_, dictionary), false, Some((_, places))) = (texts, self.is_plain, &self.source) else {
            return 0;
        };
        let keys = dictionary.keys().values().get(values).unwrap_or_default();
        let place = |key: &i32| places.get(*key as usize).copied().filter(|place| *place != UNKNOWN);
        let before = self.page.places.len();
        self.page.places.extend(keys.iter().map_while(place));
        self.page.places.len() - before
    }

    #[inline]
    fn write_value(&mut self, texts: &Texts, at: usize) {
        match texts {
            Texts::Plain(texts) => drop(self.write_text(texts.value(at).as_bytes())),
            Texts::Views(texts) => drop(self.write_text(texts.value(at).as_bytes())),
            Texts::Dictionary(texts, dictionary) => {
                let Some(&key) = dictionary.keys().values().get(at) else { return };
                let known = self.source.as_ref().and_then(|(_, places)| places.get(key as usize).copied());
                match known.filter(|place| *place != UNKNOWN && !self.is_plain) {
                    Some(place) => self.page.places.push(place),
                    None => {
                        let place = self.write_text(texts.value(key as usize).as_bytes());
                        if let Some(slot) = self.source.as_mut().and_then(|(_, places)| places.get_mut(key as usize)) {
                            *slot = place;
                        }
                    }
                }
            }
        }
    }

    /// Adds a text. Returns its index if the dictionary is in use.
    #[inline]
    fn write_text(&mut self, text: &[u8]) -> u32 {
        if !self.is_plain {
            let (place, is_new) = self.dictionary.place_of(text);
            self.page.places.push(place);
            if is_new {
                self.put_into_filter(text);
            }
            return place;
        }
        self.page.write_plain(text);
        if self.settings.has_statistics {
            TextBounds::include(&mut self.page.bounds, text);
        }
        self.put_into_filter(text);
        UNKNOWN
    }

    fn put_into_filter(&mut self, text: &[u8]) {
        let Some((distinct, false_share)) = self.settings.filter else { return };
        if self.filter.is_none() {
            self.filter = Sbbf::new_with_ndv_fpp(distinct, false_share).ok();
        }
        if let Some(filter) = &mut self.filter {
            filter.insert(text);
        }
    }

    #[inline]
    fn is_page_full(&self) -> bool {
        let page = &self.page;
        page.rows >= self.settings.page_rows
            || page.plain.len() >= self.settings.page_bytes
            || page.places.len() >= PAGE_VALUES
            || (!self.is_plain && self.dictionary.plain().len() > self.settings.dictionary_bytes)
    }

    fn end_full_page(&mut self, compressor: &mut Compressor<'_>) -> Result<()> {
        if self.is_page_full() { self.end_page(compressor) } else { Ok(()) }
    }

    fn end_page(&mut self, compressor: &mut Compressor<'_>) -> Result<()> {
        let page = &mut self.page;
        if page.rows == 0 {
            return Ok(());
        }
        let descriptor = &self.settings.descriptor;
        let dictionary = (!self.is_plain).then_some(&self.dictionary);
        if self.settings.has_statistics
            && let Some(dictionary) = dictionary
        {
            page.bounds = bounds_of(&page.places, dictionary);
        }
        let encoding = if self.is_plain { Encoding::PLAIN } else { Encoding::RLE_DICTIONARY };
        let page_bounds = page.bounds.take();
        let bounds = page_bounds.as_ref().map(|bounds| {
            let (least, greatest) = bounds.short();
            (least.0, greatest.0)
        });
        self.bounds = TextBounds::of_both(self.bounds.take(), page_bounds);
        let (rows, nulls) = (page.rows, page.nulls);
        self.nulls += nulls as u64;
        let value_count = if descriptor.max_def_level() > 0 { page.definitions.count() } else { page.rows };
        let body = page.body(descriptor, dictionary);
        let data = DataPage { body, encoding, rows, values: value_count, nulls, bounds };
        self.pages.append(data, compressor).or_error(ErrorKind::Internal, || "cannot end a page of text".to_owned())?;
        page.clear();
        // There are too many distinct values for a dictionary: write the following values in plain encoding.
        self.is_plain |= self.dictionary.plain().len() > self.settings.dictionary_bytes;
        Ok(())
    }
}

impl ChunkEncoder for TextChunk {
    /// Adds rows: texts, text views, an Arrow dictionary of texts, or lists of one of these without nulls in the lists.
    fn write(&mut self, array: &ArrayRef, compressor: &mut Compressor<'_>) -> Result<()> {
        match array.as_list_opt::<i32>() {
            None => {
                let values = self.values(array)?;
                self.write_rows(&values, array.as_ref(), compressor)
            }
            Some(lists) => {
                let values = self.values(lists.values())?;
                for (row, ends) in lists.value_offsets().windows(2).enumerate() {
                    let [start, end] = *ends else { continue };
                    self.write_list(&values, start as usize..end as usize, lists.is_null(row));
                    self.end_full_page(compressor)?;
                }
                Ok(())
            }
        }
    }

    fn finish(&mut self, compressor: &mut Compressor<'_>) -> Result<(Bytes, ColumnCloseResult)> {
        self.end_page(compressor)?;
        let mut filter = self.filter.take();
        if let (Some(filter), Some((_, false_share))) = (&mut filter, self.settings.filter) {
            filter.fold_to_target_fpp(false_share);
        }
        // Write the dictionary even if every value is null: readers expect the dictionary that pages refer to.
        let body = self.settings.has_dictionary.then(|| (self.dictionary.plain(), self.dictionary.count()));
        let statistics = TextBounds::statistics(self.bounds.take().as_ref(), std::mem::take(&mut self.nulls));
        let ended = self.pages.take().finish(body, filter, statistics, compressor);
        // Keep the memory for the next chunk.
        self.dictionary.clear();
        self.source = None;
        self.is_plain = !self.settings.has_dictionary;
        ended.or_error(ErrorKind::Internal, || "cannot end a column of text".to_owned())
    }
}

/// Texts by row.
enum Texts {
    Plain(StringArray),
    /// The texts, anywhere in memory.
    Views(StringViewArray),
    /// The distinct texts, and the index of each row's text.
    Dictionary(StringArray, DictionaryArray<Int32Type>),
}
