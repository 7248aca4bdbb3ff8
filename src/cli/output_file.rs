//! Writes a file for the user. The file takes its name when it is complete, so a failure leaves no partial file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::error::{Context, Error, ErrorKind, Result};

/// Returns the file that `--output` names; `None` for standard output, which is also called `-`.
pub(super) fn named(output: Option<&Path>) -> Option<&Path> {
    output.filter(|path| *path != Path::new("-"))
}

/// The future name of a file that is being written.
#[must_use = "the file is deleted unless it gets its name"]
pub(super) struct Naming {
    /// The temporary path; `None` for a pipe or a device, which is written to directly.
    staged: Option<TempPath>,
    path: PathBuf,
}

/// Creates a file that later takes the name `path`. If `path` is a link, the file replaces the link's target. An
/// existing file keeps its permissions.
pub(super) fn create(path: &Path) -> Result<(File, Naming)> {
    let cannot = || format!("cannot write {}", path.display());
    let there = std::fs::metadata(path).ok();
    if there.as_ref().is_some_and(std::fs::Metadata::is_dir) {
        return Err(Error::input(format!("{} is a folder", path.display())).hint("name a file in it"));
    }
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        let file = File::options().write(true).open(path).or_error(ErrorKind::Input, cannot)?;
        return Ok((file, Naming { staged: None, path: path.to_owned() }));
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".all-docs-");
    #[cfg(unix)]
    {
        // Temporary files are private by default; a result gets the permissions of an ordinary file.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let staged = builder.tempfile_in(folder).or_error(ErrorKind::Input, cannot)?;
    if let Some(there) = there {
        staged.as_file().set_permissions(there.permissions()).or_error(ErrorKind::Input, cannot)?;
    }
    let (file, staged) = staged.into_parts();
    Ok((file, Naming { staged: Some(staged), path }))
}

/// Writes a whole file at once.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let (mut file, naming) = create(path)?;
    file.write_all(bytes).or_error(ErrorKind::Input, || format!("cannot write {}", path.display()))?;
    naming.finish()
}

impl Naming {
    /// Gives the file its name.
    pub(super) fn finish(self) -> Result<()> {
        let Naming { staged: Some(staged), path } = self else { return Ok(()) };
        staged.persist(&path).or_error(ErrorKind::Input, || format!("cannot write {}", path.display()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_link_stays_a_link_and_a_file_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        write(&link, b"after").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"after");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_pipe_is_written_to_and_stays_one_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, b"answer").unwrap();
        assert_eq!(reader.join().unwrap(), b"answer");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(write(folder.path(), b"").unwrap_err().kind(), ErrorKind::Input);
    }
}
