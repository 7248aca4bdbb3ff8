//! Listings of a bucket with sizes and ETags, and the small objects in them. Not here: on a local disk (`local`).

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

use super::Objects;
use crate::error::Result;
use crate::store::cache::Part;
use crate::store::listed::{FolderContent, Listed};
use crate::store::refusal::refusal;

impl Objects {
    /// See [`crate::store::Store::list_sized`].
    pub(in crate::store) async fn list_sized(&self, folder: &str) -> Result<Vec<Listed>> {
        let found = self.list_objects(folder).await?;
        Ok(sorted(found.into_iter().map(|entry| self.listed(entry)).collect()))
    }

    /// See [`crate::store::Store::list_folder`].
    pub(in crate::store) async fn list_folder(&self, folder: &str) -> Result<FolderContent> {
        let found = self.client.list_with_delimiter(Some(&self.path(folder)?)).await;
        let found = found.map_err(|error| refusal("list", folder, error))?;
        let mut folders: Vec<String> = found.common_prefixes.iter().map(|prefix| self.name(prefix)).collect();
        folders.sort_unstable();
        Ok(FolderContent {
            objects: sorted(found.objects.into_iter().map(|entry| self.listed(entry)).collect()),
            folders,
        })
    }

    fn listed(&self, entry: ObjectMeta) -> Listed {
        Listed { path: self.name(&entry.location), size_bytes: entry.size, e_tag: entry.e_tag }
    }

    /// See [`crate::store::Store::get_listed`].
    pub(in crate::store) async fn get_listed(&self, root_url: &Url, listed: &Listed) -> Result<Option<Bytes>> {
        let url = format!("{root_url}{}", listed.path);
        if let (Some(cache), Some(e_tag)) = (&self.cache, &listed.e_tag)
            && let Some(kept) = cache.get(&url, e_tag, Part::Whole).await
        {
            return Ok(Some(kept));
        }
        let Some(found) = self.find(&listed.path).await? else { return Ok(None) };
        // It may be a later version than the listed one.
        let e_tag = found.meta.e_tag.clone();
        let bytes = found.bytes().await.map_err(|error| refusal("read", &listed.path, error))?;
        if let (Some(cache), Some(e_tag)) = (&self.cache, e_tag) {
            cache.put(&url, &e_tag, Part::Whole, bytes.clone()).await;
        }
        Ok(Some(bytes))
    }
}

fn sorted(mut listed: Vec<Listed>) -> Vec<Listed> {
    listed.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    listed
}
