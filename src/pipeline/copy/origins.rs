//! The origins to copy, and their partition sets. Refuses everything that a copy must not overwrite, before anything is
//! changed.

use std::num::NonZeroU64;

use super::cut_set::derive;
use super::ends::Ends;
use super::partition::PURPOSE;
use super::summary::CopyOptions;
use crate::commit::{Right, read_manifests};
use crate::error::{Doing, Error, Result};
use crate::lake::{LakeInfo, Layout, Manifest, OriginInfo, OriginLayout, PartitionSet};
use crate::pipeline::lease::Lease;
use crate::pipeline::open::read_lake;
use crate::pipeline::overlay::{OverlayView, refuse_followed};
use crate::pipeline::status::{keep_partition_set, read_partition_set};
use crate::store::Store;

/// An origin to copy.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// Its paths.
    pub(super) layout: OriginLayout,
    /// Its sources.
    pub(super) urls: OriginInfo,
}

/// Returns the origins to copy; the default one is first, so that it becomes that of a new lake.
///
/// Fails as [`super::copy`] says. Changes nothing.
pub(super) async fn origins_to_copy(from: &Store, to: &Store, options: &CopyOptions) -> Result<Vec<Origin>> {
    if from.overlaps(to) {
        return Err(Error::input(format!(
            "{} and {} are the same place, or one is in the other",
            from.location(),
            to.location()
        ))
        .hint("give a place outside of the lake"));
    }
    let Some(info) = read_lake(from).await? else {
        return Err(Error::lake(format!("there is no lake to copy at {}", from.location()))
            .hint("name the folder, or the bucket and prefix, that holds all-docs.json: all-docs copy SRC DST"));
    };
    let mut held = read_lake(to).await?;
    if held.is_none()
        && let Some(found) = to.any_entry().await?
    {
        // Another copy may have made the lake meanwhile.
        held = read_lake(to).await?;
        if held.is_none() {
            return Err(Error::lake(format!("{} is no lake, and it is not empty: it holds {found}", to.location()))
                .hint("give an empty or a new place for the copy"));
        }
    }
    let mut origins = Vec::new();
    for (name, urls) in chosen(info, options, from)? {
        let layout = Layout::origin(&name);
        if let Some(held) = held.as_ref().and_then(|held| held.origins.get(&name)) {
            refuse_other_registry(&name, &urls, held, to)?;
        }
        let origin = Origin { layout, urls };
        origin.refuse_other_partitions(from, to, options.rows_per_partition).await?;
        refuse_followed(to, &origin.layout).await?;
        if options.is_cut() {
            origin.refuse_to_cut(from).await?;
        }
        origins.push(origin);
    }
    Ok(origins)
}

fn chosen(info: LakeInfo, options: &CopyOptions, from: &Store) -> Result<Vec<(String, OriginInfo)>> {
    let LakeInfo { default_origin, origins, .. } = info;
    if let Some(unknown) = options.origin.as_ref().filter(|name| !origins.contains_key(*name)) {
        let known: Vec<&str> = origins.keys().map(String::as_str).collect();
        return Err(Error::lake(format!("the lake {} holds no origin {unknown}", from.location()))
            .hint(format!("it holds {}", known.join(", "))));
    }
    let is_wanted = |name: &String| options.origin.as_ref().is_none_or(|wanted| wanted == name);
    let mut origins: Vec<_> = origins.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    origins.sort_by_key(|(name, _)| *name != default_origin);
    Ok(origins)
}

/// Fails if the copy holds rows of another registry under this name.
fn refuse_other_registry(name: &str, urls: &OriginInfo, held: &OriginInfo, to: &Store) -> Result<()> {
    if urls.replicate_url == held.replicate_url {
        return Ok(());
    }
    let (ours, theirs) = (&urls.replicate_url, &held.replicate_url);
    Err(Error::lake(format!("{name} is {theirs} in {}, and {ours} in the lake to copy", to.location())).hint(format!(
        "give another place for the copy, or remove that origin there: all-docs cache clear --origin {name} --lake {}",
        to.location()
    )))
}

