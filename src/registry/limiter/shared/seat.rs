//! The seat of a host's coordinator: files in a private folder that ensure a single coordinator.
//!
//! The coordinator locks `<name>.lock` as long as it lives (`flock`), so the system shows when it has died. It listens
//! at `<name>.sock`. The lock file records how many processes are connected: those will return after the coordinator's
//! end.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::net::{UnixListener, UnixStream};

use super::message::PROTOCOL;

/// The paths by which processes find the coordinator of one host.
#[derive(Debug, Clone)]
pub(in crate::registry) struct SeatFiles {
    folder: PathBuf,
    lock: PathBuf,
    socket: PathBuf,
    /// Locked by a process that takes the seat from another.
    guard: PathBuf,
}

/// The seat, held by the coordinator. Dropping it frees the seat.
#[derive(Debug)]
pub(super) struct Seat {
    files: SeatFiles,
    lock: File,
    /// The socket that members connect to.
    pub(super) listener: UnixListener,
    /// How many members the previous coordinator had.
    pub(super) members_before: u32,
    members: u32,
}

impl SeatFiles {
    /// Returns the files of a host, given by its name and port.
    pub(super) fn of(folder: &Path, host: &str) -> SeatFiles {
        let digest = Sha256::digest(format!("{PROTOCOL} {host}"));
        // Short: a socket's path has at most some 100 bytes.
        let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        SeatFiles { folder: folder.to_owned(), lock: path("lock"), socket: path("sock"), guard: path("guard") }
    }

    /// Takes the seat; `None` if another process holds it. Fails if the folder is unfit.
    pub(super) fn take(&self) -> io::Result<Option<Seat>> {
        make_private_folder(&self.folder)?;
        let mut lock = loop {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.lock)?;
            match file.try_lock() {
                Ok(()) if self.has_lock(&file) => break file,
                // It was replaced in between.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        };
        let mut count = String::new();
        (&mut lock).take(16).read_to_string(&mut count)?;
        let members_before = count.trim().parse().unwrap_or(0);
        // The previous listener has died: the lock was free.
        remove_if_there(&self.socket)?;
        let listener = UnixListener::bind(&self.socket)?;
        let mut seat = Seat { files: self.clone(), lock, listener, members_before, members: members_before };
        seat.set_members(0)?;
        Ok(Some(seat))
    }

    /// Connects to the process that holds the seat.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.socket).await
    }

    /// Returns the lock file of the process that holds the seat.
    pub(super) fn lock_file(&self) -> Option<FileId> {
        FileId::at(&self.lock)
    }

    /// Takes the seat from a silent process with this lock file: the next process to try gets it. A failure is
    /// harmless; the caller tries again.
    pub(super) fn vacate(&self, silent: Option<FileId>) {
        let replace = || {
            let guard = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.guard)?;
            if guard.try_lock().is_err() || self.lock_file() != silent {
                // Another process is doing this, or has done it.
                return Ok(());
            }
            let next = self.guard.with_extension("next");
            remove_if_there(&next)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
            file.write_all(&fs::read(&self.lock)?)?;
            fs::rename(&next, &self.lock)
        };
        let _: io::Result<()> = replace();
    }

    fn has_lock(&self, file: &File) -> bool {
        FileId::at(&self.lock).is_some_and(|there| FileId::of(file) == Some(there))
    }
}

impl Seat {
    /// Returns whether the seat was not taken away meanwhile, as from a suspended process.
    pub(super) fn is_held(&self) -> bool {
        self.files.has_lock(&self.lock)
    }

    /// Records how many members there are.
    pub(super) fn set_members(&mut self, members: u32) -> io::Result<()> {
        if members == std::mem::replace(&mut self.members, members) {
            return Ok(());
        }
        self.lock.rewind()?;
        self.lock.write_all(format!("{members:>10}\n").as_bytes())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Removes the files if no other process needs them. They are still locked, and a failure does no harm.
        if self.members == 0 && self.is_held() {
            let _ = fs::remove_file(&self.files.socket);
            let _ = fs::remove_file(&self.files.guard);
            let _ = fs::remove_file(&self.files.lock);
        }
    }
}

/// Returns the identity of a file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn at(path: &Path) -> Option<FileId> {
        fs::metadata(path).ok().map(|metadata| FileId { device: metadata.dev(), inode: metadata.ino() })
    }

    fn of(file: &File) -> Option<FileId> {
        file.metadata().ok().map(|metadata| FileId { device: metadata.dev(), inode: metadata.ino() })
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Returns the folder below `parent` in which the processes of this user find each other, and creates it if it is
/// missing.
///
/// Fails where it cannot be created, and where other users could reach into it.
pub fn runtime_folder(parent: &Path) -> io::Result<PathBuf> {
    // A created file shows which user we are, since its creator owns it.
    let user = tempfile::tempfile_in(parent)?.metadata()?.uid();
    let folder = parent.join(format!("all-docs-{user}"));
    make_private_folder(&folder)?;
    let metadata = fs::symlink_metadata(&folder)?;
    if !metadata.is_dir() || metadata.uid() != user || metadata.mode() & 0o077 != 0 {
        let why = format!("{} is not a private folder of this user (mode 0700)", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(folder)
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
