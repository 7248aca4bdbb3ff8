//! Checks whether files can be moved between the folders of a lake: a commit renames staged shards to their places, which
//! works within one file system and one mount only.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::disk::{Disk, ELSEWHERE_HINT, PUT_BEGUN, disk_error};
use super::{Backend, Store};
use crate::error::{Error, Result};

impl Store {
    /// Fails unless a file that is staged in `staging` can be moved into each of `tables`, and a file created in each of
    /// `others`: if one of them is on another file system or mount, cannot be written to, or cannot sync or lock. Of
    /// folders that do not exist it checks the nearest one above. Tries it with an empty file, which is removed. Nothing
    /// is moved within a bucket: for a lake there it checks the scratch folder.
    pub async fn check_moves(&self, staging: &str, tables: &[String], others: &[String]) -> Result<()> {
        let disk = match &self.backend {
            Backend::Disk(disk) => disk,
            Backend::Objects(objects) => return objects.check_scratch().await,
        };
        let staging = disk.path(staging);
        let [tables, others] = [tables, others].map(|folders| disk.paths(folders));
        disk.run(move |disk| {
            others.iter().try_for_each(|folder| probe_whole(folder))?;
            disk.move_probe(&staging, tables.iter().filter(|table| table.symlink_metadata().is_ok()))
        })
        .await
    }

    /// Returns those of `folders` that are on another file system or mount than `staging`, as far as that can be seen
    /// without writing anything.
    pub async fn folders_elsewhere(&self, staging: &str, folders: &[String]) -> Result<Vec<String>> {
        let Backend::Disk(disk) = &self.backend else { return Ok(Vec::new()) };
        let (staging, folders) = (disk.path(staging), folders.to_vec());
        disk.run(move |disk| {
            let Some(home) = mount(nearest(&staging)) else { return Ok(Vec::new()) };
            let is_elsewhere = |folder: &String| mount(&disk.path(folder)).is_some_and(|mount| mount != home);
            Ok(folders.into_iter().filter(is_elsewhere).collect())
        })
        .await
    }
}

impl Disk {
    fn paths(&self, objects: &[String]) -> Vec<PathBuf> {
        objects.iter().map(|object| self.path(object)).collect()
    }

    /// Moves a file from `staging` through all `tables`.
    fn move_probe<'a>(&self, staging: &Path, tables: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
        let mut probe = begin_probe(staging)?;
        for table in tables {
            let moved = table.join(probe.file_name().unwrap_or_default());
            match self.rename_probe(&probe, &moved) {
                // The old path is empty now, and the new one is removed at the end.
                Ok(()) => probe = TempPath::try_from_path(moved).map_err(|error| disk_error("read", table, error))?,
                Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                    let (table, staging) = (table.display(), staging.display());
                    let message = format!("{table} is on another file system or mount than {staging}");
                    return Err(Error::lake(message).hint(ELSEWHERE_HINT).source(error));
                }
                Err(error) => return Err(disk_error("move a file into", table, error)),
            }
        }
        Ok(())
    }

    fn rename_probe(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.access(super::Access::MoveTo, to)?;
        std::fs::rename(from, to)
    }
}

/// Does in a folder what a put of a record does: creates a file, makes it durable, and locks the folder.
fn probe_whole(folder: &Path) -> Result<()> {
    let probe = begin_probe(folder)?;
    File::open(&probe).and_then(|file| file.sync_all()).map_err(|error| disk_error("sync a file in", folder, error))?;
    let folder = nearest(folder);
    match File::open(folder).map_err(|error| disk_error("read", folder, error))?.try_lock() {
        // Another process has the lock.
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(disk_error("lock", folder, error)),
    }
}

/// Creates an empty file in a folder, named like an unfinished put, which every reader passes over.
fn begin_probe(folder: &Path) -> Result<TempPath> {
    let folder = nearest(folder);
    let probe = tempfile::Builder::new().prefix(&format!("{PUT_BEGUN}probe-")).tempfile_in(folder);
    probe.map(tempfile::NamedTempFile::into_temp_path).map_err(|error| disk_error("write into", folder, error))
}

/// Returns the folder itself, or the nearest one above it that exists.
fn nearest(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder)
}

/// Returns the device of a folder and, where the system tells it, the number of its mount: a rename between two mounts of
/// one device fails as well. `None` for a folder that cannot be read.
#[cfg(unix)]
fn mount(folder: &Path) -> Option<(u64, Option<String>)> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    let open = File::open(folder).ok()?;
    // A line of this file is `mnt_id: 29` (proc(5)).
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", open.as_raw_fd())).unwrap_or_default();
    let number = told.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(|number| number.trim().to_owned());
    Some((open.metadata().ok()?.dev(), number))
}

#[cfg(not(unix))]
fn mount(folder: &Path) -> Option<(u64, Option<String>)> {
    File::open(folder).ok().map(|_| (0, None))
}
