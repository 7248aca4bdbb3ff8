//! A local disk, step by step. Every change and every sync passes through here one step at a time. So a test can see
//! the steps and let the process die between any two. Not here: the steps of a put (`local`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::{NamedTempFile, PersistError};

#[cfg(test)]
use super::failpoint::{Access, Failpoint};
use super::step::Step;
use crate::error::{Error, Result};

/// The beginning of the file name of an unfinished put.
pub(super) const PUT_BEGUN: &str = ".put-";
/// The hint for a folder that was there a moment ago.
pub(super) const VANISHED_HINT: &str = "it was deleted, or its disk was taken away, while it was being written to; once it is back, run the same command again";

/// The hint for folders of one lake that are on several file systems.
pub(super) const ELSEWHERE_HINT: &str = "a commit moves files between the folders of a lake by renaming them, which works within one file system and one mount only: put that folder back, and move the whole lake to the larger disk, with a link in its place";

/// The hint for a file system that lacks what a lake needs.
const LACKING_HINT: &str = "this file system cannot sync or lock files, which a lake that is written needs: mount it so that it can, or give a folder on another one with --lake";

/// A folder on a local disk and its contents. Cheap to clone.
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

    /// Returns the path of an object.
    pub(super) fn path(&self, object: &str) -> PathBuf {
        self.root.join(object)
    }

    /// Checks every step before it is done to `path`. Only a test stops one here.
    fn admit(&self, step: Step, path: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.failpoint.pass(step, &path.strip_prefix(self.root()).unwrap_or(path).to_string_lossy())?;
        let _ = (step, path);
        Ok(())
    }

    /// Fails where a test says that the system refuses an access that changes nothing.
    #[cfg(test)]
    pub(super) fn access(&self, access: Access, path: &Path) -> io::Result<()> {
        self.failpoint.access(access, &path.strip_prefix(self.root()).unwrap_or(path).to_string_lossy())
    }

    /// Reads a whole file.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        #[cfg(test)]
        self.access(Access::Open, path)?;
        let mut bytes = Vec::new();
        open_file(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Creates a folder and its parents, up to the root. Never creates the root: a lake that vanished is not begun
    /// again. The names of the new folders are durable then.
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
                // Its parent was there a moment ago.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !root.is_dir() => return Err(vanished()),
                Err(error) => return Err(disk_error("create the folder", made, error)),
            }
        }
        missing.into_iter().try_for_each(|made| self.sync_folder(parent(made)))
    }

    /// Creates a new file in place of an existing one, without overwriting its contents. A process that was suspended
    /// while another took its place may still have the old file open. Its writes must not reach the file that the other
    /// one commits.
    pub(super) fn create_instead(&self, path: &Path) -> io::Result<File> {
        self.delete_file(path)?;
        self.admit(Step::CreateFile, path)?;
        File::create_new(path)
    }

    /// Creates a new file beside `target`, to be renamed to it.
    pub(super) fn create_beside(&self, target: &Path) -> io::Result<NamedTempFile> {
        self.admit(Step::CreateFile, target)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{PUT_BEGUN}{name}-");
        let staged = readable_by_others(tempfile::Builder::new().prefix(&prefix)).tempfile_in(parent(target))?;
        #[cfg(test)]
        let staged = {
            // A process that dies removes nothing.
            let mut staged = staged;
            staged.disable_cleanup(self.failpoint.is_of_death());
            staged
        };
        Ok(staged)
    }

    /// Writes into an open file; `path` is its present or future name.
    pub(super) fn write_all(&self, mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let admitted = self.admit(Step::Write, path);
        // A death or a full disk comes in the middle of a write.
        let bytes = if admitted.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        file.write_all(bytes).and(admitted)?;
        #[cfg(test)]
        self.failpoint.note_written(bytes);
        Ok(())
    }

    /// Makes the bytes of an open file durable; `path` is its present or future name.
    pub(super) fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        self.admit(Step::SyncFile, path)?;
        file.sync_all()
    }

    /// Renames `staged` to `target`, and replaces an existing file.
    pub(super) fn persist(&self, staged: NamedTempFile, target: &Path) -> io::Result<()> {
        self.admit(Step::Rename, target)?;
        staged.persist(target)?;
        Ok(())
    }

    /// Renames `staged` to `target` where no file has that name; else fails with [`io::ErrorKind::AlreadyExists`].
    ///
    /// Most file systems can do that in one step, by a rename that replaces nothing or by a hard link. On one that has
    /// neither (FAT, some network and user-space mounts), a lock on the folder stands in for it: all processes that
    /// create or replace a record hold it. It holds between the machines that the file system's locks hold between.
    pub(super) fn persist_if_absent(&self, staged: NamedTempFile, target: &Path) -> io::Result<()> {
        self.admit(Step::Rename, target)?;
        let refused = match self.persist_noclobber(staged, target) {
            Ok(()) => return Ok(()),
            Err(refused) if !has_no_links(&refused.error) => return Err(refused.error),
            Err(refused) => refused,
        };
        tracing::debug!(path = %target.display(), "no hard links here; the folder is locked instead");
        let folder = File::open(parent(target))?;
        folder.lock()?;
        match target.symlink_metadata() {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(refused.file.persist(target).map(drop)?),
            Err(error) => Err(error),
        }
    }

    fn persist_noclobber(&self, staged: NamedTempFile, target: &Path) -> Result<(), PersistError> {
        #[cfg(test)]
        if self.failpoint.has_no_links() {
            return Err(PersistError { error: io::Error::from_raw_os_error(1), file: staged });
        }
        staged.persist_noclobber(target).map(drop)
    }

    /// Renames the file `from` to `to`, and replaces an existing file.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.admit(Step::Rename, to)?;
        #[cfg(test)]
        self.access(Access::MoveTo, to)?;
        std::fs::rename(from, to)
    }

    /// Makes the names in `folder` durable: a rename, a new file, a new folder, a deletion.
    pub(super) fn sync_folder(&self, folder: &Path) -> Result<()> {
        let admitted = self.admit(Step::SyncFolder, folder);
        let synced = admitted.and_then(|()| File::open(folder)).and_then(|handle| match handle.sync_all() {
            // Some network file systems sync no folder: there, a name is durable when the server says so.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            synced => synced,
        });
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

/// Opens a file for reading. Refuses a pipe and the like: to open it would wait for a writer.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let found = std::fs::metadata(path)?;
    match found.is_file() || found.is_dir() {
        true => File::open(path),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Returns whether an error says that the file system has no hard links. Linux says EPERM for that.
fn has_no_links(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | TooManyLinks | Unsupported)
}

/// Makes temporary files, which are private by default, as readable as the owner's other files.
fn readable_by_others<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>) -> &'a mut tempfile::Builder<'b, 'b> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Returns the target path of the unfinished put at `path`; `None` for any other file.
pub(super) fn target_of_put(path: &str) -> Option<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let (target, _) = file.strip_prefix(PUT_BEGUN)?.rsplit_once('-')?;
    Some(if folder.is_empty() { target.to_owned() } else { format!("{folder}/{target}") })
}

