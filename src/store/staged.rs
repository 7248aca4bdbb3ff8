//! Files written and read by threads that may block: new shards on their way in, old ones for a merge.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};

use super::disk::{Disk, disk_error, parent};
use super::{Backend, Store};
use crate::error::{Context, ErrorKind, Result};

/// A staged object being written. Dropped without [`StagedFile::finish`], it stays in staging, where nothing reads it.
pub struct StagedFile {
    target: Target,
}

enum Target {
    Local { disk: Disk, file: File, path: PathBuf },
    Memory { store: Store, path: String, bytes: Vec<u8> },
}

impl StagedFile {
    pub(super) fn create(store: &Store, path: &str) -> Result<StagedFile> {
        let target = match &store.backend {
            Backend::Local(disk) => {
                let path = disk.path(path);
                disk.create_folder(parent(&path))?;
                let file = disk.create_instead(&path).map_err(|error| disk_error("write", &path, error))?;
                Target::Local { disk: disk.clone(), file, path }
            }
            Backend::Memory(_) => Target::Memory { store: store.clone(), path: path.to_owned(), bytes: Vec::new() },
        };
        Ok(StagedFile { target })
    }

    /// Makes the written bytes durable. Must not be called from an async task.
    pub fn finish(self) -> Result<()> {
        match self.target {
            Target::Local { disk, file, path } => {
                disk.sync_file(&file, &path).map_err(|error| disk_error("write", &path, error))
            }
            Target::Memory { store, path, bytes } => store.blocking().put(&path, bytes),
        }
    }
}

impl Write for StagedFile {
    /// Fails with an [`io::Error`] that holds an [`crate::error::Error`], so that its report has a hint.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Target::Local { disk, file, path } => {
                let written = disk.write_all(file, path, buffer);
                written.map_err(|error| io::Error::new(error.kind(), disk_error("write", path, error)))?;
                Ok(buffer.len())
            }
            Target::Memory { bytes, .. } => bytes.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Local { file, .. } => file.flush(),
            Target::Memory { .. } => Ok(()),
        }
    }
}

/// A shard opened for random reads.
#[derive(Debug)]
pub enum ShardFile {
    /// A file.
    Local(File),
    /// A whole object.
    Bytes(Bytes),
}

impl ShardFile {
    /// Returns another handle on the same shard.
    pub fn try_clone(&self) -> Result<ShardFile> {
        match self {
            ShardFile::Local(file) => {
                let file = file.try_clone().or_error(ErrorKind::Lake, || "cannot reopen a shard".to_owned())?;
                Ok(ShardFile::Local(file))
            }
            ShardFile::Bytes(bytes) => Ok(ShardFile::Bytes(bytes.clone())),
        }
    }
}

impl ShardFile {
    /// Returns its size in bytes.
    pub fn size_bytes(&self) -> u64 {
        Length::len(self)
    }

    /// Returns the whole object from its beginning, as a stream of bytes.
    pub fn into_read(self) -> Box<dyn io::Read + Send> {
        match self {
            ShardFile::Local(file) => Box::new(file),
            ShardFile::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
        }
    }
}

impl Length for ShardFile {
    fn len(&self) -> u64 {
        match self {
            ShardFile::Local(file) => Length::len(file),
            ShardFile::Bytes(bytes) => Length::len(bytes),
        }
    }
}

impl ChunkReader for ShardFile {
    type T = Box<dyn io::Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        match self {
            ShardFile::Local(file) => Ok(Box::new(file.get_read(start)?)),
            ShardFile::Bytes(bytes) => Ok(Box::new(bytes.get_read(start)?)),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            ShardFile::Local(file) => file.get_bytes(start, length),
            ShardFile::Bytes(bytes) => bytes.get_bytes(start, length),
        }
    }
}
