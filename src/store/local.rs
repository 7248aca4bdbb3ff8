//! Atomic, durable puts on a local disk. Not here: any other backend.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::EntryKind;
use super::blocking;
use super::durable::{create_folder, sync_file, sync_folder};
use crate::error::{Error, Result};

/// How the name of a file begins whose put has begun and not ended.
const PUT_BEGUN: &str = ".put-";
/// What a person should know where a folder is not there that was there a moment ago.
pub(super) const VANISHED_HINT: &str = "it was deleted, or its disk was taken away, while it was being written to; once it is back, run the same command again";

/// Work for the disk.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    blocking("a disk task", work).await
}

pub(super) async fn get(path: PathBuf) -> Result<Option<Bytes>> {
    on_disk(move || match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk_error("read", &path, error)),
    })
    .await
}

pub(super) async fn create_root(root: Arc<PathBuf>) -> Result<()> {
    on_disk(move || std::fs::create_dir_all(&*root).map_err(|error| disk_error("create the folder", &root, error)))
        .await
}

pub(super) async fn put(root: Arc<PathBuf>, path: String, bytes: Bytes) -> Result<()> {
    on_disk(move || put_now(&root, &root.join(path), &bytes)).await
}

fn put_now(root: &Path, target: &Path, bytes: &[u8]) -> Result<()> {
    let staged = begin_put(root, target, bytes)?;
    staged.persist(target).map_err(|error| disk_error("write", target, error.error))?;
    sync_folder(parent(target))
}

pub(super) async fn put_if_absent(root: Arc<PathBuf>, path: String, bytes: Bytes) -> Result<bool> {
    on_disk(move || {
        let target = root.join(path);
        let staged = begin_put(&root, &target, &bytes)?;
        match staged.persist_noclobber(&target) {
            Ok(_) => sync_folder(parent(&target)).map(|()| true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(disk_error("write", &target, error.error)),
        }
    })
    .await
}

/// A durable file beside `target` that holds `bytes` and waits to take its name.
fn begin_put(root: &Path, target: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    let folder = parent(target);
    create_folder(root, folder)?;
    let mut staged = readable_by_others(tempfile::Builder::new().prefix(PUT_BEGUN))
        .tempfile_in(folder)
        .map_err(|error| disk_error("write", target, error))?;
    staged
        .write_all(bytes)
        .and_then(|()| sync_file(staged.as_file(), staged.path()))
        .map_err(|error| disk_error("write", target, error))?;
    Ok(staged)
}

/// Whether a path is that of a put that has begun and not ended.
pub(super) fn is_put_begun(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|file| file.starts_with(PUT_BEGUN))
}

/// How long ago a file was written; nothing where that is not known.
pub(super) fn age(path: &Path) -> Duration {
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default()
}

pub(super) async fn replace_if_unchanged(
    root: Arc<PathBuf>,
    path: String,
    expected: Bytes,
    bytes: Bytes,
) -> Result<bool> {
    if_unchanged(root, path, expected, move |root, target| put_now(root, target, &bytes)).await
}

pub(super) async fn delete_if_unchanged(root: Arc<PathBuf>, path: String, expected: Bytes) -> Result<bool> {
    let delete = |_: &Path, target: &Path| {
        std::fs::remove_file(target).map_err(|error| disk_error("delete", target, error))?;
        sync_folder(parent(target))
    };
    if_unchanged(root, path, expected, delete).await
}

/// Does `change` where the file is still `expected`. A file system has no such operation, so all who come here lock the
/// folder meanwhile; the system lifts that lock when its process dies.
async fn if_unchanged(
    root: Arc<PathBuf>,
    path: String,
    expected: Bytes,
    change: impl FnOnce(&Path, &Path) -> Result<()> + Send + 'static,
) -> Result<bool> {
    on_disk(move || {
        let target = root.join(path);
        let folder = parent(&target);
        let guard = match File::open(folder) {
            Ok(guard) => guard,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(disk_error("read", folder, error)),
        };
        guard.lock().map_err(|error| disk_error("lock", folder, error))?;
        match std::fs::read(&target) {
            Ok(held) if held == expected => change(&root, &target).map(|()| true),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk_error("read", &target, error)),
        }
    })
    .await
}

pub(super) async fn promote(root: Arc<PathBuf>, from: String, to: String) -> Result<bool> {
    on_disk(move || {
        let (from, to) = (root.join(from), root.join(to));
        create_folder(&root, parent(&to))?;
        match std::fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => return Ok(false),
            Err(error) => return Err(disk_error("write", &to, error)),
        }
        sync_folder(parent(&to))?;
        Ok(true)
    })
    .await
}

pub(super) async fn delete(path: PathBuf) -> Result<()> {
    on_disk(move || match std::fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(disk_error("delete", &path, error)),
    })
    .await
}

pub(super) async fn delete_folder(path: PathBuf) -> Result<()> {
    on_disk(move || match std::fs::remove_dir_all(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(disk_error("delete", &path, error)),
    })
    .await
}

pub(super) async fn list(root: Arc<PathBuf>, folder: String) -> Result<Vec<String>> {
    on_disk(move || {
        let mut paths = Vec::new();
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(disk_error("list", &folder, error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| disk_error("list", &folder, error))?;
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(path);
                } else if let Some(relative) = path.strip_prefix(root.as_path()).ok().and_then(Path::to_str) {
                    paths.push(relative.to_owned());
                }
            }
        }
        Ok(paths)
    })
    .await
}

pub(super) async fn entry(path: PathBuf) -> Result<Option<EntryKind>> {
    on_disk(move || match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(Some(EntryKind::Folder)),
        Ok(found) if found.is_file() => Ok(Some(EntryKind::File)),
        Ok(_) => Ok(Some(EntryKind::Other)),
        // A link that leads nowhere, or in a circle, is there all the same.
        Err(_) if path.is_symlink() => Ok(Some(EntryKind::Other)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(disk_error("read", &path, error)),
    })
    .await
}

pub(super) async fn any_entry(root: Arc<PathBuf>) -> Result<Option<String>> {
    on_disk(move || match std::fs::read_dir(root.as_path()) {
        Ok(entries) => {
            let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
            Ok(names.find(|name| !is_put_begun(name)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk_error("read", &root, error)),
    })
    .await
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

/// The folder that a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// An error of the disk, with what a person can do about the usual ones.
pub(super) fn disk_error(verb: &str, path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space and run the same command again: what is committed stays, the rest is fetched again")
        }
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
