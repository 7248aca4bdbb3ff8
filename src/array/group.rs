//! A group of arrays in the store: its `zarr.json`, which holds the metadata of all its arrays and is the one that counts,
//! and a `zarr.json` for each array, a copy for readers that open one array alone. Not here: the values (`shards`).

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::form::ArrayForm;
use super::spec::{FORMAT, FORMAT_VERSION, GENERATION};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::Store;

/// The file name of the metadata of a group, and of an array.
pub(super) const METADATA: &str = "zarr.json";
/// The attribute with the digest of the metadata of a group without this attribute.
pub(super) const SEAL: &str = "metadata_sha256";
/// The hint of an error about an object that only a repair makes whole again.
pub(super) const REPAIR: &str = "all-docs verify names all that is damaged, and all-docs verify --repair mends it";
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

/// Why metadata cannot be used.
enum Unusable {
    /// Its bytes are not those that were written.
    Damaged(String),
    /// Other software made the group.
    Foreign,
    Newer,
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

    /// Returns the path of the metadata.
    pub(super) fn path(&self) -> String {
        format!("{}/{METADATA}", self.folder)
    }

    /// Reads the metadata; `None` if there is none. Fails with [`ErrorKind::Lake`] if it is damaged, or if a newer version
    /// or other software wrote it.
    pub(super) async fn find(&self) -> Result<Option<StoredGroup>> {
        let path = self.path();
        let Some(text) = self.store.get(&path).await? else { return Ok(None) };
        self.parse(text).map(Some).map_err(|unusable| self.error_of(unusable))
    }

    /// Fails if a newer version or other software wrote the metadata, as [`find`](Self::find) does.
    pub(super) async fn refuse_others(&self) -> Result<()> {
        let Some(text) = self.store.get(&self.path()).await? else { return Ok(()) };
        match self.parse(text) {
            Err(unusable @ (Unusable::Foreign | Unusable::Newer)) => Err(self.error_of(unusable)),
            Ok(_) | Err(Unusable::Damaged(_)) => Ok(()),
        }
    }

    fn error_of(&self, unusable: Unusable) -> Error {
        let (path, folder) = (self.path(), &self.folder);
        match unusable {
            Unusable::Damaged(cause) => Error::lake(format!("{path} is damaged: {cause}")).hint(REPAIR),
            Unusable::Foreign => Error::lake(format!("{path} is not of all-docs: it has no attribute {FORMAT}")).hint(
                format!("move {folder} away, and run the same command again; all-docs overwrites no array of others"),
            ),
            Unusable::Newer => Error::lake(format!("a newer version of all-docs wrote {folder}"))
                .hint("install a newer version of all-docs"),
        }
    }

    /// Removes damaged metadata of arrays that can be made again as a whole.
    pub(super) async fn discard_damaged(&self) -> Result<()> {
        let Some(text) = self.store.get(&self.path()).await? else { return Ok(()) };
        if let Err(Unusable::Damaged(cause)) = self.parse(text) {
            tracing::warn!(path = self.path(), cause, "damaged metadata is made again");
            self.store.delete(&self.path()).await?;
        }
        Ok(())
    }

    /// Removes the metadata: a reader that opens the group finds none.
    pub(super) async fn remove(&self) -> Result<()> {
        self.store.delete(&self.path()).await
    }

