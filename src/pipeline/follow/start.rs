//! The start of a follower: checks that the lake is filled, and takes the lease.

use crate::commit::read_manifests;
use crate::error::{Error, Result};
use crate::lake::{Layout, OriginLayout, PartitionSet};
use crate::pipeline::lease::{Attempt, Lease, held_by, refuse_locked};
use crate::pipeline::open::{check_moves, raise_lake};
use crate::pipeline::status::read_partition_set;
use crate::registry::Registry;
use crate::store::Store;
use crate::table::TableKind;

use super::PURPOSE;

/// A lake that can be followed into.
pub(super) struct Opened {
    pub(super) layout: OriginLayout,
    pub(super) set: PartitionSet,
}

/// Opens the lake, which must hold documents of the origin in all of its partitions: otherwise each name of the others
/// would look new.
pub(super) async fn open(store: &Store, registry: &Registry) -> Result<Opened> {
    let layout = Layout::origin(&registry.origin().name);
    raise_lake(store).await?;
    check_moves(store, &layout).await?;
    refuse_locked(store, &layout).await?;
    let nothing = || {
        Error::lake(format!("the lake {} holds nothing of {} to follow from", store.location(), layout.name()))
            .hint("fill it first: all-docs ingest")
    };
    let set = read_partition_set(store, &layout).await?.ok_or_else(nothing)?;
    let manifests = read_manifests(store, &layout).await?;
    let with_documents =
        manifests.iter().filter(|manifest| manifest.shards.contains_key(TableKind::Outcomes.as_str())).count();
    if with_documents < set.count() {
        let message = format!(
            "the lake {} is not filled yet: {with_documents} of {} partitions of {} hold documents",
            store.location(),
            set.count(),
            layout.name()
        );
        return Err(Error::lake(message).hint("complete it first: all-docs ingest"));
    }
    // The lake holds names of this origin, so the server is a registry.
    registry.has_listed_before();
    Ok(Opened { layout, set })
}

/// Takes the lease of the follower of an origin.
pub(super) async fn take_lease(store: &Store, layout: &OriginLayout) -> Result<Lease> {
    match Lease::of_stem(store, layout, Layout::follow_lease(), PURPOSE).await? {
        Attempt::Taken(lease) => Ok(lease),
        Attempt::HeldBy(holder) if holder.purpose != PURPOSE => Err(held_by(&holder, store, layout)),
        Attempt::HeldBy(holder) => Err(Error::lake(format!(
            "another process follows {} in {} already: process {} on {}",
            layout.name(),
            store.location(),
            holder.process_id,
            holder.host
        ))
        .hint("one follower of an origin is enough; stop the other one first. If its machine died, its lease lapses within a minute")),
    }
}
