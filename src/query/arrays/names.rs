//! Names of packages with their rows in the arrays.

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::Int32Type;
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, internal_datafusion_err};

/// Some names, in the order of their rows.
#[derive(Debug)]
pub(super) struct Names {
    rows: Vec<u32>,
    names: StringViewArray,
}

impl Names {
    /// Makes it of batches with the columns `name` and `row`, in any order.
    pub(super) fn of(batches: &[RecordBatch]) -> Result<Names> {
        let mut rows = Vec::new();
        for batch in batches {
            let of_batch = batch.column(1).as_primitive_opt::<Int32Type>();
            let of_batch = of_batch.ok_or_else(|| internal_datafusion_err!("rows of another type"))?;
            rows.extend(of_batch.values().iter().map(|&row| u32::try_from(row).unwrap_or(u32::MAX)));
        }
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_unstable_by_key(|&place| rows[place as usize]);
        let names: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(0).as_ref()).collect();
        if names.is_empty() {
            return Ok(Names { rows, names: StringViewArray::new_null(0) });
        }
        let names = take(&concat(&names)?, &UInt32Array::from(order), None)?;
        rows.sort_unstable();
        let names = names.as_string_view_opt().ok_or_else(|| internal_datafusion_err!("names of another type"))?;
        // The views would keep the pages of the file, which have many other names.
        Ok(Names { rows, names: names.gc() })
    }

    /// Returns the rows, ascending.
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Returns the rows, ascending.
    pub(super) fn into_rows(self) -> Vec<u32> {
        self.rows
    }

    /// Returns the place of a row among those of the names.
    pub(super) fn place(&self, row: u32) -> Option<u32> {
        let is_dense = self.rows.get(row as usize) == Some(&row);
        if is_dense { Some(row) } else { self.rows.binary_search(&row).ok().map(|place| place as u32) }
    }

    /// Returns the names at places.
    pub(super) fn at(&self, places: Vec<u32>) -> Result<ArrayRef> {
        Ok(take(&self.names, &UInt32Array::from(places), None)?)
    }

    /// Returns about how many bytes it holds.
    pub(super) fn size_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u32>() + self.names.get_array_memory_size()
    }
}

/// Makes a column of names.
pub(super) fn column(names: &[String]) -> StringViewArray {
    StringViewArray::from_iter_values(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_rows() {
        let fields = vec![Field::new("name", DataType::Utf8View, false), Field::new("row", DataType::Int32, false)];
        let schema = Arc::new(Schema::new(fields));
        let batch = |names: &[&str], rows: &[i32]| {
            let columns: Vec<ArrayRef> =
                vec![Arc::new(StringViewArray::from_iter_values(names)), Arc::new(Int32Array::from(rows.to_vec()))];
            RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
        };
        let names = Names::of(&[batch(&["a", "b"], &[7, 0]), batch(&[], &[]), batch(&["c"], &[3])]).unwrap();
        assert_eq!(names.rows(), [0, 3, 7]);
        assert_eq!([0, 3, 7, 1].map(|row| names.place(row)), [Some(0), Some(1), Some(2), None]);
        let taken = names.at(vec![2, 0, 2]).unwrap();
        assert_eq!(taken.as_string_view().iter().flatten().collect::<Vec<_>>(), ["a", "b", "a"]);
        assert!(names.size_bytes() > 0 && Names::of(&[]).unwrap().rows().is_empty());
    }
}
