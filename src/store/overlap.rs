//! Tells whether two stores share a place.

use std::path::{Path, PathBuf};

use url::{Position, Url};

use super::Store;

impl Store {
    /// Returns whether one of two stores has the place of the other, or lies in it. Links to folders are followed. Each
    /// store in memory has a place of its own. Buckets of two servers may have the same name; one server may be reached by
    /// the protocols of two providers.
    pub fn overlaps(&self, other: &Store) -> bool {
        let (one, other) = match (&self.server, &other.server) {
            (None, None) if self.is_disk() && other.is_disk() => (real(self.root_url()), real(other.root_url())),
            (Some(one), Some(two)) if server(one) == server(two) => (self.root_url.clone(), other.root_url.clone()),
            _ => return false,
        };
        let place = |url: &Url| url[Position::AfterScheme..].to_owned();
        let (one, other) = (place(&one), place(&other));
        one.starts_with(&other) || other.starts_with(&one)
    }

    fn is_disk(&self) -> bool {
        self.root_url.scheme() == "file"
    }
}

/// Returns the address of a server in one form.
fn server(address: &str) -> String {
    address.trim_end_matches('/').to_ascii_lowercase().replace("://localhost", "://127.0.0.1")
}

/// Returns the URL without links, where it is that of a local folder.
fn real(url: &Url) -> Url {
    let path = url.to_file_path().ok();
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
    use crate::store::StoreOptions;

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
            assert_eq!(at(&lake).overlaps(&at(&other)), overlaps, "{}", other.display());
            assert_eq!(at(&other).overlaps(&at(&lake)), overlaps, "{}", other.display());
        }
        assert!(!Store::memory().overlaps(&Store::memory()));
        assert!(!Store::memory().overlaps(&at(&lake)));
    }

    #[test]
    fn a_bucket_overlaps_its_folders_by_any_protocol_and_no_bucket_of_another_server() {
        let bucket = |location: &str, endpoint: &str| {
            let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), "x".to_owned()));
            let endpoint = Some(endpoint.to_owned());
            let options = StoreOptions { endpoint, environment: keys.into(), ..StoreOptions::default() };
            Store::open_with(location, &options).unwrap()
        };
        let lake = bucket("s3://lakes/npm", "http://127.0.0.1:9");
        for (other, endpoint, overlaps) in [
            ("s3://lakes/npm", "http://127.0.0.1:9", true),
            ("s3://lakes/npm/copy", "http://127.0.0.1:9/", true),
            ("s3://lakes", "http://localhost:9", true),
            ("r2://lakes/npm", "http://127.0.0.1:9", true),
            ("s3://lakes/npm-2", "http://127.0.0.1:9", false),
            ("s3://others/npm", "http://127.0.0.1:9", false),
            ("s3://lakes/npm", "http://127.0.0.1:10", false),
        ] {
            assert_eq!(lake.overlaps(&bucket(other, endpoint)), overlaps, "{other} {endpoint}");
            assert_eq!(bucket(other, endpoint).overlaps(&lake), overlaps, "{other} {endpoint}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_is_that_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (lake, link) = (folder.path().join("lake"), folder.path().join("link"));
        std::fs::create_dir(&lake).unwrap();
        std::os::unix::fs::symlink(&lake, &link).unwrap();
        assert!(at(&lake).overlaps(&at(&link)));
        assert!(at(&link.join("new")).overlaps(&at(&lake)));
    }
}
