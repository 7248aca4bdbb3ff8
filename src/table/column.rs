//! Columns under construction. Arrow's own builders lack the two things that make versions cheap: pushing one value
//! many times, and repeating rows that are already there.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, ListArray, StringArray};
use arrow::array::{BinaryArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};

use crate::error::{Context, ErrorKind, Result};

/// Which rows have a value. Costs nothing until the first null.
#[derive(Debug, Default)]
struct Validity {
    rows: usize,
    valid: Option<Vec<bool>>,
}

impl Validity {
    #[inline]
    fn push(&mut self, is_valid: bool) {
        self.push_n(is_valid, 1);
    }

    #[inline]
    fn push_n(&mut self, is_valid: bool, count: usize) {
        match &mut self.valid {
            Some(valid) => valid.resize(valid.len() + count, is_valid),
            None if is_valid => {}
            None => {
                let mut valid = vec![true; self.rows];
                valid.resize(self.rows + count, false);
                self.valid = Some(valid);
            }
        }
        self.rows += count;
    }

    fn repeat(&mut self, rows: Range<usize>) {
        self.rows += rows.len();
        if let Some(valid) = &mut self.valid {
            valid.extend_from_within(rows);
        }
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.rows = 0;
        let valid = self.valid.take()?;
        Some(NullBuffer::new(BooleanBuffer::from(valid)))
    }
}

/// What every column can do.
pub(super) trait Column {
    /// Bytes that the rows so far take.
    fn size_bytes(&self) -> usize;
    /// The rows so far as an Arrow array; the column is empty again.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// A column of text.
#[derive(Debug)]
pub(super) struct TextColumn {
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
    pub(super) fn rows(&self) -> usize {
        self.ends.len() - 1
    }

    #[inline]
    fn end_row(&mut self) {
        // `DocumentTables` bounds what a document may add, so that no column reaches 2 GiB.
        self.ends.push(self.text.len() as i32);
    }

    #[inline]
    pub(super) fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.end_row();
        self.validity.push(true);
    }

    #[inline]
    pub(super) fn push_null(&mut self) {
        self.end_row();
        self.validity.push(false);
    }

    #[inline]
    pub(super) fn push_option(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }

    /// Pushes `count` rows of the same value.
    pub(super) fn push_n(&mut self, value: &str, count: usize) {
        self.text.reserve(value.len() * count);
        self.ends.reserve(count);
        for _ in 0..count {
            self.text.push_str(value);
            self.end_row();
        }
        self.validity.push_n(true, count);
    }

    /// Pushes the rows of `rows` once more.
    pub(super) fn repeat(&mut self, rows: Range<usize>) {
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

/// A column of bytes that are not text.
#[derive(Debug, Default)]
pub(super) struct BytesColumn {
    values: Vec<Option<Vec<u8>>>,
}

impl BytesColumn {
    pub(super) fn push(&mut self, value: Option<&[u8]>) {
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

/// A column of whole numbers.
#[derive(Debug, Default)]
pub(super) struct NumberColumn {
    values: Vec<i64>,
    validity: Validity,
}

impl NumberColumn {
    #[inline]
    pub(super) fn push(&mut self, value: Option<i64>) {
        self.values.push(value.unwrap_or_default());
        self.validity.push(value.is_some());
    }

    fn take(&mut self) -> (ScalarBuffer<i64>, Option<NullBuffer>) {
        let rows = self.values.len();
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(rows));
        (ScalarBuffer::from(values), self.validity.finish())
    }
}

impl Column for NumberColumn {
    fn size_bytes(&self) -> usize {
        self.values.len() * size_of::<i64>()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let (values, nulls) = self.take();
        Ok(Arc::new(Int64Array::new(values, nulls)))
    }
}

/// A column of small whole numbers.
#[derive(Debug, Default)]
pub(super) struct SmallNumberColumn {
    values: Vec<Option<i32>>,
}

impl SmallNumberColumn {
    pub(super) fn push(&mut self, value: Option<i32>) {
        self.values.push(value);
    }
}

impl Column for SmallNumberColumn {
    fn size_bytes(&self) -> usize {
        self.values.len() * size_of::<Option<i32>>()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        Ok(Arc::new(Int32Array::from(std::mem::take(&mut self.values))))
    }
}

/// A column of points in time, as microseconds since 1970 in UTC.
#[derive(Debug, Default)]
pub(super) struct TimeColumn(NumberColumn);

impl TimeColumn {
    #[inline]
    pub(super) fn push(&mut self, micros: Option<i64>) {
        self.0.push(micros);
    }
}

impl Column for TimeColumn {
    fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let (values, nulls) = self.0.take();
        Ok(Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone("UTC")))
    }
}

/// A column of true and false.
#[derive(Debug, Default)]
pub(super) struct BooleanColumn {
    values: Vec<bool>,
    validity: Validity,
}

impl BooleanColumn {
    #[inline]
    pub(super) fn push(&mut self, value: Option<bool>) {
        self.push_n(value, 1);
    }

