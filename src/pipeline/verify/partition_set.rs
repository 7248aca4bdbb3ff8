//! A partition set that is lost or damaged: the manifests hold the ranges, so it can be made anew.

use crate::error::Result;
use crate::lake::{FORMAT_VERSION, Manifest, OriginLayout, PartitionSet};
use crate::pipeline::status::{read_partition_set, write_partition_set};
use crate::store::Store;

/// Makes the set anew where it cannot be read and the manifests leave no gap. Answers whether it did.
pub(super) async fn mend_partition_set(store: &Store, layout: &OriginLayout) -> Result<bool> {
    if matches!(read_partition_set(store, layout).await, Ok(Some(_))) {
        return Ok(false);
    }
    let mut manifests: Vec<Manifest> = Vec::new();
    for path in store.list(&layout.manifests()).await? {
        let text = store.get(&path).await?;
        // A damaged one leaves a gap.
        manifests.extend(text.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok()));
    }
    let Some(boundaries) = boundaries_of(manifests) else { return Ok(false) };
    let set = PartitionSet { format_version: FORMAT_VERSION, rows_per_partition: None, pivots: Vec::new(), boundaries };
    write_partition_set(store, layout, &set).await?;
    Ok(true)
}

/// The inner boundaries of partitions that cover all names, each once; `None` where they do not.
fn boundaries_of(manifests: Vec<Manifest>) -> Option<Vec<String>> {
    let mut partitions: Vec<_> = manifests.into_iter().map(|manifest| manifest.partition).collect();
    partitions.sort_by(|one, other| one.start.cmp(&other.start));
    let is_whole = partitions.first()?.start.is_none()
        && partitions.last()?.end.is_none()
        && partitions.windows(2).all(|pair| pair[0].end.is_some() && pair[0].end == pair[1].start);
    is_whole.then(|| partitions.into_iter().filter_map(|partition| partition.start).collect())
}
