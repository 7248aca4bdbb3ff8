//! Versions of objects in buckets. A process that knows the version of an object replaces it by one request, without
//! reading it again to compare its bytes. Not here: records (`record`).

use bytes::Bytes;
use object_store::UpdateVersion;

use super::objects::version_of;
use super::{Backend, Store};
use crate::error::Result;

/// The version of an object in a bucket; none on a disk, and from a server that told none.
#[derive(Debug, Clone, Default)]
pub(super) struct Version(Option<UpdateVersion>);

impl From<UpdateVersion> for Version {
    fn from(told: UpdateVersion) -> Version {
        Version(Some(told).filter(|told| told.e_tag.is_some() || told.version.is_some()))
    }
}

impl Store {
    /// Returns the object at `path` and its version; `None` if there is none.
    pub(super) async fn get_with_version(&self, path: &str) -> Result<Option<(Bytes, Version)>> {
        match &self.backend {
            Backend::Disk(disk) => Ok(disk.get(path).await?.map(|bytes| (bytes, Version::default()))),
            Backend::Objects(objects) => {
                Ok(objects.read(path).await?.map(|(meta, bytes)| (bytes, version_of(&meta).into())))
            }
        }
    }

    /// See [`Store::put_if_absent`]. Returns the version of the new object.
    pub(super) async fn create(&self, path: &str, bytes: Bytes) -> Result<Option<Version>> {
        match &self.backend {
            Backend::Disk(disk) => Ok(disk.put_if_absent(path, bytes).await?.then(Version::default)),
            Backend::Objects(objects) => Ok(objects.put_if_absent(path, bytes).await?.map(Version::from)),
        }
    }

    /// See [`Store::replace_if_unchanged`]. If the version of `expected` is known, its bytes are not compared. Returns the
    /// new version.
    pub(super) async fn replace(
        &self,
        path: &str,
        expected: &Bytes,
        version: &Version,
        bytes: Bytes,
    ) -> Result<Option<Version>> {
        let objects = match &self.backend {
            Backend::Disk(disk) => {
                return Ok(disk.replace_if_unchanged(path, expected.clone(), bytes).await?.then(Version::default));
            }
            Backend::Objects(objects) => objects,
        };
        let replaced = match &version.0 {
            Some(version) => objects.replace_version(path, version.clone(), bytes).await?,
            None => objects.replace_if_unchanged(path, expected, bytes).await?,
        };
        Ok(replaced.map(Version::from))
    }
}
