//! Files written by threads that may block: new shards on their way in. Not here: reading them (`shard_file`).

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::Backend;
use super::disk::{Disk, disk_error, parent};
use super::objects::explained;
use crate::error::{Error, Result};

/// A staged object being written. Dropped without [`StagedFile::finish`], it stays in staging, where nothing reads it.
pub struct StagedFile {
    disk: Disk,
    file: File,
    path: PathBuf,
    is_scratch: bool,
}

impl StagedFile {
    pub(super) fn create(backend: &Backend, path: &str) -> Result<StagedFile> {
        let (disk, is_scratch) = match backend {
            Backend::Disk(disk) => (disk, false),
            Backend::Objects(objects) => {
                objects.scratch.use_now()?;
                (&objects.scratch.disk, true)
            }
        };
        let path = disk.path(path);
        let file = disk
            .create_folder(parent(&path))
            .and_then(|()| disk.create_instead(&path).map_err(|error| disk_error("write", &path, error)))
            .map_err(|error| if is_scratch { explained(error) } else { error })?;
        Ok(StagedFile { disk: disk.clone(), file, path, is_scratch })
    }

    /// Makes the written bytes durable. Must not be called from an async task.
    pub fn finish(self) -> Result<()> {
        self.disk.sync_file(&self.file, &self.path).map_err(|error| self.failure(error))
    }

    fn failure(&self, error: io::Error) -> Error {
        let error = disk_error("write", &self.path, error);
        if self.is_scratch { explained(error) } else { error }
    }
}

impl Write for StagedFile {
    /// Fails with an [`io::Error`] that holds an [`crate::error::Error`], so that its report has a hint.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.disk.write_all(&self.file, &self.path, buffer);
        written.map_err(|error| io::Error::new(error.kind(), self.failure(error)))?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
