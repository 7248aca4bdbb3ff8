//! Objects as a listing shows them: one request tells of a thousand of them what else would take one for each. Small
//! objects that a listing shows are read from the cache where it has that version.

use std::io;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::cache::ObjectCache;
use super::disk::{Disk, disk_error};
use super::{Backend, Store};
use crate::error::Result;
use crate::lake::Record;

/// Small objects that are requested at once. Each takes some 100 ms of a far store, and next to no bandwidth.
const READ_AT_ONCE: usize = 32;

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path from the root of the store.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its version; `None` on a local disk, where nothing is cached.
    pub(super) e_tag: Option<String>,
}

/// The content of a folder itself, without that of the folders in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FolderContent {
    /// The objects, sorted by path.
    pub objects: Vec<Listed>,
    /// The paths of the folders, sorted.
    pub folders: Vec<String>,
}

impl Store {
    /// Uses `cache` for small objects and the ends of shards. A store on a local disk uses none: a copy of a local file
    /// on the same disk saves nothing.
    #[must_use]
    pub fn with_cache(mut self, cache: ObjectCache) -> Store {
        if let Backend::Objects(objects) = &mut self.backend {
            objects.cache = Some(cache);
        }
        self
    }

    /// Returns the cache that it uses.
    pub fn cache(&self) -> Option<&ObjectCache> {
        match &self.backend {
            Backend::Disk(_) => None,
            Backend::Objects(objects) => objects.cache.as_ref(),
        }
    }

    /// Returns whether reading an object costs a request over a network, so that commands that read a part of a lake look
    /// at fewer records of the rest.
    pub fn is_far(&self) -> bool {
        matches!(self.backend, Backend::Objects(_))
    }

    /// Returns all objects below `folder`, at any depth, sorted by path; none if the folder does not exist. Files that are
    /// staged in a scratch folder are not among them.
    pub async fn list_sized(&self, folder: &str) -> Result<Vec<Listed>> {
        match &self.backend {
            Backend::Disk(disk) => disk.list_sized(folder).await,
            Backend::Objects(objects) => objects.list_sized(folder).await,
        }
    }

    /// Returns the content of a folder; nothing if it does not exist.
    pub async fn list_folder(&self, folder: &str) -> Result<FolderContent> {
        match &self.backend {
            Backend::Disk(disk) => disk.list_folder(folder).await,
            Backend::Objects(objects) => objects.list_folder(folder).await,
        }
    }

    /// Returns the bytes of an object that was listed, or of its next version if it was replaced since; `None` if it was
    /// removed.
    pub async fn get_listed(&self, listed: &Listed) -> Result<Option<Bytes>> {
        match &self.backend {
            Backend::Disk(disk) => disk.get(&listed.path).await,
            Backend::Objects(objects) => objects.get_listed(&self.root_url, listed).await,
        }
    }

    /// Returns the bytes of objects that were listed, in their order, without those that were removed since. Reads some at
    /// once.
    pub async fn get_all_listed(&self, listed: Vec<Listed>) -> Result<Vec<(String, Bytes)>> {
        let read = |listed: Listed| async move {
            let bytes = self.get_listed(&listed).await?;
            Ok(bytes.map(|bytes| (listed.path, bytes)))
        };
        let read = stream::iter(listed).map(read).buffered(READ_AT_ONCE);
        read.try_filter_map(|found| std::future::ready(Ok(found))).try_collect().await
    }

    /// Returns the records in a folder by their paths, sorted: the files whose names end in `.json`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Lake`] if one of them cannot be read, is damaged, or was written by a newer version.
    pub async fn read_records<R: Record>(&self, folder: &str) -> Result<Vec<(String, R)>> {
        let mut listed = self.list_sized(folder).await?;
        listed.retain(|listed| listed.path.ends_with(".json"));
        let texts = self.get_all_listed(listed).await?;
        texts.into_iter().map(|(path, text)| R::from_json(&path, &text).map(|record| (path, record))).collect()
    }
}

impl Disk {
    async fn list_sized(&self, folder: &str) -> Result<Vec<Listed>> {
        let paths = self.list(folder).await?;
        self.run(move |disk| Ok(paths.into_iter().filter_map(|path| disk.listed(path)).collect())).await
    }

