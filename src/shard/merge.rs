//! The merge of an update, and of a cut. It carries over rows of unchanged names from previous shards, in name order, and
//! inserts the new rows. The result has the rows of a fresh ingest, so the writer produces the same bytes.
//!
//! The merge copies an unchanged row group undecoded if the writer would end it at the same places.

use std::collections::VecDeque;
use std::io::Write;

use arrow::array::RecordBatch;
use tokio_util::sync::CancellationToken;

use super::old_rows::{OldRows, partition_point};
use crate::encode::{Names, ShardWriter};
use crate::error::{Error, Result};
use crate::lake::{Partition, ShardMeta};
use crate::store::ShardFile;

/// A shard under construction: new rows come in name order, and old rows come from previous shards, one after the other.
pub struct ShardMerge<W: Write + Send> {
    old: Option<OldRows>,
    /// Whether no previous shard follows that of `old`.
    is_last: bool,
    writer: ShardWriter<W>,
    /// The names of the new shard. Old rows of others are left out.
    range: Partition,
    stop: CancellationToken,
}

impl<W: Write + Send> ShardMerge<W> {
    /// Opens a merge of the rows of the `previous` shard of the same table into `writer`; without a previous shard all
    /// rows are new. After `stop` is cancelled, the merge writes nothing more, and each call fails with
    /// [`crate::error::ErrorKind::Interrupted`]. Fails as [`super::ShardReader::open`] does.
    pub fn open(writer: ShardWriter<W>, previous: Option<ShardFile>, stop: CancellationToken) -> Result<Self> {
        let mut merge = ShardMerge::of_range(writer, Partition::ALL, stop);
        if let Some(previous) = previous {
            merge.append(previous, true)?;
        }
        Ok(merge)
    }

    /// Makes a shard of the names in `range`, without a previous shard so far. `stop` is as in [`ShardMerge::open`].
    pub fn of_range(writer: ShardWriter<W>, range: Partition, stop: CancellationToken) -> Self {
        ShardMerge { old: None, is_last: true, writer, range, stop }
    }

    /// Adds a previous shard, whose names come after those of the one before. That one's rows are carried over first.
    /// `is_last` says that no other follows. Fails as [`super::ShardReader::open`] does.
    pub fn append(&mut self, previous: ShardFile, is_last: bool) -> Result<()> {
        self.carry_below(None)?;
        let writer = &self.writer;
        let mut old = OldRows::open(writer.table(), previous, writer.schema(), |other| writer.has_written(other))?;
        if let Some(start) = &self.range.start {
            old.pass_below(start)?;
        }
        (self.old, self.is_last) = (Some(old), is_last);
        Ok(())
    }

    /// Writes the rows of some names. `names` are all names that this call decides, ascending, with or without rows:
    /// their old rows are dropped. `batches` are their new rows, sorted by the column `name`, in any number of batches.
    /// Calls must follow the order of names. Later calls can have more rows of the last name. The names are below those of
    /// the next previous shard.
    pub fn replace(&mut self, names: &[&str], batches: Vec<RecordBatch>) -> Result<()> {
        let mut new = NewRows { batches: batches.into() };
        // These are more rows of a name that an earlier call decided.
        if let Some(name) = new.first_name()?.filter(|name| names.first().is_none_or(|first| name.as_str() < *first)) {
            self.carry_below(Some(&name))?;
        }
        for name in names {
            // Write all new rows below the next old one together: most names have no old rows before them.
            if !self.old.as_mut().map_or(Ok(false), |old| old.may_have(name, true))? {
                continue;
            }
            while let Some(rows) = new.take_below(name)? {
                self.write(rows)?;
            }
            self.copy_groups_below(Some(name))?;
            // Many names have rows in few tables: leave their row group unread.
            let Some(old) = &mut self.old else { continue };
            if new.first_name()?.as_deref() == Some(*name) || old.has_rows_of(name)? {
                self.carry_below(Some(name))?;
                self.drop_rows_of(name)?;
            }
        }
        new.batches.into_iter().try_for_each(|rows| self.write(rows))
    }

    /// Carries over the rest of the last previous shard and ends the file.
    pub fn finish(mut self) -> Result<(W, ShardMeta)> {
        self.carry_below(None)?;
        self.writer.finish()
    }

    /// Carries over old rows whose name is below `name`; for `None` all old rows of the range.
    fn carry_below(&mut self, name: Option<&str>) -> Result<()> {
        loop {
            self.copy_groups_below(name)?;
            let Some(old) = &mut self.old else { return Ok(()) };
            let end = name.or(self.range.end.as_deref());
            if !end.map_or(Ok(true), |end| old.may_have(end, false))? {
                return Ok(());
            }
            match old.take_while(|name| end.is_none_or(|end| name < end))? {
                Some(rows) => self.write(rows)?,
                None => return Ok(()),
            }
        }
    }

    /// Copies row groups without decoding them, as long as all their names are below `name`, or for `None` in the range, and
    /// a row group of the new shard begins at the same row.
    fn copy_groups_below(&mut self, name: Option<&str>) -> Result<()> {
        let Some(old) = &mut self.old else { return Ok(()) };
        let end = name.or(self.range.end.as_deref());
        while let Some(first) = old.whole_group_below(end, name.is_none() && self.is_last)? {
            if self.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            if !self.writer.begin_name(&first)? {
                return Ok(());
            }
            match old.take_group()? {
                Some(group) => self.writer.append_group(group)?,
                None => return Ok(()),
            }
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
        while old.may_have(name, true)? && old.take_while(|old_name| old_name == name)?.is_some() {}
        Ok(())
    }
}

/// The new rows that are not yet written.
struct NewRows {
    batches: VecDeque<RecordBatch>,
}

impl NewRows {
    /// Returns the name of the next row.
    fn first_name(&self) -> Result<Option<String>> {
        let Some(batch) = self.batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        Ok(Some(names(batch)?.of_row(0).to_owned()))
    }

    /// Takes the leading rows whose name is below `name`, within one batch.
    fn take_below(&mut self, name: &str) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.batches.pop_front() else { return Ok(None) };
        let names = names(&batch)?;
        let count = partition_point(batch.num_rows(), |row| names.of_row(row) < name);
        if count < batch.num_rows() {
            self.batches.push_front(batch.slice(count, batch.num_rows() - count));
        }
        Ok((count > 0).then(|| batch.slice(0, count)))
    }
}

fn names(batch: &RecordBatch) -> Result<Names<'_>> {
    Names::of(batch).ok_or_else(|| Error::internal("new rows have no names"))
}