impl Origin {
    /// Fails if the copy holds partitions of another cut.
    async fn refuse_other_partitions(&self, from: &Store, to: &Store, rows: Option<NonZeroU64>) -> Result<()> {
        let Some(held) = read_partition_set(to, &self.layout).await? else { return Ok(()) };
        let set = read_partition_set(from, &self.layout).await?;
        let is_same = set.as_ref().is_some_and(|set| match rows {
            Some(rows) => held.rows_per_partition == Some(rows.get()),
            None => set.boundaries == held.boundaries,
        });
        if is_same || read_manifests(to, &self.layout).await?.is_empty() {
            return Ok(());
        }
        Err(self.other_partitions(&held, set.as_ref(), from, to))
    }

    fn other_partitions(&self, held: &PartitionSet, set: Option<&PartitionSet>, from: &Store, to: &Store) -> Error {
        let (name, place) = (self.layout.name(), to.location());
        let clear = format!("remove what is there: all-docs cache clear --origin {name} --lake {place}");
        let Some(set) = set else {
            let message = format!("{} holds nothing of {name} yet, and {place} holds partitions", from.location());
            return Error::lake(message).hint(format!("if the copy is to be empty too, {clear}"));
        };
        let error = Error::lake(format!(
            "{place} holds {name} in other partitions: {} there, and {} in the lake to copy",
            held.count(),
            set.count()
        ));
        error.hint(match held.rows_per_partition {
            Some(rows) => format!(
                "to keep the partitions of the copy, give --partition-rows {rows}; else give another place, or {clear}"
            ),
            None => format!("give another place for the copy, or {clear}"),
        })
    }

    /// Fails if the rows of the origin cannot be cut anew.
    async fn refuse_to_cut(&self, from: &Store) -> Result<()> {
        let (name, place) = (self.layout.name(), from.location());
        let Some(set) = read_partition_set(from, &self.layout).await? else { return Ok(()) };
        let overlay = OverlayView::read(from, &self.layout, &OverlayView::empty()).await;
        let overlay = overlay.doing(|| format!("reading {place}"))?;
        let manifests = read_manifests(from, &self.layout).await?;
        let missing = set.count().saturating_sub(manifests.len());
        if missing > 0 {
            let message = format!("{missing} of {} partitions of {name} in {place} are not committed yet", set.count());
            return Err(Error::lake(message)
                .hint("let the ingest there end first: all names must be known before they are cut anew"));
        }
        if overlay.is_old() || manifests.iter().any(Manifest::is_old) {
            return Err(Error::lake(format!("an earlier version of all-docs wrote tables of {name} in {place}")).hint(
                format!(
                    "rebuild them first: all-docs rebuild --origin {name} --lake {place}; or copy without --partition-rows, and rebuild the copy"
                ),
            ));
        }
        Ok(())
    }

    /// Returns the partition set of the copy, and stores it there unless this is a dry run.
    pub(super) async fn partition_set(
        &self,
        ends: &Ends,
        source: &PartitionSet,
        options: &CopyOptions,
    ) -> Result<PartitionSet> {
        let (to, layout) = (&ends.to, &ends.layout);
        let held = read_partition_set(to, layout).await?;
        // That of an earlier copy, or of one at the same time, stays.
        let fits = |held: &PartitionSet, set: &PartitionSet| match options.rows_per_partition {
            Some(rows) => held.rows_per_partition == Some(rows.get()),
            None => held == set,
        };
        let set = match (held, options.rows_per_partition) {
            (Some(held), _) if fits(&held, source) => return Ok(held),
            (_, Some(rows)) => derive(&ends.from, layout, source, rows, &ends.stop).await?,
            (_, None) => source.clone(),
        };
        if options.dry_run {
            return Ok(set);
        }
        let held = keep_partition_set(to, layout, set.clone()).await?;
        if fits(&held, &set) {
            return Ok(held);
        }
        // The copy is empty, or its set says in other words where the partitions are.
        let lease = Lease::of_origin(to, layout, PURPOSE).await?;
        let watch = lease.watch();
        let replaced = async {
            self.refuse_other_partitions(&ends.from, to, options.rows_per_partition).await?;
            if let Some(held) = read_partition_set(to, layout).await?.filter(|held| fits(held, &set)) {
                return Ok(held);
            }
            watch.confirm().await?;
            if held.boundaries != set.boundaries {
                // A copy that died has staged shards of partitions that are none of the new set.
                to.delete_folder(&layout.staging()).await?;
            }
            to.put_record(&layout.partition_set(), &set).await?;
            Ok(set)
        };
        lease.end_after(replaced.await).await
    }
}