    async fn list_folder(&self, folder: &str) -> Result<FolderContent> {
        let (path, folder) = (self.path(folder), folder.to_owned());
        self.run(move |disk| {
            let cannot_read = |error| disk_error("read", &path, error);
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FolderContent::default()),
                Err(error) => return Err(cannot_read(error)),
            };
            let mut content = FolderContent::default();
            for entry in entries {
                let name = entry.map_err(cannot_read)?.file_name().to_string_lossy().into_owned();
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                match disk.path(&path).is_dir() {
                    true => content.folders.push(path),
                    false => content.objects.extend(disk.listed(path)),
                }
            }
            content.folders.sort_unstable();
            content.objects.sort_unstable_by(|one, other| one.path.cmp(&other.path));
            Ok(content)
        })
        .await
    }

    /// Returns the entry of a listing; `None` for a file that was removed since, or a link that leads nowhere.
    fn listed(&self, path: String) -> Option<Listed> {
        let size_bytes = std::fs::metadata(self.path(&path)).ok()?.len();
        Some(Listed { path, size_bytes, e_tag: None })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use object_store::path::Path as ObjectPath;
    use url::Url;

    use super::*;
    use crate::store::MemoryBucket;

    async fn filled(store: &Store) {
        store.create_root().await.unwrap();
        for (path, text) in [("a.json", "{}"), ("x/b.json", "12345"), ("x/y/c", ""), ("x/y~%/d e.json", "1")] {
            store.put(path, text).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_listing_shows_sizes_and_a_folder_only_its_own_content() {
        let folder = tempfile::tempdir().unwrap();
        let far = Store::of_objects(
            Arc::new(MemoryBucket::new()),
            Url::parse("s3://bucket/below/lake/").unwrap(),
            ObjectPath::from("below/lake"),
            None,
        );
        for store in [Store::open(folder.path().to_str().unwrap()).unwrap(), Store::memory(), far] {
            filled(&store).await;
            let sizes: Vec<_> =
                store.list_sized("x").await.unwrap().into_iter().map(|l| (l.path, l.size_bytes)).collect();
            let expected = [("x/b.json", 5), ("x/y/c", 0), ("x/y~%/d e.json", 1)];
            assert_eq!(sizes, expected.map(|(path, size)| (path.to_owned(), size)), "{store:?}");
            assert_eq!(store.list_sized("nothing").await.unwrap(), []);
            let root = store.list_folder("").await.unwrap();
            assert_eq!(root.folders, ["x"]);
            assert_eq!(root.objects.iter().map(|listed| listed.path.as_str()).collect::<Vec<_>>(), ["a.json"]);
            assert_eq!(store.list_folder("x").await.unwrap().folders, ["x/y", "x/y~%"]);
            assert_eq!(store.list_folder("nothing").await.unwrap(), FolderContent::default());
            let all = store.list_sized("").await.unwrap();
            store.delete("x/y/c").await.unwrap();
            let texts: Vec<_> = store.get_all_listed(all).await.unwrap().into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts, ["{}", "12345", "1"]);
        }
    }

    #[tokio::test]
    async fn an_object_is_requested_once_for_each_of_its_versions() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::memory().with_cache(ObjectCache::new(folder.path().to_owned(), "", 1 << 20));
        store.put("a.json", "1").await.unwrap();
        let first = store.list_sized("").await.unwrap().remove(0);
        let before = store.usage().gets;
        for _ in 0..3 {
            assert_eq!(store.get_listed(&first).await.unwrap().unwrap(), "1");
        }
        assert_eq!(store.usage().gets - before, 1);
        store.put("a.json", "2").await.unwrap();
        assert_eq!(store.get_listed(&first).await.unwrap().unwrap(), "1", "the version of the listing");
        let second = store.list_sized("").await.unwrap().remove(0);
        store.put("a.json", "3").await.unwrap();
        assert_eq!(store.get_listed(&second).await.unwrap().unwrap(), "3", "the version that is there");
        assert_eq!(store.get_listed(&second).await.unwrap().unwrap(), "3", "and it is not kept as the other one");
        store.delete("a.json").await.unwrap();
        assert_eq!(store.get_listed(&second).await.unwrap(), None);
    }
}
