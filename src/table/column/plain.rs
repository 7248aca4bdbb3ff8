//! Columns of numbers, times, and true and false.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};

use super::validity::{Validity, packed};
use super::{Column, with_slack};
use crate::error::Result;

/// A column of whole numbers.
#[derive(Debug, Default)]
pub(in crate::table) struct NumberColumn {
    values: Vec<i64>,
    validity: Validity,
}

impl NumberColumn {
    #[inline]
    pub(in crate::table) fn push(&mut self, value: Option<i64>) {
        self.values.push(value.unwrap_or_default());
        self.validity.push(value.is_some());
    }

    fn take(&mut self) -> (ScalarBuffer<i64>, Option<NullBuffer>) {
        let next = Vec::with_capacity(with_slack(self.values.len()));
        let values = std::mem::replace(&mut self.values, next);
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
pub(in crate::table) struct SmallNumberColumn {
    values: Vec<Option<i32>>,
}

impl SmallNumberColumn {
    pub(in crate::table) fn push(&mut self, value: Option<i32>) {
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
pub(in crate::table) struct TimeColumn(NumberColumn);

impl TimeColumn {
    #[inline]
    pub(in crate::table) fn push(&mut self, micros: Option<i64>) {
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
pub(in crate::table) struct BooleanColumn {
    values: Vec<bool>,
    validity: Validity,
}

impl BooleanColumn {
    #[inline]
    pub(in crate::table) fn push(&mut self, value: Option<bool>) {
        self.values.push(value.unwrap_or_default());
        self.validity.push(value.is_some());
    }

    #[inline]
    pub(in crate::table) fn push_n(&mut self, value: Option<bool>, count: usize) {
        self.values.resize(self.values.len() + count, value.unwrap_or_default());
        self.validity.push_n(value.is_some(), count);
    }

    /// Pushes the rows of `rows` again.
    pub(in crate::table) fn repeat(&mut self, rows: Range<usize>) {
        self.values.extend_from_within(rows.clone());
        self.validity.repeat(rows);
    }
}

impl Column for BooleanColumn {
    fn size_bytes(&self) -> usize {
        self.values.len()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = packed(&self.values);
        self.values.clear();
        Ok(Arc::new(BooleanArray::new(values, self.validity.finish())))
    }
}
