//! Atomic, durable puts on a local disk. Not here: any other backend.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::EntryKind;
use super::blocking;
use super::disk::{Disk, disk_error, is_put_begun, parent, target_of_put};
use super::shard_file::{LocalShard, ShardFile};
use crate::error::Result;

impl Disk {
    /// Runs work for the disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let disk = self.clone();
        blocking("a disk task", move || work(&disk)).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let path = self.path(path);
        self.run(move |disk| match disk.read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk_error("read", &path, error)),
        })
        .await
    }

    /// Returns the SHA-256 of a file in hex; `None` if there is none.
    pub(super) async fn digest(&self, path: &str) -> Result<Option<String>> {
        let object = path.to_owned();
        self.run(move |disk| {
            let Some(shard) = LocalShard::open(disk, &object)? else { return Ok(None) };
            let mut digest = Sha256::new();
            let copied = io::copy(&mut ShardFile::Local(Arc::new(shard)).into_read(), &mut digest);
            copied.map_err(|error| disk_error("read", &disk.path(&object), error))?;
            Ok(Some(format!("{:x}", digest.finalize())))
        })
        .await
    }

    pub(super) async fn create_root(&self) -> Result<()> {
        self.run(|disk| {
            std::fs::create_dir_all(disk.root()).map_err(|error| disk_error("create the folder", disk.root(), error))
        })
        .await
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let target = self.path(path);
        self.run(move |disk| disk.put_now(&target, &bytes)).await
    }

    fn put_now(&self, target: &Path, bytes: &[u8]) -> Result<()> {
        let staged = self.begin_put(target, bytes)?;
        self.persist(staged, target).map_err(|error| disk_error("write", target, error))?;
        self.sync_folder(parent(target))
    }

    pub(super) async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<bool> {
        let target = self.path(path);
        self.run(move |disk| {
            let staged = disk.begin_put(&target, &bytes)?;
            match disk.persist_if_absent(staged, &target) {
                Ok(()) => disk.sync_folder(parent(&target)).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(disk_error("write", &target, error)),
            }
        })
        .await
    }

    /// Creates a durable file beside `target` that holds `bytes`, to be renamed to it.
    fn begin_put(&self, target: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
        self.create_folder(parent(target))?;
        let begun = self.create_beside(target).and_then(|staged| {
            self.write_all(staged.as_file(), target, bytes)?;
            self.sync_file(staged.as_file(), target)?;
            Ok(staged)
        });
        begun.map_err(|error| disk_error("write", target, error))
    }

    pub(super) async fn replace_if_unchanged(&self, path: &str, expected: Bytes, bytes: Bytes) -> Result<bool> {
        self.if_unchanged(path, expected, move |disk, target| disk.put_now(target, &bytes)).await
    }

    pub(super) async fn delete_if_unchanged(&self, path: &str, expected: Bytes) -> Result<bool> {
        let delete = |disk: &Disk, target: &Path| {
            disk.delete_file(target).map_err(|error| disk_error("delete", target, error))?;
            disk.sync_folder(parent(target))
        };
        self.if_unchanged(path, expected, delete).await
    }

    /// Does `change` if the file is still `expected`. A file system has no such operation, so all callers lock the
    /// folder meanwhile; the system lifts that lock when its process dies.
    async fn if_unchanged(
        &self,
        path: &str,
        expected: Bytes,
        change: impl FnOnce(&Disk, &Path) -> Result<()> + Send + 'static,
    ) -> Result<bool> {
        let target = self.path(path);
        self.run(move |disk| {
            let folder = parent(&target);
            let guard = match File::open(folder) {
                Ok(guard) => guard,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(disk_error("read", folder, error)),
            };
            guard.lock().map_err(|error| disk_error("lock", folder, error))?;
            match disk.read(&target) {
                Ok(held) if held == expected => change(disk, &target).map(|()| true),
                Ok(_) => Ok(false),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(disk_error("read", &target, error)),
            }
        })
        .await
    }

    pub(super) async fn promote(&self, from: &str, to: &str) -> Result<bool> {
        let (from, to) = (self.path(from), self.path(to));
        self.run(move |disk| {
            disk.create_folder(parent(&to))?;
            match disk.rename(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => return Ok(false),
                Err(error) => return Err(disk_error("write", &to, error)),
            }
            disk.sync_folder(parent(&to))?;
            Ok(true)
        })
        .await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        let path = self.path(path);
        self.run(move |disk| disk.delete_file(&path).map_err(|error| disk_error("delete", &path, error))).await
    }

    pub(super) async fn delete_folder(&self, folder: &str) -> Result<()> {
        let folder = self.path(folder);
        self.run(move |disk| {
            // File by file, so that each is a step.
            for path in files_below(&folder)? {
                disk.delete_file(&path).map_err(|error| disk_error("delete", &path, error))?;
            }
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk_error("delete", &folder, error)),
                _ => Ok(()),
            }
        })
        .await
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let folder = self.path(folder);
        self.run(move |disk| {
            let paths = files_below(&folder)?;
            let objects = paths.iter().filter_map(|path| path.strip_prefix(disk.root()).ok().and_then(Path::to_str));
            let mut objects: Vec<String> = objects.map(str::to_owned).collect();
            objects.sort_unstable();
            Ok(objects)
        })
        .await
    }

    pub(super) async fn sweep(&self, folder: &str, least_age: Duration) -> Result<()> {
        for path in self.list(folder).await? {
            if is_put_begun(&path) && age(&self.path(&path)) >= least_age {
                tracing::debug!(path, "an unfinished put is swept");
                self.delete(&path).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn sweep_put(&self, path: &str) -> Result<()> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for begun in self.list(folder).await? {
            if target_of_put(&begun).as_deref() == Some(path) {
                self.delete(&begun).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn entry(&self, path: &str) -> Result<Option<EntryKind>> {
        let path = self.path(path);
        self.run(move |_| match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Some(EntryKind::Folder)),
            Ok(found) if found.is_file() => Ok(Some(EntryKind::File)),
            Ok(_) => Ok(Some(EntryKind::Other)),
            // A link that leads nowhere, or in a circle, still exists.
            Err(_) if path.is_symlink() => Ok(Some(EntryKind::Other)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(disk_error("read", &path, error)),
        })
        .await
    }

    pub(super) async fn any_entry(&self) -> Result<Option<String>> {
        self.run(|disk| match std::fs::read_dir(disk.root()) {
            Ok(entries) => {
                let mut names =
                    entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
                Ok(names.find(|name| !is_put_begun(name)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk_error("read", disk.root(), error)),
        })
        .await
    }
}

/// Returns the files below `folder`, at any depth; none if it does not exist.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(disk_error("list", &folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| disk_error("list", &folder, error))?;
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { folders.push(entry.path()) } else { paths.push(entry.path()) }
        }
    }
    Ok(paths)
}

/// Returns how long ago a file was written; zero if that is not known.
pub(super) fn age(path: &Path) -> Duration {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default()
}
