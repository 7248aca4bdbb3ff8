//! Making files and names durable on a local disk. Everything that this store syncs, it syncs here, so that a test can see
//! what it has.

use std::fs::File;
use std::io;
use std::path::Path;

use super::local::{VANISHED_HINT, disk_error, parent};
use crate::error::{Error, Result};

/// Makes the bytes of an open file durable. `path` is where it lies.
pub(super) fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    #[cfg(test)]
    journal::note(path);
    let _ = path;
    Ok(())
}

/// Makes the names in `folder` durable: a rename, a new file, a new folder, a deletion.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|handle| handle.sync_all());
    synced.map_err(|error| disk_error("sync", folder, error))?;
    #[cfg(test)]
    journal::note(folder);
    Ok(())
}

/// Makes a folder and those above it, up to the root, which is never made here: a lake that vanished is not begun anew.
/// The names of the new folders are durable then.
pub(super) fn create_folder(root: &Path, folder: &Path) -> Result<()> {
    let vanished = || Error::lake(format!("the folder {} is gone", root.display())).hint(VANISHED_HINT);
    if !root.is_dir() {
        return Err(vanished());
    }
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| *folder != root && !folder.is_dir()).collect();
    for made in missing.iter().rev() {
        match std::fs::create_dir(made) {
            Ok(()) => {}
            // Another task or process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // What lies above it was there a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !root.is_dir() => return Err(vanished()),
            Err(error) => return Err(disk_error("create the folder", made, error)),
        }
    }
    missing.into_iter().try_for_each(|made| sync_folder(parent(made)))
}

/// What was synced, by path, in order: of all stores of the process.
#[cfg(test)]
pub(super) mod journal {
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    static SYNCED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    pub(super) fn note(path: &Path) {
        SYNCED.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
    }

    /// What was synced below `root` since this was asked last, as paths from there; the name of a put that had only begun
    /// is `.put-`.
    pub(in crate::store) fn take(root: &Path) -> Vec<String> {
        let mut synced = SYNCED.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, others) = synced.drain(..).partition(|path| path.starts_with(root));
        *synced = others;
        let own: Vec<PathBuf> = own;
        let relative = own.iter().filter_map(|path| path.strip_prefix(root).ok()).map(|path| path.to_string_lossy());
        relative.map(|path| path.split_inclusive(".put-").next().unwrap_or_default().to_owned()).collect()
    }
}
