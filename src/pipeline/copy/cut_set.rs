//! Derives the partition set of a lake that is cut anew, as a first ingest with the same names and pivots would.

use std::num::NonZeroU64;

use tokio_util::sync::CancellationToken;

use crate::commit::read_manifests;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Derivation, OriginLayout, PartitionSet, Pivots};
use crate::pipeline::LakeRows;
use crate::store::{Store, blocking};

/// How often the names are read until no commit came between. They are read twice each time.
const MAX_READS: usize = 20;

/// Derives partitions of about `rows_per_partition` rows from the names of an origin. `set` has its partitions as they
/// are.
pub(super) async fn derive(
    from: &Store,
    layout: &OriginLayout,
    set: &PartitionSet,
    rows_per_partition: NonZeroU64,
    stop: &CancellationToken,
) -> Result<PartitionSet> {
    let pivots = Pivots::new(set.pivots.clone())?;
    for _ in 0..MAX_READS {
        let before = read_manifests(from, layout).await?;
        let (rows, of_cut, stop) = (LakeRows::open(from, layout).await?, pivots.clone(), stop.clone());
        let derived = blocking("reading names", move || derive_from(&rows, &of_cut, rows_per_partition, &stop)).await;
        match derived {
            Ok(derived) => return Ok(derived),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            // Other names were read the second time, or a shard was replaced.
            Err(error) if read_manifests(from, layout).await? == before => return Err(error),
            Err(error) => tracing::debug!(%error, "a commit came between; the names are read again"),
        }
    }
    Err(Error::lake(format!("other processes commit partitions of {} all the time", layout.name()))
        .hint("run the same command again when fewer of them work on that lake"))
}

/// Counts the names between the pivots, then derives the cuts between the names. Blocks.
fn derive_from(
    rows: &LakeRows,
    pivots: &Pivots,
    rows_per_partition: NonZeroU64,
    stop: &CancellationToken,
) -> Result<PartitionSet> {
    let names = || {
        rows.iter().map(|row| match stop.is_cancelled() {
            true => Err(Error::interrupted()),
            false => Ok(row?.name),
        })
    };
    let mut counts = vec![0; pivots.range_count()];
    for name in names() {
        let name = name?;
        let range = pivots.keys().partition_point(|key| key.as_str() <= name.as_str());
        if let Some(count) = counts.get_mut(range) {
            *count += 1;
        }
    }
    let mut derivation = Derivation::new(pivots, &counts, rows_per_partition)?;
    for name in names() {
        derivation.push(name?.as_str())?;
    }
    derivation.finish()
}
