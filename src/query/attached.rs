//! Attached lakes: other lakes beside the session's own. Their origins get their own names in the same statements.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::lake::{LakeInfo, OriginAge, OriginInfo};
use crate::store::Store;

/// Another lake, and the name of its tables.
#[derive(Debug, Clone)]
pub struct AttachedLake {
    /// The SQL schema of its default origin. The schema of another origin is this name, `_`, and the origin's name.
    pub name: String,
    /// The lake itself.
    pub store: Store,
    /// Its lake metadata.
    pub info: LakeInfo,
    /// The tables of its origins that earlier versions wrote, as in [`super::SessionOptions::ages`].
    pub ages: BTreeMap<String, OriginAge>,
}

impl AttachedLake {
    /// Returns each of its origins: the schema, the folder within its lake, and the origin's addresses.
    pub(super) fn schemas(&self) -> impl Iterator<Item = (String, &str, &OriginInfo)> {
        self.info.origins.iter().map(|(origin, info)| {
            let is_default = *origin == self.info.default_origin;
            let schema = if is_default { self.name.clone() } else { format!("{}_{origin}", self.name) };
            (schema, origin.as_str(), info)
        })
    }
}

/// Checks that no two origins have the same name. Fails with [`crate::error::ErrorKind::Input`] otherwise.
pub(super) fn check_names(own: &LakeInfo, attached: &[AttachedLake]) -> Result<()> {
    let mut names: Vec<String> = own.origins.keys().cloned().collect();
    for lake in attached {
        for (schema, origin, _) in lake.schemas() {
            if names.iter().any(|name| name.eq_ignore_ascii_case(&schema)) {
                return Err(Error::input(format!(
                    "{origin} of the attached lake would be called {schema}, and so is another origin"
                ))
                .hint("attach it under another name: --attach NAME=LAKE"));
            }
            names.push(schema);
        }
    }
    Ok(())
}
