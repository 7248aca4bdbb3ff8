//! A shard that is open for reading by threads that may block.
//!
//! However often it is cloned, it is one open file, and so one version of the shard: a commit that replaces the file
//! changes nothing here. Reads name their place, so readers of one file do not disturb each other.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use bytes::Bytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};

use super::disk::{Disk, disk_error, open_file};
use super::objects::FarShard;
use crate::error::{Error, Result};

/// A shard opened for random reads. Cheap to clone.
#[derive(Debug, Clone)]
pub enum ShardFile {
    /// A file.
    Local(Arc<LocalShard>),
    /// A whole object.
    Bytes(Bytes),
    /// An object of a bucket, read by ranges.
    Far(Arc<FarShard>),
}

/// An open file.
pub struct LocalShard {
    file: File,
    path: PathBuf,
    size_bytes: u64,
    /// The number of the last error of the system; 0 if there was none. The library that decodes pages reports such an
    /// error as text only.
    last_refusal: AtomicI32,
    #[cfg(test)]
    disk: Disk,
}

impl std::fmt::Debug for LocalShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalShard({})", self.path.display())
    }
}

impl LocalShard {
    /// Opens an object of `disk`; `None` if there is none.
    pub(super) fn open(disk: &Disk, object: &str) -> Result<Option<LocalShard>> {
        let path = disk.path(object);
        #[cfg(test)]
        disk.access(super::Access::Open, &path).map_err(|error| disk_error("read", &path, error))?;
        match open_file(&path).and_then(|file| LocalShard::of_file(disk, file, path.clone())) {
            Ok(shard) => Ok(Some(shard)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk_error("read", &path, error)),
        }
    }

    /// Makes a shard of an open file; `path` is for its errors.
    pub(super) fn of_file(disk: &Disk, file: File, path: PathBuf) -> io::Result<LocalShard> {
        let size_bytes = file.metadata()?.len();
        let _ = disk;
        Ok(LocalShard {
            file,
            path,
            size_bytes,
            last_refusal: AtomicI32::new(0),
            #[cfg(test)]
            disk: disk.clone(),
        })
    }

    /// Reads bytes from a place on; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], place: u64) -> io::Result<usize> {
        #[cfg(test)]
        self.disk.access(super::Access::Read, &self.path).inspect_err(|error| self.note(error))?;
        loop {
            match read_at(&self.file, buffer, place) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.inspect_err(|error| self.note(error)),
            }
        }
    }

    fn note(&self, error: &io::Error) {
        self.last_refusal.store(error.raw_os_error().unwrap_or_default(), Ordering::Relaxed);
    }
}

/// Fills `buffer` with the bytes of a file from a place on. Fails with [`io::ErrorKind::UnexpectedEof`] if it ends
/// before.
pub fn read_exact_at(file: &File, mut buffer: &mut [u8], mut place: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match read_at(file, buffer, place) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = buffer.get_mut(read..).unwrap_or_default();
                place += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, place)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, place)
}

impl ShardFile {
    /// Returns its size in bytes.
    pub fn size_bytes(&self) -> u64 {
        Length::len(self)
    }

    /// Returns the whole object from its beginning, as a stream of bytes.
    pub fn into_read(self) -> Box<dyn Read + Send> {
        match self {
            ShardFile::Local(shard) => Box::new(Place { shard, place: 0 }),
            ShardFile::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            ShardFile::Far(shard) => Box::new(FarPlace { shard, place: 0 }),
        }
    }

    /// Returns the error for a failed read of it: the refusal of the operating system or the bucket if there was one, and otherwise
    /// `damaged` with its cause.
    pub fn failure(&self, damaged: impl FnOnce() -> Error) -> Error {
        match self {
            ShardFile::Local(shard) => match shard.last_refusal.load(Ordering::Relaxed) {
                0 => damaged(),
                number => disk_error("read", &shard.path, io::Error::from_raw_os_error(number)),
            },
            ShardFile::Bytes(_) => damaged(),
            ShardFile::Far(shard) => shard.failure().unwrap_or_else(damaged),
        }
    }

    /// Returns whether a read has failed because the object was replaced or removed. An open file stays readable.
    pub fn is_replaced(&self) -> bool {
        match self {
            ShardFile::Local(_) | ShardFile::Bytes(_) => false,
            ShardFile::Far(shard) => shard.is_replaced(),
        }
    }
}

/// A place in an open file, from which it is read on.
struct Place {
    shard: Arc<LocalShard>,
    place: u64,
}

impl Read for Place {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.shard.read_at(buffer, self.place)?;
        self.place += read as u64;
        Ok(read)
    }
}

/// A place in an open object of a bucket, from which it is read on.
struct FarPlace {
    shard: Arc<FarShard>,
    place: u64,
}

impl Read for FarPlace {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.shard.read(self.place, 1)?;
        let read = bytes.len().min(buffer.len());
        buffer[..read].copy_from_slice(&bytes[..read]);
        self.place += read as u64;
        Ok(read)
    }
}

impl Length for ShardFile {
    fn len(&self) -> u64 {
        match self {
            ShardFile::Local(shard) => shard.size_bytes,
            ShardFile::Bytes(bytes) => Length::len(bytes),
            ShardFile::Far(shard) => shard.size_bytes(),
        }
    }
}

impl ChunkReader for ShardFile {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        match self {
            ShardFile::Local(shard) => Ok(Box::new(BufReader::new(Place { shard: Arc::clone(shard), place: start }))),
            ShardFile::Bytes(bytes) => Ok(Box::new(bytes.get_read(start)?)),
            ShardFile::Far(shard) => Ok(Box::new(FarPlace { shard: Arc::clone(shard), place: start })),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            ShardFile::Local(shard) => {
                // A damaged footer may name any length.
                if start.checked_add(length as u64).is_none_or(|end| end > shard.size_bytes) {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                let mut bytes = Vec::with_capacity(length);
                Place { shard: Arc::clone(shard), place: start }.take(length as u64).read_to_end(&mut bytes)?;
                if bytes.len() != length {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                Ok(bytes.into())
            }
            ShardFile::Bytes(bytes) => bytes.get_bytes(start, length),
            ShardFile::Far(shard) => {
                if start.checked_add(length as u64).is_none_or(|end| end > shard.size_bytes()) {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                let mut bytes = shard.read(start, length)?;
                bytes.truncate(length);
                Ok(bytes)
            }
        }
    }
}
