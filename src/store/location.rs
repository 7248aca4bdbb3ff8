//! The locations of stores: a path or a URL becomes a store. Not here: the promises of a store (`mod`).

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use url::Url;

use super::cost::ListPrices;
use super::disk::Disk;
use super::reach::{BucketUrl, Provider, reach};
use super::{Backend, ObjectCache, Store, StoreOptions};
use crate::error::{Context, Error, ErrorKind, Result};

impl Store {
    /// Opens a location with the default options. See [`Store::open_with`].
    pub fn open(location: &str) -> Result<Store> {
        Store::open_with(location, &StoreOptions::default())
    }

    /// Opens a location: a path, `file://…`, a bucket (`gs://BUCKET/FOLDER`, `r2://…`, `s3://…`), or `memory:///` (a new,
    /// empty store that dies with the process).
    ///
    /// Nothing is created, and nothing far is read: [`Store::check`] makes the first contact. Fails with
    /// [`ErrorKind::Input`] for a location of another kind, and for options, variables and files of credentials that are
    /// missing or cannot be used.
    pub fn open_with(location: &str, options: &StoreOptions) -> Result<Store> {
        if let Some((scheme, rest)) = location.split_once("://") {
            if let Some(provider) = Provider::of_scheme(scheme) {
                return bucket(&BucketUrl::parse(provider, rest)?, options);
            }
            return match scheme {
                "file" => {
                    let url = Url::parse(location).or_error(ErrorKind::Input, || format!("{location} is not a URL"))?;
                    let path =
                        url.to_file_path().map_err(|()| Error::input(format!("{location} names no local folder")))?;
                    local(&path)
                }
                "memory" => Ok(Store::memory()),
                // The rest may hold a secret, so it is not repeated.
                _ => Err(Error::input(format!("{scheme}:// is not a place for a lake"))
                    .hint("give a folder, a file:// URL, or a bucket: gs://, r2:// or s3://")),
            };
        }
        // A slash is missing: nobody names a folder so.
        let is_mistyped = |scheme: &str| Provider::of_scheme(scheme).is_some() || scheme == "file";
        if let Some((scheme, rest)) = location.split_once(":/").filter(|(scheme, _)| is_mistyped(scheme)) {
            let hint = format!("write it as {scheme}:///{rest}");
            let hint = if scheme == "file" { hint } else { format!("write it as {scheme}://{rest}") };
            return Err(Error::input(format!("{scheme}:/ begins no location")).hint(hint));
        }
        local(Path::new(location))
    }
}

fn bucket(url: &BucketUrl, options: &StoreOptions) -> Result<Store> {
    let (client, target) = reach(url, options)?;
    // Two servers may each have a bucket of that name. What was built for one must not get into the other.
    let scratch = options.scratch.as_ref().map(|parent| {
        let digest = format!("{:x}", Sha256::digest(&target.server));
        parent.join(&digest[..16])
    });
    let store = Store::of_objects(client, url.url.clone(), url.prefix.clone(), scratch);
    let store = Store { prices: ListPrices::of(&target), server: Some(target.server.clone()), ..store };
    Ok(match &options.cache {
        Some(folder) => store.with_cache(ObjectCache::new(folder.clone(), &target.server, ObjectCache::LIMIT_BYTES)),
        None => store,
    })
}

fn local(path: &Path) -> Result<Store> {
    let root = std::path::absolute(path).or_error(ErrorKind::Input, || format!("{} is not a path", path.display()))?;
    let root = without_parents(&root);
    let root_url =
        Url::from_directory_path(&root).map_err(|()| Error::input(format!("{} is not a path", path.display())))?;
    Ok(Store { backend: Backend::Disk(Disk::new(root)), root_url, prices: None, server: None })
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
