//! Columns of text, and of bytes that are not text.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, DictionaryArray, Int32Array, StringArray, StringViewBuilder};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Int32Type;
use bytes::Bytes;

use super::validity::Validity;
use super::{Column, with_slack};
use crate::error::{Context, ErrorKind, Result};

/// A column of text. It keeps a text that rows repeat once; the array is a dictionary then.
#[derive(Debug)]
pub(in crate::table) struct TextColumn {
    /// The end of each text in `text`; the first is 0.
    ends: Vec<i32>,
    text: String,
    /// The text of each row, by its place; `None` while every row has one of its own.
    places: Option<Vec<i32>>,
    /// The number of rows of the last array.
    likely_rows: usize,
    validity: Validity,
}

impl Default for TextColumn {
    fn default() -> Self {
        TextColumn { ends: vec![0], text: String::new(), places: None, likely_rows: 0, validity: Validity::default() }
    }
}

impl TextColumn {
    /// Returns the number of rows.
    #[inline]
    pub(in crate::table) fn rows(&self) -> usize {
        self.places.as_ref().map_or_else(|| self.text_count(), Vec::len)
    }

    #[inline]
    fn text_count(&self) -> usize {
        self.ends.len() - 1
    }

    /// Returns the place of the text that was added last.
    #[inline]
    fn last_place(&self) -> i32 {
        self.text_count() as i32 - 1
    }

    fn last_text(&self) -> Option<&str> {
        match self.ends.as_slice() {
            [.., start, end] => self.text.get(*start as usize..*end as usize),
            _ => None,
        }
    }

    /// Returns the place of the text of a row.
    #[inline]
    fn place_of(&self, row: usize) -> Option<i32> {
        match &self.places {
            Some(places) => places.get(row).copied(),
            None => (row < self.text_count()).then_some(row as i32),
        }
    }

    /// Returns whether the text of a row is `value`. A row that does not exist has none.
    #[inline]
    fn is_at(&self, row: usize, value: &str) -> bool {
        let Some(place) = self.place_of(row) else { return false };
        match self.ends.get(place as usize..place as usize + 2) {
            Some(&[start, end]) => self.text.get(start as usize..end as usize) == Some(value),
            _ => false,
        }
    }

    /// Returns the places of all rows, which let rows repeat a text.
    #[inline]
    fn places(&mut self) -> &mut Vec<i32> {
        if self.places.is_none() {
            self.give_places();
        }
        self.places.get_or_insert_default()
    }

    #[cold]
    fn give_places(&mut self) {
        let mut places = Vec::with_capacity(self.likely_rows);
        places.extend(0..self.text_count() as i32);
        self.places = Some(places);
    }

    /// Adds a text, but no row yet where rows have places.
    #[inline]
    fn add_text(&mut self, value: &str) {
        self.text.push_str(value);
        // `DocumentTables` bounds the text of a document, so no column reaches 2 GiB.
        self.ends.push(self.text.len() as i32);
    }

    #[inline]
    pub(in crate::table) fn push(&mut self, value: &str) {
        if self.last_text() != Some(value) {
            return self.push_new(value);
        }
        let last = self.last_place();
        self.places().push(last);
        self.validity.push(true);
    }

    /// Pushes a value that probably equals that of an earlier row.
    #[inline]
    pub(in crate::table) fn push_like(&mut self, row: usize, value: &str) {
        match self.is_at(row, value) {
            true => self.push_text_of(row),
            false => self.push_new(value),
        }
    }

    /// Pushes a value that probably equals that of one of the next `look` rows of `like`. Moves `like` past that row
    /// and returns it.
    #[inline]
    pub(in crate::table) fn push_among(&mut self, like: &mut Range<usize>, look: usize, value: &str) -> Option<usize> {
        let found = (like.start..like.end.min(like.start + look)).find(|&row| self.is_at(row, value));
        match found {
            Some(row) => {
                self.push_text_of(row);
                like.start = row + 1;
            }
            None => self.push(value),
        }
        found
    }

    /// Pushes the text of an existing row.
    #[inline]
    fn push_text_of(&mut self, row: usize) {
        let place = self.place_of(row).unwrap_or_default();
        self.places().push(place);
        self.validity.push(true);
    }

    /// Pushes a value without comparing it to the one before it: a long one, or one that is known to differ.
    #[inline]
    pub(in crate::table) fn push_new(&mut self, value: &str) {
        self.add_text(value);
        let place = self.last_place();
        if let Some(places) = &mut self.places {
            places.push(place);
        }
        self.validity.push(true);
    }

    #[inline]
    pub(in crate::table) fn push_null(&mut self) {
        match &mut self.places {
            // Any place is valid for a null.
            Some(places) => places.push(0),
            None => self.add_text(""),
        }
        self.validity.push(false);
    }

