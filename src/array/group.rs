//! A group of arrays in the store: its `zarr.json`, which holds the metadata of all its arrays and is the one that counts,
//! and a `zarr.json` for each array, a copy for readers that open one array alone. Not here: the values (`shards`).

use bytes::Bytes;
use serde_json::Value;

use super::form::ArrayForm;
use super::spec::{FORMAT, FORMAT_VERSION, GENERATION};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::Store;

const METADATA: &str = "zarr.json";
/// How often an update of the metadata is tried again because another process has written it.
const MAX_TRIES: usize = 20;

/// A group in a folder of a store.
#[derive(Debug, Clone)]
pub(super) struct Group {
    store: Store,
    folder: String,
}

/// The metadata of a group as it was read.
#[derive(Debug, Clone)]
pub(super) struct StoredGroup {
    text: Bytes,
    json: Value,
    folder: String,
}

impl Group {
    pub(super) fn new(store: &Store, folder: String) -> Group {
        Group { store: store.clone(), folder }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Reads the metadata; `None` if there is none. Fails with [`ErrorKind::Lake`] if it is damaged, or if a newer version
    /// wrote it.
    pub(super) async fn find(&self) -> Result<Option<StoredGroup>> {
        let path = format!("{}/{METADATA}", self.folder);
        let Some(text) = self.store.get(&path).await? else { return Ok(None) };
        let json: Value = serde_json::from_slice(&text).or_error(ErrorKind::Lake, || format!("{path} is damaged"))?;
        match json["attributes"][FORMAT].as_u64() {
            Some(version) if version <= FORMAT_VERSION => {
                Ok(Some(StoredGroup { text, json, folder: self.folder.clone() }))
            }
            Some(_) => Err(Error::lake(format!("a newer version of all-docs wrote {}", self.folder))
                .hint("install a newer version of all-docs")),
            None => Err(Error::lake(format!("{path} is not of all-docs, or is damaged"))),
        }
    }

    /// Replaces the metadata by what `change` makes of it, until no other process has written it meanwhile; `None` of
    /// `change` leaves it as it is. Afterwards the metadata of each array agrees with that of the group. Returns the
    /// metadata that is in place, and whether this call has changed it.
    pub(super) async fn update(
        &self,
        change: impl Fn(Option<&StoredGroup>) -> Result<Option<Value>>,
    ) -> Result<(StoredGroup, bool)> {
        for _ in 0..MAX_TRIES {
            let held = self.find().await?;
            let (now, is_changed) = match (change(held.as_ref())?, held) {
                (None, Some(held)) => (held, false),
                (None, None) => return Err(Error::internal(format!("{} has no metadata", self.folder))),
                (Some(json), held) => match self.replace(held.as_ref(), json).await? {
                    Some(now) => (now, true),
                    None => continue,
                },
            };
            self.copy_to_arrays(&now).await?;
            // Another process may have written newer metadata, and its copies, before these copies were written.
            if self.find().await?.is_some_and(|found| found.text == now.text) {
                return Ok((now, is_changed));
            }
        }
        Err(Error::lake(format!("cannot write {} of {}", self.folder, self.store.location()))
            .hint("other processes write it all the time; run the same command again"))
    }

    async fn replace(&self, held: Option<&StoredGroup>, json: Value) -> Result<Option<StoredGroup>> {
        let path = format!("{}/{METADATA}", self.folder);
        let text = to_text(&json)?;
        let is_written = match held {
            Some(held) => self.store.replace_if_unchanged(&path, &held.text, text.clone()).await?,
            None => self.store.put_if_absent(&path, text.clone()).await?,
        };
        Ok(is_written.then(|| StoredGroup { text, json, folder: self.folder.clone() }))
    }

    async fn copy_to_arrays(&self, group: &StoredGroup) -> Result<()> {
        let arrays = group.json["consolidated_metadata"]["metadata"].as_object();
        for (name, json) in arrays.into_iter().flatten() {
            let path = format!("{}/{name}/{METADATA}", self.folder);
            let text = to_text(json)?;
            if self.store.get(&path).await? != Some(text.clone()) {
                self.store.put(&path, text).await?;
            }
        }
        Ok(())
    }
}

impl StoredGroup {
    /// Returns the form of an array of the group.
    pub(super) fn array(&self, name: &str) -> Result<ArrayForm> {
        ArrayForm::of_group(&self.json, &self.folder, name)
    }

    /// Returns the metadata of the group with its arrays.
    pub(super) fn json(&self) -> &Value {
        &self.json
    }

    /// Returns the generation of the values.
    pub(super) fn generation(&self) -> u64 {
        self.json["attributes"][GENERATION].as_u64().unwrap_or_default()
    }

    /// Returns the metadata with the next generation.
    pub(super) fn of_next_generation(&self) -> Value {
        let mut json = self.json.clone();
        json["attributes"][GENERATION] = Value::from(self.generation() + 1);
        json
    }
}

fn to_text(json: &Value) -> Result<Bytes> {
    let text = serde_json::to_vec_pretty(json).or_error(ErrorKind::Internal, || "cannot write metadata".to_owned())?;
    Ok(text.into())
}
