//! Columns under construction. Arrow's own builders lack two operations that make versions cheap: pushing one value
//! many times, and repeating existing rows.

mod list;
mod plain;
mod text;
mod validity;

use arrow::array::ArrayRef;

use super::spec::ColumnType;
use crate::error::Result;

pub(super) use list::{CommandListColumn, TextListColumn};
pub(super) use plain::{BooleanColumn, NumberColumn, SmallNumberColumn, TimeColumn};
pub(super) use text::{BytesColumn, SharedTextColumn, TextColumn};

/// Returns the capacity for the rows that follow `size` others. They are probably about as many, so they seldom have to
/// move.
fn with_slack(size: usize) -> usize {
    size + size / 4
}

/// The operations of every column.
pub(super) trait Column {
    /// Returns the bytes that the rows so far take.
    fn size_bytes(&self) -> usize;
    /// Returns the rows so far as an Arrow array, and empties the column.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// The builder for each type of column.
pub(super) trait TypedColumn: Column {
    const TYPE: ColumnType;
}

macro_rules! typed {
    ($($builder:ident: $column_type:ident),+ $(,)?) => {
        $(impl TypedColumn for $builder {
            const TYPE: ColumnType = ColumnType::$column_type;
        })+
    };
}

typed! {
    TextColumn: Text,
    SharedTextColumn: Text,
    BytesColumn: Bytes,
    NumberColumn: Number,
    SmallNumberColumn: SmallNumber,
    BooleanColumn: Boolean,
    TimeColumn: Time,
    TextListColumn: TextList,
    CommandListColumn: CommandList,
}
