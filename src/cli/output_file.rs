//! A file that is written for the user: it takes its name when it is complete, so that what fails leaves no half file.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::{Context, ErrorKind, Result};

/// A new file beside `path`, to be given its name by [`tempfile::TempPath::persist`].
pub(super) fn create(path: &Path) -> Result<(File, tempfile::TempPath)> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".all-docs-");
    #[cfg(unix)]
    {
        // Temporary files are private by default; an answer is a file like any other.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let staged =
        builder.tempfile_in(folder).or_error(ErrorKind::Input, || format!("cannot write {}", path.display()))?;
    Ok(staged.into_parts())
}

/// Writes a whole file at once.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let (mut file, staged) = create(path)?;
    file.write_all(bytes).or_error(ErrorKind::Input, cannot)?;
    staged.persist(path).or_error(ErrorKind::Input, cannot)
}
