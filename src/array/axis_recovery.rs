//! Makes a lost package axis again, from the names that the arrays have. Not here: its file (`axis_file`).

use jiff::civil::Date;

use super::axis::PackageAxis;
use super::group::Group;
use super::packages;
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::store::{Store, blocking};

impl PackageAxis {
    /// Reads the axis of an origin. If its file is gone and arrays are there, the rows are those of their names, and all of
    /// them are said to be added on `today`. Returns whether the axis was made again.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the file is damaged, and if no array has the name of a row.
    pub async fn read_or_recover(store: &Store, layout: &OriginLayout, today: Date) -> Result<(PackageAxis, bool)> {
        if let Some(axis) = PackageAxis::find(store, layout).await? {
            return Ok((axis, false));
        }
        let mut names: Vec<Option<String>> = Vec::new();
        for folder in layout.arrays() {
            let group = Group::new(store, folder);
            let Some(stored) = group.find().await? else { continue };
            let form = stored.array(packages::NAME)?;
            let all = form.shape().first().copied().unwrap_or_default();
            let rows = stored.json()["attributes"]["packages"].as_u64().unwrap_or(all) as usize;
            names.resize(names.len().max(rows), None);
            let shard_rows = form.shard_elements();
            for shard in 0..rows.div_ceil(shard_rows.max(1)) {
                let path = form.path(&[shard as u64]);
                let Some(bytes) = store.get(&path).await? else { continue };
                let form = form.clone();
                // Another array may have the names that a damaged object has lost.
                let found =
                    blocking("the reader of names", move || Ok(form.decode::<String>(&path, &bytes).ok())).await?;
                for (row, name) in (shard * shard_rows..rows).zip(found.into_iter().flatten()) {
                    let known = names[row].get_or_insert_with(|| name.clone());
                    if *known != name {
                        return Err(Error::lake(format!("row {row} is {known} in one array, and {name} in another"))
                            .hint("restore package_index.parquet from a copy of the lake"));
                    }
                }
            }
        }
        let mut axis = PackageAxis::default();
        let is_recovered = !names.is_empty();
        for (row, name) in (0..).zip(names) {
            if name.is_none_or(|name| axis.add(&name, today) != row) {
                return Err(Error::lake(format!(
                    "package_index.parquet is gone, and no array has the name of row {row}"
                ))
                .hint("restore package_index.parquet from a copy of the lake"));
            }
        }
        if is_recovered {
            tracing::warn!(rows = axis.rows(), "package_index.parquet is made again from the names in the arrays");
        }
        Ok((axis, is_recovered))
    }
}