    #[inline]
    pub(super) fn push_n(&mut self, value: Option<bool>, count: usize) {
        self.values.resize(self.values.len() + count, value.unwrap_or_default());
        self.validity.push_n(value.is_some(), count);
    }

    /// Pushes the rows of `rows` once more.
    pub(super) fn repeat(&mut self, rows: Range<usize>) {
        self.values.extend_from_within(rows.clone());
        self.validity.repeat(rows);
    }
}

impl Column for BooleanColumn {
    fn size_bytes(&self) -> usize {
        self.values.len()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = BooleanBuffer::from(self.values.as_slice());
        self.values.clear();
        Ok(Arc::new(BooleanArray::new(values, self.validity.finish())))
    }
}

/// A column of lists of text.
#[derive(Debug)]
pub(super) struct TextListColumn {
    ends: Vec<i32>,
    items: TextColumn,
    validity: Validity,
}

impl Default for TextListColumn {
    fn default() -> Self {
        TextListColumn { ends: vec![0], items: TextColumn::default(), validity: Validity::default() }
    }
}

impl TextListColumn {
    /// Adds an item to the list of the next row.
    #[inline]
    pub(super) fn push_item(&mut self, item: &str) {
        self.items.push(item);
    }

    /// Adds the items of an earlier row to the list of the next row.
    pub(super) fn repeat_items_of(&mut self, row: usize) {
        if let (Some(&start), Some(&end)) = (self.ends.get(row), self.ends.get(row + 1)) {
            self.items.repeat(start as usize..end as usize);
        }
    }

    /// Ends the row: the items so far are its list.
    #[inline]
    pub(super) fn end_list(&mut self) {
        self.ends.push(self.items.rows() as i32);
        self.validity.push(true);
    }

    /// Ends the row as null.
    #[inline]
    pub(super) fn push_null(&mut self) {
        self.ends.push(self.items.rows() as i32);
        self.validity.push(false);
    }
}

impl Column for TextListColumn {
    fn size_bytes(&self) -> usize {
        self.items.size_bytes() + (self.ends.len() - 1) * size_of::<i32>()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let array =
            ListArray::try_new(super::schema::item_field(), offsets, self.items.finish()?, self.validity.finish());
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a list column is uneven".to_owned())?))
    }
}

/// A column of lists of a version's commands: a name and the path of its file.
#[derive(Debug)]
pub(super) struct CommandListColumn {
    ends: Vec<i32>,
    names: TextColumn,
    paths: TextColumn,
    validity: Validity,
}

impl Default for CommandListColumn {
    fn default() -> Self {
        CommandListColumn {
            ends: vec![0],
            names: TextColumn::default(),
            paths: TextColumn::default(),
            validity: Validity::default(),
        }
    }
}

impl CommandListColumn {
    pub(super) fn push_item(&mut self, name: &str, path: &str) {
        self.names.push(name);
        self.paths.push(path);
    }

    /// Ends the row: the items so far are its list, or the row is null.
    pub(super) fn end_row(&mut self, is_valid: bool) {
        self.ends.push(self.names.rows() as i32);
        self.validity.push(is_valid);
    }
}

impl Column for CommandListColumn {
    fn size_bytes(&self) -> usize {
        self.names.size_bytes() + self.paths.size_bytes() + (self.ends.len() - 1) * size_of::<i32>()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let field: FieldRef = super::schema::command_field();
        let DataType::Struct(fields) = field.data_type().clone() else {
            return Err(crate::error::Error::internal("the commands' field is no struct"));
        };
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let commands = StructArray::try_new(fields, vec![self.names.finish()?, self.paths.finish()?], None)
            .or_error(ErrorKind::Internal, || "the names and paths of commands are uneven".to_owned())?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let array = ListArray::try_new(field, offsets, Arc::new(commands) as Arc<dyn Array>, self.validity.finish());
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a list column is uneven".to_owned())?))
    }
}
