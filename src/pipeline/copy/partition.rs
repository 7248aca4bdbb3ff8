//! Brings one partition of the copy up to date, under its lease. Not here: which partitions need it (`plan`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::ends::Ends;
use crate::commit::{Change, Right, clear_staging, commit};
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::{Manifest, Partition, Record};
use crate::pipeline::lease::{Attempt, Lease, LeaseWatch};
use crate::pipeline::progress::Progress;
use crate::table::TableKind;

/// The command for which leases are taken.
pub(super) const PURPOSE: &str = "copy";

/// A partition of the copy that is not as the other lake says.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) partition: Partition,
    /// The tables that have a shard at its place in the copy.
    pub(super) present: BTreeSet<TableKind>,
}

/// How the work on a partition ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was committed; the shards that were replaced, and their bytes.
    Copied { shards: u64, bytes: u64 },
    /// There was nothing left to do.
    Current,
    /// The lake that is copied does not hold it.
    Removed,
    /// Another process works on it.
    Held(Work),
}

/// The new content of a partition: its manifest, and the tables whose shards are staged.
pub(super) type Staged = (Manifest, Vec<TableKind>);

/// The result of an attempt to begin.
#[allow(clippy::large_enum_variant)]
pub(super) enum Begun {
    /// This process works on the partition now.
    Taken(Replacement),
    /// Another process works on it.
    HeldBy(Work),
}

/// A partition of the copy that is being replaced, under its lease. Give it to [`Ends::end`].
pub(super) struct Replacement {
    work: Work,
    lease: Lease,
    /// The text of the manifest of the copy, and what it says.
    held: Option<(Bytes, Manifest)>,
    /// The same, without the tables whose shard is not in its place.
    in_place: Option<Manifest>,
}

impl Replacement {
    pub(super) fn partition(&self) -> &Partition {
        &self.work.partition
    }

    /// Returns the manifest of the copy with the tables whose shards are in their places.
    pub(super) fn in_place(&self) -> Option<&Manifest> {
        self.in_place.as_ref()
    }
}

impl Ends {
    /// Takes the lease of a partition of the copy.
    pub(super) async fn begin(&self, work: Work) -> Result<Begun> {
        if self.stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let lease = match Lease::of_partition(&self.to, &self.layout, &work.partition, PURPOSE).await? {
            Attempt::Taken(lease) => lease,
            Attempt::HeldBy(_) => return Ok(Begun::HeldBy(work)),
        };
        let held = async {
            self.recovery().settle(&work.partition, &lease.watch()).await?;
            let path = self.layout.manifest(&work.partition);
            let Some(text) = self.to.get(&path).await? else { return Ok(None) };
            let manifest = Manifest::from_json(&path, &text)?;
            Ok(Some((text, manifest)))
        };
        let held = match held.await {
            Ok(held) => held,
            Err(error) => {
                let _ = lease.end().await;
                return Err(error).doing(|| format!("copying the partition {}", work.partition));
            }
        };
        let mut in_place = held.as_ref().map(|(_, held)| held.clone());
        if let Some(held) = &mut in_place {
            held.shards.retain(|table, _| TableKind::parse(table).is_some_and(|table| work.present.contains(&table)));
        }
        Ok(Begun::Taken(Replacement { work, lease, held, in_place }))
    }

    /// Commits the new content of a partition, removes it for `None`, or clears up after a failure. Gives the lease back.
    pub(super) async fn end(&self, begun: Replacement, staged: Result<Option<Staged>>) -> Result<Ended> {
        let Replacement { work, lease, held, .. } = begun;
        let partition = work.partition.clone();
        let result = match staged {
            Ok(staged) => self.commit(work, held, staged, lease.watch()).await,
            Err(error) => {
                // Without the lease, the staged files are those of another process. The first error is the one to
                // report.
                if lease.watch().confirm().await.is_ok() {
                    let _ = clear_staging(&self.to, &self.layout, &partition).await;
                }
                Err(error)
            }
        };
        let done = lease.end_after(result).await.doing(|| format!("copying the partition {partition}"))?;
        Progress::add(&self.progress.partitions_done, 1);
        Ok(done)
    }

    async fn commit(
        &self,
        work: Work,
        held: Option<(Bytes, Manifest)>,
        staged: Option<Staged>,
        lease: LeaseWatch,
    ) -> Result<Ended> {
        let Work { partition, mut present } = work;
        let (base, held) = held.unzip();
        present.extend(held.iter().flat_map(|held| held.shards.keys()).filter_map(|table| TableKind::parse(table)));
        let Some((manifest, moved)) = staged else {
            self.remove(&partition, base, present, &lease).await?;
            return Ok(Ended::Removed);
        };
        present.retain(|table| !manifest.shards.contains_key(table.as_str()));
        let is_current = moved.is_empty() && held.as_ref() == Some(&manifest);
        let bytes = moved.iter().filter_map(|table| manifest.shards.get(table.as_str())).map(|meta| meta.size_bytes);
        let ended = Ended::Copied { shards: moved.len() as u64, bytes: bytes.sum() };
        if !is_current {
            let (store, layout, right) = (self.to.clone(), self.layout.clone(), lease.clone());
            let change = Change { manifest, moved, base };
            let turn = Arc::clone(&self.commits).acquire_owned().await;
            let turn = turn.or_error(ErrorKind::Internal, || "no commit may begin".to_owned())?;
            // Runs to its end, even if this future is dropped meanwhile.
            let committed = tokio::spawn(async move {
                let _turn = turn;
                commit(&store, &layout, &right, &change).await
            })
            .await;
            committed.or_error(ErrorKind::Internal, || "a commit's task died".to_owned())??;
        }
        if is_current && present.is_empty() {
            return Ok(Ended::Current);
        }
        // The new manifest names these no more, and a reader of the folder would still read them.
        lease.confirm().await?;
        self.delete_shards(&partition, present).await?;
        Ok(ended)
    }

    /// Removes a partition from the copy: its manifest first, so that none names a shard that is gone.
    async fn remove(
        &self,
        partition: &Partition,
        base: Option<Bytes>,
        tables: BTreeSet<TableKind>,
        lease: &LeaseWatch,
    ) -> Result<()> {
        lease.confirm().await?;
        if let Some(base) = base
            && !self.to.delete_if_unchanged(&self.layout.manifest(partition), &base).await?
        {
            return Err(lease.lost_error());
        }
        self.delete_shards(partition, tables).await?;
        clear_staging(&self.to, &self.layout, partition).await?;
        tracing::debug!(partition = partition.file_stem(), "a partition of the copy is removed");
        Ok(())
    }

    async fn delete_shards(&self, partition: &Partition, tables: BTreeSet<TableKind>) -> Result<()> {
        for table in TableKind::in_order_of_promotion().filter(|table| tables.contains(table)) {
            self.to.delete(&self.layout.shard(table, partition)).await?;
        }
        Ok(())
    }
}
