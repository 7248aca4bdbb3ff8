//! Work items: a piece of work that one process hands to another, and its result, as JSON.
//!
//! Pure data. Not here: doing one (`pipeline`), and its way to a worker (`worker`).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::partition::{hex, hex_key};
use super::{Partition, Pivots, Record};
use crate::error::{Context, Error, ErrorKind, Result};

/// The longest name of a package, key or run in an item, in bytes. A key becomes a part of file names and requests.
const MOST_TEXT_BYTES: usize = 4096;

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// Make the partition set of an origin, or read it, and pass on its partitions.
    PartitionSet,
    /// Bring the partitions of a range up to date.
    Partition,
    /// Fetch one document.
    Packument,
}

impl ItemKind {
    /// All kinds.
    pub const ALL: [ItemKind; 3] = [ItemKind::PartitionSet, ItemKind::Partition, ItemKind::Packument];

    /// Returns its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::PartitionSet => "partition-set",
            ItemKind::Partition => "partition",
            ItemKind::Packument => "packument",
        }
    }

    /// Returns the kind of this name.
    pub fn parse(name: &str) -> Option<ItemKind> {
        ItemKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The payload of an item of kind [`ItemKind::PartitionSet`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartitionSetPayload {
    /// The producer's name for the set. It is passed on to the items of its partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_set_id: Option<String>,
    /// The pivots of a new lake; a leading or trailing null is an open end. `None` for balanced ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pivots: Option<Vec<Option<String>>>,
    /// The run that the item belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// The payload of an item of kind [`ItemKind::Partition`]. Its keys must be there: a misspelt one would be an open end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartitionPayload {
    /// The first name; `None` (null) is an open end.
    #[serde(deserialize_with = "required")]
    pub start_key: Option<String>,
    /// The first name above; `None` (null) is an open end.
    #[serde(deserialize_with = "required")]
    pub end_key: Option<String>,
    /// The producer's name for the set that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_set_id: Option<String>,
    /// Its place in that set, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The run that the item belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// The payload of an item of kind [`ItemKind::Packument`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PackumentPayload {
    /// The name of the package.
    pub package_name: String,
    /// The run that the item belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// Deserializes a member that may be null and must be there.
fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// The work that an item asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Payload {
    /// Of kind [`ItemKind::PartitionSet`].
    PartitionSet(PartitionSetPayload),
    /// Of kind [`ItemKind::Partition`].
    Partition(PartitionPayload),
    /// Of kind [`ItemKind::Packument`].
    Packument(PackumentPayload),
}

impl Payload {
    fn kind(&self) -> ItemKind {
        match self {
            Payload::PartitionSet(_) => ItemKind::PartitionSet,
            Payload::Partition(_) => ItemKind::Partition,
            Payload::Packument(_) => ItemKind::Packument,
        }
    }

    /// Returns the id of an item with this payload: the key of what it asks for.
    fn key(&self, origin: &str) -> String {
        match self {
            Payload::PartitionSet(_) => format!("v1:partition-set:{origin}"),
            Payload::Partition(payload) => payload.range().key(origin),
            Payload::Packument(payload) => format!("v1:packument:{origin}:{}", hex_key(&payload.package_name)),
        }
    }

    /// Refuses what cannot be meant.
    fn check(&self) -> Result<()> {
        let texts = match self {
            Payload::PartitionSet(payload) => vec![&payload.partition_set_id, &payload.run],
            Payload::Partition(payload) => {
                if let (Some(start), Some(end)) = (&payload.start_key, &payload.end_key)
                    && start >= end
                {
                    return Err(no_item(format!("no name is at or above {start:?} and below {end:?}")));
                }
                vec![&payload.start_key, &payload.end_key, &payload.partition_set_id, &payload.run]
            }
            Payload::Packument(payload) => {
                if payload.package_name.is_empty() || payload.package_name.len() > MOST_TEXT_BYTES {
                    return Err(no_item("packageName is no name of a package"));
                }
                vec![&payload.run]
            }
        };
        match texts.into_iter().flatten().find(|text| text.len() > MOST_TEXT_BYTES) {
            Some(text) => Err(no_item(format!("its payload has a text of {} bytes", text.len()))
                .hint(format!("a key or a name has {MOST_TEXT_BYTES} bytes at most"))),
            None => Ok(()),
        }
    }
}

impl PartitionSetPayload {
    /// Returns the pivots.
    ///
    /// Fails, of kind Input, for keys that are no pivots.
    pub fn parsed_pivots(&self) -> Result<Option<Pivots>> {
        let Some(keys) = &self.pivots else { return Ok(None) };
        let inner = keys.strip_prefix(&[None]).unwrap_or(keys);
        let inner = inner.strip_suffix(&[None]).unwrap_or(inner);
        let Some(inner) = inner.iter().cloned().collect::<Option<Vec<String>>>() else {
            return Err(no_item("its pivots have a null between two keys"));
        };
        Pivots::new(inner).map(Some)
    }
}

impl PartitionPayload {
    /// Returns its range.
    pub fn range(&self) -> Partition {
        Partition { start: self.start_key.clone(), end: self.end_key.clone() }
    }
}

/// A work item: what to do, under which id, how soon, and how often it was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    #[serde(rename = "type")]
    kind: ItemKind,
    id: String,
    payload: Payload,
    /// How soon it is done, as the producer's queue counts it; a worker does not use it.
    pub priority: i64,
    /// How often it was tried before; a worker does not use it.
    pub attempts: u64,
}

impl Item {
    /// Makes an item of an origin of the lake, with the id that its payload gives it.
    ///
    /// Fails, of kind Input, for a payload that cannot be meant.
    pub fn new(origin: &str, payload: Payload) -> Result<Item> {
        payload.check()?;
        Ok(Item { kind: payload.kind(), id: payload.key(origin), payload, priority: 0, attempts: 0 })
    }

    /// Parses an item of an origin of the lake. `kind` is the one that the place of arrival implies.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for a text that is no item: the sentence says why.
    pub fn parse(text: &[u8], kind: Option<ItemKind>, origin: &str) -> Result<Item> {
        let value: Value = serde_json::from_slice(text).or_error(ErrorKind::Input, || NO_ITEM.to_owned())?;
        let Value::Object(mut arrived) = value else { return Err(no_item("an item is a JSON object")) };
        let told = match text_of(&mut arrived, "type")? {
            Some(name) => Some(ItemKind::parse(&name).ok_or_else(|| no_item(format!("{name:?} is no type")))?),
            None => None,
        };
        let kind = match (told, kind) {
            (Some(told), Some(kind)) if told != kind => {
                return Err(no_item(format!("it is a {}, and a {} belongs here", told.as_str(), kind.as_str())));
            }
            (told, kind) => told.or(kind).ok_or_else(|| no_item("it has no type"))?,
        };
        let payload = arrived.remove("payload").unwrap_or(Value::Null);
        let payload = match kind {
            ItemKind::PartitionSet if payload.is_null() => Payload::PartitionSet(PartitionSetPayload::default()),
            _ if !payload.is_object() => return Err(no_item("its payload is no JSON object")),
            ItemKind::PartitionSet => {
                let payload: PartitionSetPayload = payload_of(kind, payload)?;
                payload.parsed_pivots()?;
                Payload::PartitionSet(payload)
            }
            ItemKind::Partition => Payload::Partition(payload_of(kind, payload)?),
            ItemKind::Packument => Payload::Packument(payload_of(kind, payload)?),
        };
        let item = Item::new(origin, payload)?;
        if text_of(&mut arrived, "id")?.is_some_and(|id| id != item.id) {
            return Err(no_item("its id is not the key of its payload")
                .hint(format!("the id of this payload here is {}; or leave the id out", item.id)));
        }
        let priority = number_of(&arrived, "priority", Value::as_i64)?;
        let attempts = number_of(&arrived, "attempts", Value::as_u64)?;
        Ok(Item { priority, attempts, ..item })
    }

    /// Returns its kind.
    pub fn kind(&self) -> ItemKind {
        self.kind
    }

    /// Returns its id: the key of what it asks for.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns what it asks for.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Returns the run that it belongs to, if it names one.
    pub fn run(&self) -> Option<&str> {
        match &self.payload {
            Payload::PartitionSet(payload) => payload.run.as_deref(),
            Payload::Partition(payload) => payload.run.as_deref(),
            Payload::Packument(payload) => payload.run.as_deref(),
        }
    }

    /// Returns the SHA-256 of id and payload in hex. Two items with the same one are the same work.
    pub fn digest(&self) -> String {
        let payload = serde_json::to_string(&self.payload).unwrap_or_default();
        hex(&Sha256::digest(format!("{}\n{payload}", self.id)))
    }

    /// Returns it as JSON on one line.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if JSON cannot express it.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).or_error(ErrorKind::Internal, || "an item cannot be written as JSON".to_owned())
    }
}

