//! The merge of an update: rows of unchanged names are carried over from the previous shard, in name order, and the
//! new rows stand between them. The result has the rows of a fresh ingest, so the writer makes the same bytes of it.

use std::collections::VecDeque;
use std::io::Write;

use arrow::array::{ArrayAccessor, AsArray, RecordBatch, StringArray, TypedDictionaryArray};
use arrow::datatypes::Int32Type;
use tokio_util::sync::CancellationToken;

use super::reader::{ShardReader, text_column};
use crate::encode::ShardWriter;
use crate::error::{Error, Result};
use crate::lake::ShardMeta;

/// A shard under way: new rows come in name order, old ones are taken from the previous shard as the names pass.
pub struct ShardMerge<W: Write + Send> {
    old: Option<OldRows>,
    writer: ShardWriter<W>,
    stop: CancellationToken,
}

impl<W: Write + Send> ShardMerge<W> {
    /// Merges into `writer`; without a previous shard all rows are new. Once `stop` is cancelled, nothing more is written,
    /// and each call fails with [`crate::error::ErrorKind::Interrupted`].
    pub fn new(writer: ShardWriter<W>, previous: Option<ShardReader>, stop: CancellationToken) -> Self {
        let old = previous.map(|reader| OldRows { reader, batch: None });
        ShardMerge { old, writer, stop }
    }

    /// Writes the rows of some names. `names` are all names that are decided by this call, ascending, with or without
    /// rows: their old rows are dropped. `batches` are their new rows, sorted by the column `name`, in any number of
    /// batches. Calls come in the order of names.
    pub fn replace(&mut self, names: &[&str], batches: Vec<RecordBatch>) -> Result<()> {
        let mut new = NewRows { batches: batches.into() };
        if self.old.is_some() {
            for name in names {
                // New rows below the next old one go out together: most names have no old rows before them.
                if self.has_old_rows_up_to(name)? {
                    while let Some(rows) = new.take_below(name)? {
                        self.write(rows)?;
                    }
                    self.carry_below(Some(name))?;
                    self.drop_rows_of(name)?;
                }
            }
        }
        new.batches.into_iter().try_for_each(|rows| self.write(rows))
    }

    /// Carries over what is left of the previous shard and ends the file.
    pub fn finish(mut self) -> Result<(W, ShardMeta)> {
        self.carry_below(None)?;
        self.writer.finish()
    }

    /// Whether the next old row's name is not above `name`.
    fn has_old_rows_up_to(&mut self, name: &str) -> Result<bool> {
        let Some(old) = &mut self.old else { return Ok(false) };
        let Some(batch) = old.current()? else { return Ok(false) };
        Ok(text_column(batch, "name")?.value(0) <= name)
    }

    /// Copies old rows whose name is below `name`; all of them for `None`.
    fn carry_below(&mut self, name: Option<&str>) -> Result<()> {
        let is_below = |old_name: &str| name.is_none_or(|name| old_name < name);
        while let Some(rows) = self.old.as_mut().map(|old| old.take_while(is_below)).transpose()?.flatten() {
            self.write(rows)?;
        }
        Ok(())
    }

    fn write(&mut self, rows: RecordBatch) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        self.writer.write(rows)
    }

    fn drop_rows_of(&mut self, name: &str) -> Result<()> {
        let Some(old) = &mut self.old else { return Ok(()) };
        while old.take_while(|old_name| old_name == name)?.is_some() {}
        Ok(())
    }
}

/// The new rows that are not written yet.
struct NewRows {
    batches: VecDeque<RecordBatch>,
}

impl NewRows {
    /// Takes the rows at the front whose name is below `name`, as far as they lie in one batch.
    fn take_below(&mut self, name: &str) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.batches.pop_front() else { return Ok(None) };
        let names = NewNames::of(&batch)?;
        let count = partition_point(batch.num_rows(), |row| names.of_row(row) < name);
        if count < batch.num_rows() {
            self.batches.push_front(batch.slice(count, batch.num_rows() - count));
        }
        Ok((count > 0).then(|| batch.slice(0, count)))
    }
}

/// The names of new rows: one for each row, or a dictionary of them.
enum NewNames<'a> {
    Each(&'a StringArray),
    Repeated(TypedDictionaryArray<'a, Int32Type, StringArray>),
}

impl<'a> NewNames<'a> {
    fn of(batch: &'a RecordBatch) -> Result<NewNames<'a>> {
        let dictionary = batch.column_by_name("name").and_then(|column| column.as_dictionary_opt::<Int32Type>());
        match dictionary.and_then(|names| names.downcast_dict()) {
            Some(names) => Ok(NewNames::Repeated(names)),
            None => text_column(batch, "name").map(NewNames::Each),
        }
    }

    fn of_row(&self, row: usize) -> &'a str {
        match self {
            NewNames::Each(names) => names.value(row),
            NewNames::Repeated(names) => names.value(row),
        }
    }
}

/// The previous shard's rows that have not passed yet.
struct OldRows {
    reader: ShardReader,
    batch: Option<RecordBatch>,
}

impl OldRows {
    /// The rows at hand, never an empty batch; `None` at the end.
    fn current(&mut self) -> Result<Option<&RecordBatch>> {
        while self.batch.as_ref().is_none_or(|batch| batch.num_rows() == 0) {
            match self.reader.next().transpose()? {
                Some(batch) => self.batch = Some(batch),
                None => return Ok(None),
            }
        }
        Ok(self.batch.as_ref())
    }

    /// Takes the rows at the front whose name satisfies `belongs`, as far as they lie in one batch; `None` when the
    /// next row's name does not.
    fn take_while(&mut self, belongs: impl Fn(&str) -> bool) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.current()? else { return Ok(None) };
        let names = text_column(batch, "name")?;
        let count = partition_point(batch.num_rows(), |row| belongs(names.value(row)));
        if count == 0 {
            return Ok(None);
        }
        let taken = batch.slice(0, count);
        self.batch = Some(batch.slice(count, batch.num_rows() - count));
        Ok(Some(taken))
    }
}

/// The first of `rows` rows that does not satisfy `is_before`; rows that do come first.
fn partition_point(rows: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