    #[inline]
    pub(in crate::table) fn push_option(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }

    /// Pushes a value, if there is one, as [`TextColumn::push_new`] does.
    #[inline]
    pub(in crate::table) fn push_new_option(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.push_new(value),
            None => self.push_null(),
        }
    }

    /// Pushes `count` rows of the same value.
    pub(in crate::table) fn push_n(&mut self, value: &str, count: usize) {
        if count > 0 {
            self.push(value);
            self.repeat_last_n(count - 1);
        }
    }

    /// Pushes `count` rows of a value that probably equals that of an earlier row.
    pub(in crate::table) fn push_n_like(&mut self, row: usize, value: &str, count: usize) {
        if count > 0 {
            self.push_like(row, value);
            self.repeat_last_n(count - 1);
        }
    }

    /// Pushes the text of the last row `count` times.
    fn repeat_last_n(&mut self, count: usize) {
        let place = self.place_of(self.rows() - 1).filter(|_| count > 0);
        if let Some(place) = place {
            let places = self.places();
            places.resize(places.len() + count, place);
            self.validity.push_n(true, count);
        }
    }

    /// Pushes the value of the last row. There must be one.
    #[inline]
    pub(in crate::table) fn repeat_last(&mut self) {
        if self.places.is_none() && !self.validity.last() {
            return self.push_null();
        }
        let place = self.place_of(self.rows() - 1).unwrap_or_default();
        self.places().push(place);
        self.validity.push(self.validity.last());
    }

    /// Pushes the rows of `rows` again.
    pub(in crate::table) fn repeat(&mut self, rows: Range<usize>) {
        if rows.end > self.rows() || rows.is_empty() {
            return;
        }
        self.places().extend_from_within(rows.clone());
        self.validity.repeat(rows);
    }
}

impl Column for TextColumn {
    fn size_bytes(&self) -> usize {
        self.text.len() + (self.text_count() + self.places.as_ref().map_or(0, Vec::len)) * size_of::<i32>()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        self.likely_rows = with_slack(self.rows());
        let mut ends = Vec::with_capacity(with_slack(self.ends.len()));
        ends.push(0);
        let ends = std::mem::replace(&mut self.ends, ends);
        let text = String::with_capacity(with_slack(self.text.len()));
        let text = std::mem::replace(&mut self.text, text).into_bytes();
        let nulls = self.validity.finish();
        let (nulls, places) = match self.places.take() {
            Some(places) => (None, Some(Int32Array::new(ScalarBuffer::from(places), nulls))),
            None => (nulls, None),
        };
        let texts = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), text.into(), nulls)
            .or_error(ErrorKind::Internal, || "a text column is not text".to_owned())?;
        let Some(places) = places else { return Ok(Arc::new(texts)) };
        let array = DictionaryArray::<Int32Type>::try_new(places, Arc::new(texts));
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a row of a text column has no text".to_owned())?))
    }
}

/// A column of texts that are also held elsewhere, and are not copied.
#[derive(Debug, Default)]
pub(in crate::table) struct SharedTextColumn {
    texts: Vec<Option<Bytes>>,
    size_bytes: usize,
}

impl SharedTextColumn {
    /// Adds valid UTF-8 below 4 GiB, or null.
    pub(in crate::table) fn push(&mut self, text: Option<Bytes>) {
        self.size_bytes += text.as_ref().map_or(0, Bytes::len);
        self.texts.push(text);
    }
}

impl Column for SharedTextColumn {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        self.size_bytes = 0;
        let mut array = StringViewBuilder::with_capacity(self.texts.len());
        for text in self.texts.drain(..) {
            let Some(text) = text else {
                array.append_null();
                continue;
            };
            let size_bytes = text.len() as u32;
            let block = array.append_block(text.into());
            let viewed = array.try_append_view(block, 0, size_bytes);
            viewed.or_error(ErrorKind::Internal, || "a document is not text".to_owned())?;
        }
        Ok(Arc::new(array.finish()))
    }
}

/// A column of bytes that are not text.
#[derive(Debug, Default)]
pub(in crate::table) struct BytesColumn {
    values: Vec<Option<Vec<u8>>>,
}

impl BytesColumn {
    pub(in crate::table) fn push(&mut self, value: Option<&[u8]>) {
        self.values.push(value.map(<[u8]>::to_vec));
    }
}

impl Column for BytesColumn {
    fn size_bytes(&self) -> usize {
        self.values.iter().flatten().map(Vec::len).sum()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let array: BinaryArray = self.values.drain(..).collect();
        Ok(Arc::new(array))
    }
}
