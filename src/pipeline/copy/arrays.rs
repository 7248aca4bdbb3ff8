//! Copies the arrays of an origin: the package axis first, then each group. Not here: the objects of a group (`array`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ends::Ends;
use super::partition::PURPOSE;
use super::summary::{CopyOptions, CopySummary};
use crate::array::{GroupCopy, PackageAxis, Right};
use crate::commit::Right as _;
use crate::error::{Doing, Error, Result};
use crate::lake::Layout;
use crate::pipeline::lease::{Attempt, Lease, given_back};

/// How often a group is copied until no other process has changed it meanwhile.
const MAX_COPIES: usize = 5;

/// Copies the arrays, if there are any. Other processes may write them in the lake that is copied: then each shard is the
/// old or the new one, as for a reader.
///
/// Fails with [`crate::error::ErrorKind::Lake`] for a damaged object, and if the arrays change all the time.
pub(super) async fn copy_arrays(ends: &Ends, options: &CopyOptions, summary: &mut CopySummary) -> Result<()> {
    let listed = ends.from.list_sized(ends.layout.root()).await?;
    let sizes: BTreeMap<String, u64> = listed.into_iter().map(|listed| (listed.path, listed.size_bytes)).collect();
    if !sizes.contains_key(&ends.layout.package_index()) {
        return Ok(());
    }
    let copied = match options.dry_run {
        true => copy_all(ends, &sizes, &(Arc::new(|| Ok(())) as Right), true, summary).await,
        false => copy_held(ends, &sizes, summary).await,
    };
    summary.interrupted |= ends.stop.is_cancelled();
    copied
}

async fn copy_held(ends: &Ends, sizes: &BTreeMap<String, u64>, summary: &mut CopySummary) -> Result<()> {
    let Some(lease) = take(ends, Layout::arrays_lease()).await? else { return Ok(()) };
    let copied = copy_under(ends, &lease, sizes, summary).await;
    lease.end_after(copied).await
}

async fn copy_under(
    ends: &Ends,
    lease: &Lease,
    sizes: &BTreeMap<String, u64>,
    summary: &mut CopySummary,
) -> Result<()> {
    let Some(of_axis) = take(ends, Layout::package_index_lease()).await? else { return Ok(()) };
    let watches = [lease.watch(), of_axis.watch()];
    let right: Right = Arc::new(move || watches.iter().try_for_each(|watch| watch.check()));
    let copied = copy_all(ends, sizes, &right, false, summary).await;
    of_axis.end_after(copied).await
}

/// Takes a lease of the copy. Waits while another process holds it; `None` if the run is stopped meanwhile.
async fn take(ends: &Ends, stem: &str) -> Result<Option<Lease>> {
    loop {
        match Lease::of_stem(&ends.to, &ends.layout, stem, PURPOSE).await? {
            Attempt::Taken(lease) => return Ok(Some(lease)),
            Attempt::HeldBy(_) => {
                let stems = [stem.to_owned()].into();
                let waiting = given_back(&ends.to, &ends.layout, &stems);
                match ends.stop.run_until_cancelled(waiting).await {
                    Some(given_back) => drop(given_back?),
                    None => return Ok(None),
                }
            }
        }
    }
}

async fn copy_all(
    ends: &Ends,
    sizes: &BTreeMap<String, u64>,
    right: &Right,
    is_dry_run: bool,
    summary: &mut CopySummary,
) -> Result<()> {
    copy_axis(ends, right, is_dry_run, summary).await?;
    for folder in ends.layout.arrays() {
        let mut copies = 0;
        while !ends.stop.is_cancelled() && !copy_group(ends, &folder, sizes, right, is_dry_run, summary).await? {
            copies += 1;
            if copies == MAX_COPIES {
                return Err(Error::lake(format!(
                    "other processes change {folder} of {} all the time",
                    ends.from.location()
                ))
                .hint("run the same command again when they have ended"));
            }
        }
    }
    // New names may have come meanwhile. A group must have no row that the axis has not.
    if !ends.stop.is_cancelled() && !is_dry_run { copy_axis(ends, right, is_dry_run, summary).await } else { Ok(()) }
}

/// Copies the package axis. Arrays of the copy that have other rows are removed before.
async fn copy_axis(ends: &Ends, right: &Right, is_dry_run: bool, summary: &mut CopySummary) -> Result<()> {
    let path = ends.layout.package_index();
    let Some(bytes) = ends.from.get(&path).await? else { return Ok(()) };
    let held = ends.to.get(&path).await?;
    if held.as_ref() == Some(&bytes) {
        return Ok(());
    }
    summary.array_objects_copied += 1;
    summary.array_bytes_copied += bytes.len() as u64;
    if is_dry_run {
        return Ok(());
    }
    let source =
        PackageAxis::read(&ends.from, &ends.layout).await.doing(|| format!("reading {}", ends.from.location()))?;
    let is_earlier = |held: PackageAxis| {
        held.rows() <= source.rows() && (0..held.rows()).all(|row| held.name(row) == source.name(row))
    };
    if held.is_some() && !PackageAxis::read(&ends.to, &ends.layout).await.is_ok_and(is_earlier) {
        tracing::warn!(origin = ends.layout.name(), "the arrays of the copy have other rows, and are replaced");
        remove_arrays(ends, right).await?;
    }
    right()?;
    ends.to.put(&path, bytes).await
}

/// Removes the arrays of the copy: their metadata first, so that nobody opens one that lacks objects.
async fn remove_arrays(ends: &Ends, right: &Right) -> Result<()> {
    let mut paths = Vec::new();
    for folder in ends.layout.arrays() {
        paths.extend(ends.to.list(&folder).await?);
    }
    let is_staged_count = |path: &String| Layout::parse_staged_counts(path).is_some();
    paths.extend(ends.to.list(&ends.layout.staging()).await?.into_iter().filter(is_staged_count));
    let groups = ends.layout.arrays().map(|folder| format!("{folder}/zarr.json"));
    paths.sort_by_key(|path| !groups.contains(path));
    for path in paths {
        right()?;
        ends.to.delete(&path).await?;
    }
    Ok(())
}

/// Copies a group. Returns whether it did not change meanwhile, or is not there.
async fn copy_group(
    ends: &Ends,
    folder: &str,
    sizes: &BTreeMap<String, u64>,
    right: &Right,
    is_dry_run: bool,
    summary: &mut CopySummary,
) -> Result<bool> {
    let is_beside = folder == ends.layout.dependency_graph();
    let Some(copy) = GroupCopy::begin(&ends.from, &ends.to, folder, is_beside, is_dry_run).await? else {
        return Ok(true);
    };
    if copy.is_current(sizes) {
        // A copy that died may have left older metadata of single arrays.
        return copy.end(right).await;
    }
    copy.settle_place().await?;
    for part in copy.parts()? {
        if ends.stop.is_cancelled() {
            return Ok(true);
        }
        let lease = match part.block.filter(|_| !is_dry_run) {
            Some(block) => match take(ends, &Layout::downloads_lease(block)).await? {
                Some(lease) => Some(lease),
                None => return Ok(true),
            },
            None => None,
        };
        let copied = copy.copy(&part, right).await;
        match lease {
            Some(lease) => lease.end_after(copied).await?,
            None => copied?,
        }
    }
    let is_settled = copy.end(right).await?;
    let copied = copy.copied();
    summary.array_objects_copied += copied.copied;
    summary.array_bytes_copied += copied.copied_bytes;
    summary.array_objects_current += copied.current;
    Ok(is_settled)
}
