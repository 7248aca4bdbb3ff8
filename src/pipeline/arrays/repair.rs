//! Repairs the arrays of an origin: moves damaged objects aside, makes releases and the graph again from the tables, and
//! lets the counts that are lost be asked for again. Not here: finding what is damaged (`verify`).

use std::collections::{BTreeMap, BTreeSet};

use tokio_util::sync::CancellationToken;

use super::{PURPOSE_OF_REPAIR, arrays, hold_axis, lease_block, open_held, right_of, today};
use crate::array::{Block, Downloads, refuse_others};
use crate::error::{Doing, Result};
use crate::lake::{Layout, OriginLayout};
use crate::pipeline::lease::{Attempt, Lease, held_by};
use crate::pipeline::verify::{Fault, OriginProof};
use crate::store::Store;

/// The changes of a repair, in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArrayRepair {
    /// Everything that was moved aside or made again.
    pub notes: Vec<String>,
    /// The counts that are lost, and how to ask for them again.
    pub lost: Vec<String>,
}

/// Repairs the faults that a proof names in the arrays of an origin.
///
/// Fails with [`crate::error::ErrorKind::Lake`] while another process writes the arrays, if names or metadata are lost that
/// nothing else has, and before any change if other software or a newer version wrote an array.
pub async fn repair_arrays(store: &Store, proof: &OriginProof, stop: CancellationToken) -> Result<ArrayRepair> {
    let layout = Layout::origin(&proof.origin);
    let is_of_array = |path: &str| {
        path == layout.package_index() || layout.arrays().iter().any(|folder| path.starts_with(&format!("{folder}/")))
    };
    let faults: Vec<_> = proof.findings.iter().filter(|finding| is_of_array(&finding.file)).collect();
    if faults.is_empty() {
        return Ok(ArrayRepair::default());
    }
    refuse_others(store, &layout).await?;
    let at = jiff::Timestamp::now().as_second().to_string();
    let mut repair = ArrayRepair::default();
    for finding in &faults {
        let is_metadata = finding.file.ends_with("/zarr.json") && finding.fault == Fault::Record;
        let must_go = matches!(finding.fault, Fault::Damaged) || is_metadata;
        if must_go && store.promote(&finding.file, &layout.set_aside(&finding.file, &at)).await? {
            repair.notes.push(format!("{} is moved to set-aside", finding.file));
        }
    }
    let built = arrays(store, Some(layout.name()), stop).await?;
    for built in built.origins {
        let written = built.releases_shards_written + built.graph_shards_written;
        repair.notes.push(format!("{written} objects of releases and the dependency graph are made again"));
    }
    let in_downloads: BTreeSet<&str> = faults
        .iter()
        .filter(|finding| finding.file.starts_with(&layout.downloads()) && finding.fault != Fault::Unreadable)
        .map(|finding| finding.file.as_str())
        .collect();
    // Last, so that no failure of the others hides which counts are lost.
    if !in_downloads.is_empty() {
        let lost = repair_downloads(store, &layout, &in_downloads).await;
        repair.lost = lost.doing(|| "repairing download counts".to_owned())?;
    }
    Ok(repair)
}

/// Returns the counts that are lost, in words.
async fn repair_downloads(store: &Store, layout: &OriginLayout, faulty: &BTreeSet<&str>) -> Result<Vec<String>> {
    let (lease, axis) = hold_axis(store, layout, today(), &[]).await?;
    let mended = async {
        Downloads::mend_metadata(store, layout).await?;
        let right = right_of(&lease);
        let downloads = open_held(store, layout, &axis, &right).await?;
        downloads.mend_coordinates(&axis, &right).await?;
        Ok(downloads)
    };
    let mended = mended.await;
    let downloads = lease.end_after(mended).await?;
    let mut lost: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (block, column) in faulty.iter().filter_map(|path| downloads.place_of(path)) {
        lost.entry(block).or_default().extend(column);
    }
    let mut notes = Vec::new();
    for block in downloads.blocks() {
        let Some(lost) = lost.get(&block.number) else { continue };
        if let Some(note) = repair_block(store, layout, &downloads, &block, lost).await? {
            notes.push(note);
        }
    }
    downloads.finish().await?;
    Ok(notes)
}

async fn repair_block(
    store: &Store,
    layout: &OriginLayout,
    downloads: &Downloads,
    block: &Block,
    lost: &BTreeSet<u32>,
) -> Result<Option<String>> {
    let lease: Lease = match lease_block(store, layout, block.number, PURPOSE_OF_REPAIR).await? {
        Attempt::Taken(lease) => lease,
        Attempt::HeldBy(holder) => return Err(held_by(&holder, store, layout)),
    };
    let mended = downloads.mend_block(block, lost, &right_of(&lease)).await;
    let mended = lease.end_after(mended).await?;
    Ok(mended.map(|(first, last)| {
        format!(
            "counts of {} packages from {first} to {last} are lost; all-docs downloads --since {first} asks for them again",
            block.rows.len()
        )
    }))
}
