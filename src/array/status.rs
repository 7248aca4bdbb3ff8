//! The contents of a group by its metadata alone: no object with values is read. And the attributes that a status needs.

use serde_json::{Map, Value, json};

use super::group::Group;
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::store::Store;

/// The attribute with the digest of the shards that releases and the graph were made from.
const TABLES: &str = "tables_sha256";

/// The metadata of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The generation of its values.
    pub generation: u64,
    /// Whether no process changes its values, and none died while it did.
    pub is_settled: bool,
    attributes: Map<String, Value>,
    arrays: Value,
}

/// Fails with [`crate::error::ErrorKind::Lake`] if other software or a newer version wrote a group of the origin.
pub async fn refuse_others(store: &Store, layout: &OriginLayout) -> Result<()> {
    for folder in layout.arrays() {
        Group::new(store, folder).refuse_others().await?;
    }
    Ok(())
}

impl GroupMetadata {
    /// Reads the metadata of a group; `None` if there is none. Takes one request.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if it is damaged, or of others.
    pub async fn find(store: &Store, folder: String) -> Result<Option<GroupMetadata>> {
        let Some(stored) = Group::new(store, folder).find().await? else { return Ok(None) };
        let json = stored.json();
        Ok(Some(GroupMetadata {
            generation: stored.generation(),
            is_settled: stored.is_settled(),
            attributes: json["attributes"].as_object().cloned().unwrap_or_default(),
            arrays: json["consolidated_metadata"]["metadata"].clone(),
        }))
    }

    /// Returns an attribute that is a number; 0 if it is not there.
    pub fn number(&self, attribute: &str) -> u64 {
        self.attributes.get(attribute).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Returns the length of a dimension of an array; 0 if it has none.
    pub fn length(&self, array: &str, dimension: usize) -> u64 {
        self.arrays[array]["shape"][dimension].as_u64().unwrap_or_default()
    }

    /// Returns the digest that [`note_tables`] has recorded.
    pub fn tables(&self) -> Option<&str> {
        self.attributes.get(TABLES).and_then(Value::as_str)
    }
}

/// Records in releases and the graph the digest of the tables that they are as new as.
pub async fn note_tables(store: &Store, layout: &OriginLayout, digest: &str) -> Result<()> {
    for folder in [layout.releases(), layout.dependency_graph()] {
        Group::new(store, folder).set_attributes(&[(TABLES, json!(digest))]).await?;
    }
    Ok(())
}