    fn parse(&self, text: Bytes) -> Result<StoredGroup, Unusable> {
        let damaged = |cause: &str| Unusable::Damaged(cause.to_owned());
        let json: Value = serde_json::from_slice(&text).map_err(|error| damaged(&error.to_string()))?;
        let version = json["attributes"][FORMAT].as_u64().ok_or(Unusable::Foreign)?;
        if version > FORMAT_VERSION {
            return Err(Unusable::Newer);
        }
        let group = StoredGroup { text, json, folder: self.folder.clone() };
        // Other software that changes an attribute formats the text in its own way, and does not know of the digest.
        if group.is_as_written() && seal_of(&group.json).ok().as_deref() != group.json["attributes"][SEAL].as_str() {
            return Err(damaged("its bytes are not those that were written"));
        }
        Ok(group)
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

    /// Makes the generation odd: from now on values change in place.
    pub(super) async fn begin_change(&self) -> Result<()> {
        self.next_generation_if(|generation| generation.is_multiple_of(2)).await.map(drop)
    }

    /// Makes the generation even if it is odd: no value changes any more. Returns the generation.
    pub(super) async fn end_change(&self) -> Result<u64> {
        self.next_generation_if(|generation| !generation.is_multiple_of(2)).await
    }

    /// Sets attributes, unless they have these values or there is no group.
    pub(super) async fn set_attributes(&self, attributes: &[(&str, Value)]) -> Result<()> {
        if self.find().await?.is_none() {
            return Ok(());
        }
        let set = |held: Option<&StoredGroup>| {
            let held = held.map(StoredGroup::json);
            let is_set =
                held.is_none_or(|held| attributes.iter().all(|(name, value)| held["attributes"][name] == *value));
            Ok(held.filter(|_| !is_set).map(|held| {
                let mut json = held.clone();
                attributes.iter().for_each(|(name, value)| json["attributes"][name] = value.clone());
                json
            }))
        };
        self.update(set).await.map(drop)
    }

    async fn next_generation_if(&self, is_due: impl Fn(u64) -> bool) -> Result<u64> {
        let due = |held: &StoredGroup| is_due(held.generation()).then(|| held.of_next_generation());
        Ok(self.update(|held| Ok(held.and_then(due))).await?.0.generation())
    }

    async fn replace(&self, held: Option<&StoredGroup>, json: Value) -> Result<Option<StoredGroup>> {
        let path = self.path();
        let mut json = json;
        json["attributes"][SEAL] = Value::from(seal_of(&json)?);
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

/// Returns the separator of the generations of a graph before and after one.
pub(super) fn other_separator(separator: char) -> char {
    if separator == '/' { '.' } else { '/' }
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

    /// Returns whether no value was being changed when it was read, nor when a process died.
    pub(super) fn is_settled(&self) -> bool {
        self.generation().is_multiple_of(2)
    }

    /// Returns the text as it was read.
    pub(super) fn text(&self) -> &Bytes {
        &self.text
    }

    /// Returns the text that the copy of an array's metadata has.
    pub(super) fn text_of_array(&self, name: &str) -> Result<Bytes> {
        to_text(&self.json["consolidated_metadata"]["metadata"][name])
    }

    /// Returns the character between the parts of the names of objects, which differs between the generations of a graph.
    pub(super) fn separator(&self) -> char {
        let mut arrays = self.json["consolidated_metadata"]["metadata"].as_object().into_iter().flatten();
        let separator = |(_, array): (_, &Value)| {
            array["chunk_key_encoding"]["configuration"]["separator"].as_str()?.chars().next()
        };
        arrays.next().and_then(separator).unwrap_or('/')
    }

    /// Returns the names of the arrays.
    pub(super) fn array_names(&self) -> Vec<String> {
        let arrays = self.json["consolidated_metadata"]["metadata"].as_object();
        arrays.into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    /// Returns whether the text is formatted as this tool formats it.
    pub(super) fn is_as_written(&self) -> bool {
        to_text(&self.json).is_ok_and(|text| text == self.text)
    }

    fn of_next_generation(&self) -> Value {
        let mut json = self.json.clone();
        json["attributes"][GENERATION] = Value::from(self.generation() + 1);
        json
    }
}

/// Returns the digest of the metadata of a group, in hex.
fn seal_of(group: &Value) -> Result<String> {
    let mut group = group.clone();
    if let Some(attributes) = group["attributes"].as_object_mut() {
        attributes.remove(SEAL);
    }
    Ok(format!("{:x}", Sha256::digest(to_text(&group)?)))
}

pub(super) fn to_text(json: &Value) -> Result<Bytes> {
    let text = serde_json::to_vec_pretty(json).or_error(ErrorKind::Internal, || "cannot write metadata".to_owned())?;
    Ok(text.into())
}
