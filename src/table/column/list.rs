//! Columns of lists.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef};

use super::validity::Validity;
use super::{Column, TextColumn};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::table::schema::{command_field, item_field, typed_as};

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

    /// Adds the items of an earlier row to the list of the next row.
    pub(in crate::table) fn repeat_items_of(&mut self, row: usize) {
        if let (Some(&start), Some(&end)) = (self.ends.get(row), self.ends.get(row + 1)) {
            self.items.repeat(start as usize..end as usize);
        }
    }

    /// Pushes what the last row has. There is one.
    #[inline]
    pub(in crate::table) fn repeat_last(&mut self) {
        self.repeat_items_of(self.ends.len() - 2);
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
        // Not as dictionaries, which the encoder does not take within commands.
        self.names.push_new(name);
        self.paths.push_new(path);
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
        let DataType::Struct(fields) = field.data_type().clone() else {
            return Err(Error::internal("the commands' field is no struct"));
        };
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        let commands = StructArray::try_new(fields, vec![self.names.finish()?, self.paths.finish()?], None)
            .or_error(ErrorKind::Internal, || "the names and paths of commands are uneven".to_owned())?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
        let array = ListArray::try_new(field, offsets, Arc::new(commands) as Arc<dyn Array>, self.validity.finish());
        Ok(Arc::new(array.or_error(ErrorKind::Internal, || "a list column is uneven".to_owned())?))
    }
}
