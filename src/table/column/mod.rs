//! Columns under construction. Arrow's own builders lack the two things that make versions cheap: pushing one value
//! many times, and repeating rows that are already there.

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

/// Room for the rows that follow `size` others, which are likely to be about as many, so that they seldom have to move.
fn with_slack(size: usize) -> usize {
    size + size / 4
}

/// What every column can do.
pub(super) trait Column {
    /// Bytes that the rows so far take.
    fn size_bytes(&self) -> usize;
    /// The rows so far as an Arrow array; the column is empty again.
    fn finish(&mut self) -> Result<ArrayRef>;
}

/// A builder by the type of the column that it builds.
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
