//! Columns of text, and of bytes that are not text.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use bytes::Bytes;

use super::Column;
use super::validity::Validity;
use crate::error::{Context, ErrorKind, Result};

/// A column of text.
#[derive(Debug)]
pub(in crate::table) struct TextColumn {
    ends: Vec<i32>,
    text: String,
    validity: Validity,
}

impl Default for TextColumn {
    fn default() -> Self {
        TextColumn { ends: vec![0], text: String::new(), validity: Validity::default() }
    }
}

impl TextColumn {
    /// How many rows it has.
    #[inline]
    pub(in crate::table) fn rows(&self) -> usize {
        self.ends.len() - 1
    }

    #[inline]
    fn end_row(&mut self) {
        // `DocumentTables` bounds what a document may add, so that no column reaches 2 GiB.
        self.ends.push(self.text.len() as i32);
    }

    #[inline]
    pub(in crate::table) fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.end_row();
        self.validity.push(true);
    }

    #[inline]
    pub(in crate::table) fn push_null(&mut self) {
        self.end_row();
        self.validity.push(false);
    }

    #[inline]
    pub(in crate::table) fn push_option(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }

    /// Pushes `count` rows of the same value.
    pub(in crate::table) fn push_n(&mut self, value: &str, count: usize) {
        let start = self.text.len();
        let wanted = value.len() * count;
        if count > 0 {
            self.text.reserve(wanted);
            self.text.push_str(value);
        }
        // What is there is copied as a whole, twice as much each time: fewer and longer copies than one a row.
        while self.text.len() - start < wanted {
            let more = (self.text.len() - start).min(wanted - (self.text.len() - start));
            self.text.extend_from_within(start..start + more);
        }
        let (start, length) = (start as i32, value.len() as i32);
        self.ends.extend((1..=count as i32).map(|row| start + row * length));
        self.validity.push_n(true, count);
    }

    /// Pushes the rows of `rows` once more.
    pub(in crate::table) fn repeat(&mut self, rows: Range<usize>) {
        let (Some(&first), Some(&last)) = (self.ends.get(rows.start), self.ends.get(rows.end)) else { return };
        let shift = self.text.len() as i32 - first;
        self.text.extend_from_within(first as usize..last as usize);
        let from = self.ends.len();
        self.ends.extend_from_within(rows.start + 1..rows.end + 1);
        for end in self.ends.iter_mut().skip(from) {
            *end += shift;
        }
        self.validity.repeat(rows);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Vec<u8>, Option<NullBuffer>) {
        let rows = self.ends.len();
        let mut ends = Vec::with_capacity(rows);
        ends.push(0);
        let ends = std::mem::replace(&mut self.ends, ends);
        let text_bytes = self.text.len();
        let text = std::mem::replace(&mut self.text, String::with_capacity(text_bytes));
        (OffsetBuffer::new(ScalarBuffer::from(ends)), text.into_bytes(), self.validity.finish())
    }
}

impl Column for TextColumn {
    fn size_bytes(&self) -> usize {
        self.text.len() + self.rows() * size_of::<i32>()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let (offsets, text, nulls) = self.take();
        let array = StringArray::try_new(offsets, text.into(), nulls);
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a text column is not text".to_owned())?))
    }
}

/// A column of one text that is held elsewhere too, and is not copied.
#[derive(Debug)]
pub(in crate::table) struct SharedText {
    text: Bytes,
}

impl SharedText {
    /// Takes valid UTF-8 below 2 GiB.
    pub(in crate::table) fn new(text: Bytes) -> Self {
        SharedText { text }
    }
}

impl Column for SharedText {
    fn size_bytes(&self) -> usize {
        self.text.len()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let text = std::mem::take(&mut self.text);
        let array = StringArray::try_new(OffsetBuffer::from_lengths([text.len()]), text.into(), None);
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a document is not text".to_owned())?))
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
