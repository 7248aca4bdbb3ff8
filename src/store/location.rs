//! The locations of stores: a path or a URL becomes a store. Not here: the promises of a store (`mod`).

use std::path::{Path, PathBuf};

use url::Url;

use super::disk::Disk;
use super::{Backend, Store, StoreOptions};
use crate::error::{Context, Error, ErrorKind, Result};

impl Store {
    /// Opens a location with the default options. See [`Store::open_with`].
    pub fn open(location: &str) -> Result<Store> {
        Store::open_with(location, &StoreOptions::default())
    }

    /// Opens a location: a path, `file://…`, or `memory:///` (a new, empty store that dies with the process).
    ///
    /// Nothing is created or read. Fails with [`ErrorKind::Input`] for a location of another kind.
    pub fn open_with(location: &str, _options: &StoreOptions) -> Result<Store> {
        if let Some((scheme, _)) = location.split_once("://") {
            return match scheme {
                "file" => {
                    let url = Url::parse(location).or_error(ErrorKind::Input, || format!("{location} is not a URL"))?;
                    let path =
                        url.to_file_path().map_err(|()| Error::input(format!("{location} names no local folder")))?;
                    local(&path)
                }
                "memory" => Ok(Store::memory()),
                "gs" | "s3" | "r2" => {
                    Err(Error::input(format!("a lake in a bucket ({scheme}://) is not supported yet"))
                        .hint("give a local folder"))
                }
                _ => Err(Error::input(format!("{location} is not a place for a lake"))
                    .hint("give a folder, or a file:// URL")),
            };
        }
        local(Path::new(location))
    }
}

fn local(path: &Path) -> Result<Store> {
    let root = std::path::absolute(path).or_error(ErrorKind::Input, || format!("{} is not a path", path.display()))?;
    let root = without_parents(&root);
    let root_url =
        Url::from_directory_path(&root).map_err(|()| Error::input(format!("{} is not a path", path.display())))?;
    Ok(Store { backend: Backend::Disk(Disk::new(root)), root_url })
}

/// Returns the path without `..`, which no URL can express. Follows a link before taking its parent, as the system
/// does.
fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            plain = plain.canonicalize().unwrap_or(plain);
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}