/// Takes a member that is a text; `None` if it is not there, or null.
fn text_of(arrived: &mut Map<String, Value>, member: &str) -> Result<Option<String>> {
    match arrived.remove(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(no_item(format!("its {member} is no text"))),
    }
}

/// Returns a member that is a whole number; 0 if it is not there, or null.
fn number_of<N: Default>(arrived: &Map<String, Value>, member: &str, read: impl Fn(&Value) -> Option<N>) -> Result<N> {
    match arrived.get(member).filter(|value| !value.is_null()) {
        None => Ok(N::default()),
        Some(value) => read(value).ok_or_else(|| no_item(format!("its {member} is no whole number"))),
    }
}

fn payload_of<P: DeserializeOwned>(kind: ItemKind, payload: Value) -> Result<P> {
    serde_json::from_value(payload)
        .or_error(ErrorKind::Input, || format!("the payload of the {} is none", kind.as_str()))
}

const NO_ITEM: &str = "this is no work item";

fn no_item(why: impl Into<String>) -> Error {
    Error::input(NO_ITEM).source(why.into())
}

/// Why an item failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemError {
    /// The error in words.
    pub message: String,
    /// The status of HTTP that is nearest to it; that of the registry's answer where there is one.
    pub status_code: u16,
}

/// The result of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemResult {
    /// The id of the item.
    pub work_item_id: String,
    /// Whether what it asked for is in the lake now.
    pub success: bool,
    /// The item's own result; null if it failed.
    #[serde(default)]
    pub data: Value,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<ItemError>,
    /// How long it took, in milliseconds.
    pub duration: u64,
    /// The counters of the work.
    #[serde(default)]
    pub metrics: Value,
}

impl ItemResult {
    /// Returns the result of an item on which no work was done. `id` is empty where there is no item.
    pub fn without_work(id: &str, error: ItemError) -> ItemResult {
        ItemResult {
            work_item_id: id.to_owned(),
            success: false,
            data: Value::Null,
            error: Some(error),
            duration: 0,
            metrics: Value::Null,
        }
    }
}

/// A result that is kept in the lake, so that an item that is enqueued twice is done once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptResult {
    /// When the item ended, in seconds since 1970.
    pub ended_at_s: i64,
    /// The run that the item belongs to, if it named one.
    pub run: Option<String>,
    /// The result.
    pub result: ItemResult,
}

impl Record for KeptResult {
    const NOUN: &'static str = "the kept result of a work item";
    const DAMAGED_HINT: &'static str = "delete it: the item is done again";
}

#[cfg(test)]
mod tests;
