//! Takes the rows of some names out of a shard, name by name, to write them into another one.

use arrow::array::RecordBatch;

use super::old_rows::OldRows;
use crate::error::Result;
use crate::store::ShardFile;
use crate::table::{TableKind, schema};

/// The rows of a shard by name, read forwards. A row group without the names that are taken is not decoded.
pub struct NamedRows {
    rows: OldRows,
}

impl NamedRows {
    /// Opens a shard of `kind`. Fails as [`super::ShardReader::open`] does.
    pub fn open(kind: TableKind, file: ShardFile) -> Result<NamedRows> {
        // Rows of an earlier version are adapted to the columns of this one.
        let schema = schema(kind);
        let rows = OldRows::open(kind, file, &schema, |metadata| {
            super::schema_version_of(metadata) == crate::table::schema_version(kind)
        })?;
        Ok(NamedRows { rows })
    }

    /// Returns the rows of a name, in any number of batches. Calls must be in ascending order of names.
    pub fn take(&mut self, name: &str) -> Result<Vec<RecordBatch>> {
        let mut taken = Vec::new();
        if !self.rows.may_have(name, true)? {
            return Ok(taken);
        }
        self.rows.pass_below(name)?;
        while self.rows.may_have(name, true)? {
            match self.rows.take_while(|each| each == name)? {
                Some(rows) => taken.push(rows),
                None => break,
            }
        }
        Ok(taken)
    }
}
