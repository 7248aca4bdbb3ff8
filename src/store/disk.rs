//! A local disk, step by step. Everything that changes it, and everything that is synced, passes here one step at a time,
//! so that a test can see which steps there are and let the process die between any two. Not here: which steps make a put
//! (`local`).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

#[cfg(test)]
use super::failpoint::Failpoint;
use super::step::Step;
use crate::error::{Error, Result};

/// How the name of a file begins whose put has begun and not ended.
pub(super) const PUT_BEGUN: &str = ".put-";
/// What a person should know where a folder is not there that was there a moment ago.
pub(super) const VANISHED_HINT: &str = "it was deleted, or its disk was taken away, while it was being written to; once it is back, run the same command again";

/// A folder on a local disk and what lies below it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Disk {
    root: Arc<PathBuf>,
    #[cfg(test)]
    pub(super) failpoint: Failpoint,
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Disk {
        Disk {
            root: Arc::new(root),
            #[cfg(test)]
            failpoint: Failpoint::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where an object lies.
    pub(super) fn path(&self, object: &str) -> PathBuf {
        self.root.join(object)
    }

    /// What every step passes before it is done to `path`. Nothing stops one here but a test.
    fn admit(&self, step: Step, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.failpoint.pass(step, &path.strip_prefix(self.root()).unwrap_or(path).to_string_lossy())?;
        let _ = (step, path);
        Ok(())
    }

    /// Makes a folder and those above it, up to the root, which is never made here: a lake that vanished is not begun anew.
    /// The names of the new folders are durable then.
    pub(super) fn create_folder(&self, folder: &Path) -> Result<()> {
        let root = self.root();
        let vanished = || Error::lake(format!("the folder {} is gone", root.display())).hint(VANISHED_HINT);
        if !root.is_dir() {
            return Err(vanished());
        }
        let missing: Vec<&Path> = folder.ancestors().take_while(|folder| *folder != root && !folder.is_dir()).collect();
        for made in missing.iter().rev() {
            match self.admit(Step::CreateFolder, made).and_then(|()| std::fs::create_dir(made)) {
                Ok(()) => {}
                // Another task or process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // What lies above it was there a moment ago.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !root.is_dir() => return Err(vanished()),
                Err(error) => return Err(disk_error("create the folder", made, error)),
            }
        }
        missing.into_iter().try_for_each(|made| self.sync_folder(parent(made)))
    }

    /// A new file in the place of one that is there. That one is not written over: a process that stood still while another
    /// took its place may still hold it open, and what it writes must not reach the file that the other one commits.
    pub(super) fn create_anew(&self, path: &Path) -> io::Result<File> {
        self.delete_file(path)?;
        self.admit(Step::CreateFile, path)?;
        File::create_new(path)
    }

    /// A new file beside `target` that waits to take its name.
    pub(super) fn create_beside(&self, target: &Path) -> io::Result<NamedTempFile> {
        self.admit(Step::CreateFile, target)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{PUT_BEGUN}{name}-");
        let staged = readable_by_others(tempfile::Builder::new().prefix(&prefix)).tempfile_in(parent(target))?;
        #[cfg(test)]
        let staged = {
            // A process that dies cleans nothing up.
            let mut staged = staged;
            staged.disable_cleanup(self.failpoint.is_of_death());
            staged
        };
        Ok(staged)
    }

    /// Writes into an open file, of which `path` is the name that it has or will have.
    pub(super) fn write_all(&self, mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let admitted = self.admit(Step::Write, path);
        // A death or a full disk comes in the middle of a write.
        let bytes = if admitted.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        file.write_all(bytes).and(admitted)
    }

    /// Makes the bytes of an open file durable, of which `path` is the name that it has or will have.
    pub(super) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.admit(Step::SyncFile, path)?;
        file.sync_all()
    }

    /// Gives `staged` the name `target`, also where another file has it.
    pub(super) fn persist(&self, staged: NamedTempFile, target: &Path) -> io::Result<()> {
        self.admit(Step::Rename, target)?;
        staged.persist(target)?;
        Ok(())
    }

    /// Gives `staged` the name `target` where no file has it; else fails with [`io::ErrorKind::AlreadyExists`].
    pub(super) fn persist_if_absent(&self, staged: NamedTempFile, target: &Path) -> io::Result<()> {
        self.admit(Step::Rename, target)?;
        staged.persist_noclobber(target)?;
        Ok(())
    }

    /// Gives the file `from` the name `to`, also where another file has it.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.admit(Step::Rename, to)?;
        std::fs::rename(from, to)
    }

    /// Makes the names in `folder` durable: a rename, a new file, a new folder, a deletion.
    pub(super) fn sync_folder(&self, folder: &Path) -> Result<()> {
        let admitted = self.admit(Step::SyncFolder, folder);
        let synced = admitted.and_then(|()| File::open(folder)).and_then(|handle| handle.sync_all());
        synced.map_err(|error| disk_error("sync", folder, error))
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn delete_file(&self, path: &Path) -> io::Result<()> {
        self.admit(Step::Delete, path)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Temporary files are private by default; a lake's files are as readable as any other that its owner makes.
fn readable_by_others<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>) -> &'a mut tempfile::Builder<'b, 'b> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
}

/// The path that a put writes which has begun and not ended at `path`; `None` for any other file.
pub(super) fn target_of_put(path: &str) -> Option<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let (target, _) = file.strip_prefix(PUT_BEGUN)?.rsplit_once('-')?;
    Some(if folder.is_empty() { target.to_owned() } else { format!("{folder}/{target}") })
}

/// Whether a path is that of a put that has begun and not ended.
pub(super) fn is_put_begun(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|file| file.starts_with(PUT_BEGUN))
}

/// The folder that a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// An error of the disk, with what a person can do about the usual ones.
pub(super) fn disk_error(verb: &str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "free some space and run the same command again: what is committed or staged is kept, and not fetched again",
        ),
        io::ErrorKind::FileTooLarge => Some(
            "no file may grow so large here: raise that limit (ulimit -f), or give another disk with --lake, and run the same command again",
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("give a folder that this user may write to with --lake")
        }
        // Who may find nothing asks for that before; all else stood there when the work began.
        io::ErrorKind::NotFound => Some(VANISHED_HINT),
        io::ErrorKind::NotADirectory => Some("a part of that path is a file; give a folder with --lake"),
        _ => None,
    };
    let lake_error = Error::lake(format!("cannot {verb} {}", path.display())).source(error);
    match hint {
        Some(hint) => lake_error.hint(hint),
        None => lake_error,
    }
}