/// Returns whether a path is that of an unfinished put.
pub(super) fn is_put_begun(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|file| file.starts_with(PUT_BEGUN))
}

/// Returns the parent folder of a path.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Returns a disk error, with a hint for the usual ones.
pub(super) fn disk_error(verb: &str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
            "free some space and run the same command again: what is committed or staged is kept, and not fetched again",
        ),
        io::ErrorKind::FileTooLarge => Some(
            "no file may grow so large here: raise that limit (ulimit -f), or give another disk with --lake, and run the same command again",
        ),
        io::ErrorKind::PermissionDenied if matches!(verb, "read" | "list") => {
            Some("this user may not read it: run the command as its owner, or change its permissions")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Some("give a folder that this user may write to with --lake")
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Some(LACKING_HINT),
        _ if verb == "lock" => Some(LACKING_HINT),
        // A caller that may find nothing asks for that before; everything else was there when the work began.
        io::ErrorKind::NotFound => Some(VANISHED_HINT),
        io::ErrorKind::CrossesDevices => Some(ELSEWHERE_HINT),
        io::ErrorKind::NotADirectory => Some("a part of that path is a file; give a folder with --lake"),
        _ => None,
    };
    let lake_error = Error::lake(format!("cannot {verb} {}", path.display())).source(error);
    match hint {
        Some(hint) => lake_error.hint(hint),
        None => lake_error,
    }
}
