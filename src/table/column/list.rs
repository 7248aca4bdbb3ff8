//! Columns of lists.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};

use super::validity::Validity;
use super::{Column, TextColumn};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::table::arrow_types::{command_field, item_field, typed_as};

/// A column of lists of text.
#[derive(Debug)]
pub(in crate::table) struct TextListColumn {
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
    pub(in crate::table) fn push_item(&mut self, item: &str) {
        self.items.push(item);
    }

    /// Returns the items of the last row.
    pub(in crate::table) fn last_items(&self) -> Range<usize> {
        last_range(&self.ends)
    }

    /// Adds an item that is probably among the next few of `like`, and moves `like` past it.
    #[inline]
    pub(in crate::table) fn push_item_like(&mut self, like: &mut Range<usize>, item: &str) {
        /// The number of items to look at: two lists of much the same items have few new or missing ones between them.
        const LOOK: usize = 8;
        self.items.push_among(like, LOOK, item);
    }

    /// Pushes the value of the last row. There must be one.
    #[inline]
    pub(in crate::table) fn repeat_last(&mut self) {
        self.items.repeat(self.last_items());
        self.ends.push(self.items.rows() as i32);
        self.validity.push(self.validity.last());
    }

    /// Ends the row: the items so far are its list.
    #[inline]
    pub(in crate::table) fn end_list(&mut self) {
        self.ends.push(self.items.rows() as i32);
        self.validity.push(true);
    }

    /// Ends the row as null.
    #[inline]
    pub(in crate::table) fn push_null(&mut self) {
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
        let items = self.items.finish()?;
        let field = typed_as(&item_field(), &items);
        let array = ListArray::try_new(field, offsets, items, self.validity.finish());
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a list column is uneven".to_owned())?))
    }
}

/// Returns the items of the last list; none before the first.
fn last_range(ends: &[i32]) -> Range<usize> {
    match *ends {
        [.., start, end] => start as usize..end as usize,
        _ => 0..0,
    }
}

/// A column of lists of a version's commands: a name and the path of its file.
#[derive(Debug)]
pub(in crate::table) struct CommandListColumn {
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
    pub(in crate::table) fn push_item(&mut self, name: &str, path: &str) {
        self.names.push(name);
        self.paths.push(path);
    }

    /// Pushes the value of the last row. There must be one.
    pub(in crate::table) fn repeat_last(&mut self) {
        let last = last_range(&self.ends);
        self.names.repeat(last.clone());
        self.paths.repeat(last);
        self.end_row(self.validity.last());
    }

    /// Ends the row: the items so far are its list, or the row is null.
    pub(in crate::table) fn end_row(&mut self, is_valid: bool) {
        self.ends.push(self.names.rows() as i32);
        self.validity.push(is_valid);
    }
}

impl Column for CommandListColumn {
    fn size_bytes(&self) -> usize {
        self.names.size_bytes() + self.paths.size_bytes() + (self.ends.len() - 1) * size_of::<i32>()
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let field: FieldRef = command_field();
        let DataType::Struct(fields) = field.data_type() else {
            return Err(Error::internal("the commands' field is no struct"));
        };
        let parts = vec![self.names.finish()?, self.paths.finish()?];
        let fields: Fields = fields.iter().zip(&parts).map(|(field, part)| typed_as(field, part)).collect();
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let commands = StructArray::try_new(fields, parts, None)
            .or_error(ErrorKind::Internal, || "the names and paths of commands are uneven".to_owned())?;
        let commands: ArrayRef = Arc::new(commands);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let field = typed_as(&field, &commands);
        let array = ListArray::try_new(field, offsets, commands, self.validity.finish());
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a list column is uneven".to_owned())?))
    }
}
