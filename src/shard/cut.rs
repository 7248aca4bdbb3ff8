//! The cut of shards anew: writes a shard with the rows that consecutive shards of the same table have in a range of
//! names. The writer produces the bytes of a fresh shard with these rows.
//!
//! A row group is copied undecoded if all of it is in the range and the writer would end it at the same places.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use super::old_rows::OldRows;
use crate::encode::ShardWriter;
use crate::error::{Error, Result};
use crate::lake::{Partition, ShardMeta};
use crate::store::ShardFile;

/// A shard under construction. The shards that it takes rows from come in the order of names.
pub struct ShardCut<W: Write + Send> {
    writer: ShardWriter<W>,
    range: Partition,
    stop: CancellationToken,
}

impl<W: Write + Send> ShardCut<W> {
    /// Makes a shard of the rows with names in `range`. After `stop` is cancelled, it writes nothing more, and each call
    /// fails with [`crate::error::ErrorKind::Interrupted`].
    pub fn new(writer: ShardWriter<W>, range: Partition, stop: CancellationToken) -> Self {
        ShardCut { writer, range, stop }
    }

    /// Appends the rows of a shard. `is_last` says that no rows of another shard follow. Fails as
    /// [`super::ShardReader::open`] does.
    pub fn append(&mut self, file: ShardFile, is_last: bool) -> Result<()> {
        let writer = &mut self.writer;
        let mut rows = OldRows::open(writer.table(), file, writer.schema(), |other| writer.has_written(other))?;
        if let Some(start) = &self.range.start {
            rows.pass_below(start)?;
        }
        loop {
            while let Some(first) = rows.whole_group_below(self.range.end.as_deref(), is_last)? {
                if self.stop.is_cancelled() {
                    return Err(Error::interrupted());
                }
                if !writer.begin_name(&first)? {
                    break;
                }
                match rows.take_group()? {
                    Some(group) => writer.append_group(group)?,
                    None => break,
                }
            }
            if self.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            match rows.take_while(|name| self.range.is_below_end(name))? {
                Some(rows) => writer.write(rows)?,
                None => return Ok(()),
            }
        }
    }

    /// Ends the file.
    pub fn finish(self) -> Result<(W, ShardMeta)> {
        self.writer.finish()
    }
}
