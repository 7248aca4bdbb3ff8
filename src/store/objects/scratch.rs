//! The scratch folder of a store that is no local disk: shards under construction, and copies of shards that are read as
//! a whole. A file of the scratch has the path of the object that it stands for. Not here: uploads (`upload`).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::TryStreamExt;
use object_store::GetResult;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::error::{Error, Result};
use crate::store::disk::{Disk, disk_error};
use crate::store::local::{age, files_below};
use crate::store::refusal::refusal;
use crate::store::shard_file::LocalShard;

/// A file of a dead process is kept for this time: a run that goes on may still use it.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The beginning of the names of temporary scratch folders.
const TEMPORARY: &str = "all-docs-scratch-";
/// The hint for a scratch folder that is full.
const FULL_HINT: &str = "free some space there, or give a folder on another disk with --scratch, and run the same command again: what is committed or staged in the bucket is kept, and not fetched again";
/// The hint for a scratch folder that cannot be used.
const UNUSABLE_HINT: &str = "give a folder that this user may write to with --scratch";

/// The scratch folder of one lake. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) struct Scratch {
    pub(in crate::store) disk: Disk,
    held: Arc<Held>,
}

struct Held {
    root: PathBuf,
    /// The folder is removed with the last clone.
    is_temporary: bool,
    /// Held while this process may have files in the folder; none before the first one.
    lock: Mutex<Option<File>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_temporary {
            let _ = std::fs::remove_dir_all(&self.root);
            let _ = std::fs::remove_file(lock_path(&self.root));
        }
    }
}

impl Scratch {
    /// Makes the scratch of the lake at `root_url` inside the folder `parent`, or in a temporary folder of its own.
    /// Creates nothing.
    pub(super) fn of(parent: Option<PathBuf>, root_url: &Url) -> Scratch {
        let is_temporary = parent.is_none();
        let root = match parent {
            Some(parent) => {
                let digest = format!("{:x}", Sha256::digest(root_url.as_str()));
                parent.join(&digest[..16])
            }
            None => tempfile::env::temp_dir().join(format!("{TEMPORARY}{:032x}", fastrand::u128(..))),
        };
        let held = Held { root: root.clone(), is_temporary, lock: Mutex::default() };
        Scratch { disk: Disk::new(root), held: Arc::new(held) }
    }

    /// Creates the folder where it does not exist, and marks it as used by this process. Before that, removes files of dead
    /// processes that are older than a day, if no other process uses the folder, and temporary folders of dead processes.
    pub(in crate::store) fn use_now(&self) -> Result<()> {
        let root = self.disk.root();
        let mut lock = self.held.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() && root.is_dir() {
            return Ok(());
        }
        let create = |folder: &Path| {
            let created = std::fs::create_dir_all(folder);
            created.map_err(|error| explained(disk_error("create the folder", folder, error)))
        };
        if lock.is_none() {
            root.parent().map_or(Ok(()), create)?;
            let file = File::options().create(true).append(true).open(lock_path(root));
            let file = file.map_err(|error| explained(disk_error("write", root, error)))?;
            if !self.held.is_temporary && root.is_dir() && file.try_lock().is_ok() {
                self.sweep()?;
            }
            // On a file system without locks no file is ever removed for its age.
            let _ = file.lock_shared();
            *lock = Some(file);
            if self.held.is_temporary {
                remove_temporary(root);
            }
        }
        // After the lock: until it is held, another process may take this one for dead.
        create(root)
    }

    /// Returns the path of the file that stands for an object; `None` if there is none.
    pub(super) fn file(&self, object: &str) -> Option<PathBuf> {
        let path = self.disk.path(object);
        path.is_file().then_some(path)
    }

    fn sweep(&self) -> Result<()> {
        for path in files_below(self.disk.root()).map_err(explained)? {
            if age(&path) >= KEPT {
                tracing::debug!(path = %path.display(), "a scratch file of a dead process is removed");
                let removed = self.disk.delete_file(&path);
                removed.map_err(|error| explained(disk_error("delete", &path, error)))?;
            }
        }
        Ok(())
    }

    /// Returns whether the folder was created.
    pub(super) fn exists(&self) -> bool {
        self.disk.root().is_dir()
    }

    /// Opens the file that stands for an object; `None` if there is none.
    pub(super) fn open(&self, object: &str) -> Result<Option<LocalShard>> {
        match self.file(object) {
            Some(_) => LocalShard::open(&self.disk, object).map_err(explained),
            None => Ok(None),
        }
    }

    /// Fails unless files can be written into the folder.
    pub(super) fn check(&self) -> Result<()> {
        self.use_now()?;
        let root = self.disk.root();
        tempfile::tempfile_in(root).map(drop).map_err(|error| explained(disk_error("write into", root, error)))
    }

    /// Copies an object into a file without a name, which is gone when it is closed.
    pub(super) async fn take_in(&self, name: &str, found: GetResult) -> Result<LocalShard> {
        self.use_now()?;
        let root = self.disk.root();
        let failed = |error| explained(disk_error("write into", root, error));
        let file = tempfile::tempfile_in(root).map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        let mut body = found.into_stream();
        while let Some(chunk) = body.try_next().await.map_err(|error| refusal("read", name, error))? {
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        LocalShard::of_file(&self.disk, file.into_std().await, self.disk.path(name)).map_err(failed)
    }
}

/// Returns the path of the lock of a scratch folder. It is beside the folder, so that it is in no listing.
fn lock_path(root: &Path) -> PathBuf {
    root.with_extension("lock")
}

/// Removes the temporary folders of dead processes beside `root`, by their locks. Other users' folders stay, and what
/// cannot be removed.
pub(super) fn remove_temporary(root: &Path) {
    let Some(Ok(entries)) = root.parent().map(std::fs::read_dir) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        let is_temporary = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with(TEMPORARY));
        if !is_lock || !is_temporary || path == lock_path(root) {
            continue;
        }
        let lock = File::options().append(true).open(&path);
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            tracing::debug!(path = %path.display(), "the scratch folder of a dead process is removed");
            let _ = std::fs::remove_dir_all(path.with_extension(""));
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Returns an error of the scratch folder, which says that it is about that folder and how to give another one.
pub(in crate::store) fn explained(error: Error) -> Error {
    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
    let kind = cause.map(io::Error::kind);
    let hint = match kind {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => FULL_HINT,
        _ => UNUSABLE_HINT,
    };
    Error::lake("the scratch folder cannot be used").hint(hint).source(error)
}
