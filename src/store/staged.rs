//! Files that are written and read by threads that may block: new shards on their way in, old ones for a merge.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};

use super::durable::{create_folder, sync_file};
use super::{Backend, Store, local};
use crate::error::{Context, ErrorKind, Result};

/// A staged object under way. Dropped without [`StagedFile::finish`], it is left in staging, where nothing reads it.
pub struct StagedFile {
    target: Target,
    /// Whom the file is ended with.
    store: Store,
    path: String,
}

enum Target {
    Local { file: File, path: PathBuf },
    Memory { bytes: Vec<u8> },
}

impl StagedFile {
    pub(super) fn create(store: &Store, path: &str) -> Result<StagedFile> {
        store.admit(path)?;
        let target = match &store.backend {
            Backend::Local(root) => {
                let path = root.join(path);
                create_folder(root, local::parent(&path))?;
                let file = create_anew(&path).map_err(|error| local::disk_error("write", &path, error))?;
                Target::Local { file, path }
            }
            Backend::Memory(_) => Target::Memory { bytes: Vec::new() },
        };
        Ok(StagedFile { target, store: store.clone(), path: path.to_owned() })
    }

    /// Makes what was written durable. Must not be called from an async task.
    pub fn finish(self) -> Result<()> {
        match self.target {
            Target::Local { file, path } => {
                self.store.admit(&self.path)?;
                sync_file(&file, &path).map_err(|error| local::disk_error("write", &path, error))
            }
            Target::Memory { bytes } => futures::executor::block_on(self.store.put(&self.path, bytes)),
        }
    }
}

/// A new file in the place of one that is there. That one is not written over: a process that stood still while another
/// took its place may still hold it open, and what it writes must not reach the file that the other one commits.
fn create_anew(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

impl Write for StagedFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        if let Some(failure) = self.store.failpoint.is_down() {
            return Err(failure);
        }
        match &mut self.target {
            Target::Local { file, .. } => file.write(buffer),
            Target::Memory { bytes } => bytes.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::Local { file, .. } => file.flush(),
            Target::Memory { .. } => Ok(()),
        }
    }
}

/// A shard that is open for random reads.
#[derive(Debug)]
pub enum ShardFile {
    /// A file.
    Local(File),
    /// A whole object.
    Bytes(Bytes),
}

impl ShardFile {
    /// Another handle on the same shard.
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
    /// How many bytes it has.
    pub fn size_bytes(&self) -> u64 {
        Length::len(self)
    }

    /// The whole object from its beginning, as a stream of bytes.
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
