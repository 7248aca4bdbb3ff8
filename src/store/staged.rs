//! Files written by threads that may block: new shards on their way in. Not here: reading them (`shard_file`).

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::disk::{Disk, disk_error, parent};
use super::{Backend, Store};
use crate::error::Result;

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
