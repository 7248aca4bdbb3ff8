//! Tells whether two stores share a place.

use std::path::{Path, PathBuf};

use url::Url;

use super::Store;

impl Store {
    /// Returns whether one of two stores has the place of the other, or lies in it. Links to folders are followed. Each
    /// store in memory has a place of its own. `is_one_service` says that equal URLs of buckets are one bucket: buckets of
    /// different services may have the same name.
    pub fn overlaps(&self, other: &Store, is_one_service: bool) -> bool {
        let (one, other) = (real(self.root_url()), real(other.root_url()));
        let within = |inner: &Url, outer: &Url| inner.as_str().starts_with(outer.as_str());
        let is_comparable = match one.scheme() {
            "file" => true,
            "memory" => false,
            _ => is_one_service,
        };
        is_comparable && (within(&one, &other) || within(&other, &one))
    }
}

/// Returns the URL without links, where it is that of a local folder.
fn real(url: &Url) -> Url {
    let path = (url.scheme() == "file").then(|| url.to_file_path().ok()).flatten();
    path.and_then(|path| Url::from_directory_path(real_path(&path)).ok()).unwrap_or_else(|| url.clone())
}

/// Returns the path of a folder without links. The last parts of it may not exist yet.
fn real_path(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) => real_path(parent).join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(path: &Path) -> Store {
        Store::open(path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn a_folder_overlaps_itself_and_what_lies_in_it_and_not_its_neighbours() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        for (other, overlaps) in [
            (lake.clone(), true),
            (lake.join("new/inside"), true),
            (folder.path().to_owned(), true),
            (folder.path().join("lake-2"), false),
            (folder.path().join("other"), false),
        ] {
            assert_eq!(at(&lake).overlaps(&at(&other), false), overlaps, "{}", other.display());
            assert_eq!(at(&other).overlaps(&at(&lake), true), overlaps, "{}", other.display());
        }
        assert!(!Store::memory().overlaps(&Store::memory(), true));
        assert!(!Store::memory().overlaps(&at(&lake), true));
    }

    #[test]
    fn a_bucket_overlaps_its_folders_and_no_bucket_of_another_service() {
        let bucket = |url: &str| {
            let client = std::sync::Arc::new(crate::store::MemoryBucket::new());
            Store::of_objects(client, Url::parse(url).unwrap(), object_store::path::Path::ROOT, None)
        };
        let lake = bucket("s3://lakes/npm/");
        for (other, overlaps) in [
            ("s3://lakes/npm/", true),
            ("s3://lakes/npm/copy/", true),
            ("s3://lakes/", true),
            ("s3://lakes/npm-2/", false),
            ("s3://others/npm/", false),
            ("r2://lakes/npm/", false),
        ] {
            assert_eq!(lake.overlaps(&bucket(other), true), overlaps, "{other}");
            assert!(!lake.overlaps(&bucket(other), false), "{other}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_is_that_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, link) = (folder.path().join("lake"), folder.path().join("link"));
        std::fs::create_dir(&lake).unwrap();
        std::os::unix::fs::symlink(&lake, &link).unwrap();
        assert!(at(&lake).overlaps(&at(&link), true));
        assert!(at(&link.join("new")).overlaps(&at(&lake), true));
    }
}
