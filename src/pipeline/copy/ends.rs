//! The two ends of a copy of one origin, and how one of them is read beside its writers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::commit::read_manifest;
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::lake::{Delta, Manifest, OriginLayout, Partition};
use crate::pipeline::lost::REPAIR;
use crate::pipeline::overlay::OverlayReader;
use crate::pipeline::progress::Progress;
use crate::pipeline::recovery::Recovery;
use crate::pipeline::settled::is_held;
use crate::store::Store;

/// How often a partition is read until no commit came between. A commit is rarer than a read, so a few suffice.
pub(super) const MAX_READS: usize = 20;
/// How often to look whether a commit in progress has ended. With [`LOOK_INTERVAL`], longer than the lease of a process
/// that stands still.
const MAX_LOOKS: usize = 1_000;
/// The time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Commits at once. Each has up to eight parts of 8 MiB in memory, and sends them on as many streams.
const COMMITS_AT_ONCE: usize = 3;

/// The ends of the copy of an origin, and what its tasks share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ends {
    /// The lake that is copied. Nothing is written to it.
    pub(super) from: Store,
    /// The copy.
    pub(super) to: Store,
    /// The paths of the origin, at both ends.
    pub(super) layout: OriginLayout,
    pub(super) progress: Arc<Progress>,
    /// Cancelled to end the run: by its caller, and by the first failure.
    pub(super) stop: CancellationToken,
    /// The overlay of the lake that is copied.
    pub(super) overlay: OverlayReader,
    /// One permit for each commit: the parts of its uploads are in memory.
    pub(super) commits: Arc<Semaphore>,
    /// Held while a large document becomes rows, which only a recovery makes.
    large_documents: Arc<Mutex<()>>,
}

impl Ends {
    pub(super) fn new(
        from: &Store,
        to: &Store,
        layout: &OriginLayout,
        progress: &Arc<Progress>,
        stop: CancellationToken,
    ) -> Ends {
        Ends {
            from: from.clone(),
            to: to.clone(),
            layout: layout.clone(),
            progress: Arc::clone(progress),
            stop,
            overlay: OverlayReader::new(from, layout),
            commits: Arc::new(Semaphore::new(COMMITS_AT_ONCE)),
            large_documents: Arc::default(),
        }
    }

    /// Returns the ends of the copy of a delta.
    pub(super) fn of_delta(&self, delta: &Delta) -> Ends {
        Ends { layout: delta.layout(&self.layout), ..self.clone() }
    }

    /// Returns the recovery of the copy.
    pub(super) fn recovery(&self) -> Recovery {
        let Ends { to, layout, stop, large_documents, .. } = self.clone();
        Recovery { store: to, layout, stop, large_documents }
    }

    /// Returns the result of a read of partitions of the lake that is copied. The read must have failed if a shard was not
    /// as `manifests`, of which there is one for each partition, say. If a commit came between, it waits for the end of
    /// that and returns `None`: read again, with the new manifests. `reads` counts the reads so far.
    pub(super) async fn settled<T>(
        &self,
        manifests: &[Manifest],
        read: Result<T>,
        reads: &mut usize,
    ) -> Result<Option<T>> {
        let doing = || format!("reading {}", self.from.location());
        let error = match read {
            Err(error) if error.kind() != ErrorKind::Interrupted => error,
            read => return read.map(Some),
        };
        if !self.is_superseded(manifests).await.doing(doing)? {
            return Err(error).doing(doing);
        }
        tracing::debug!(%error, "a commit came between; the partition is read again");
        *reads += 1;
        match *reads < MAX_READS {
            true => Ok(None),
            false => Err(Error::lake("other processes commit these partitions all the time")
                .doing(doing())
                .hint("run the same command again when fewer of them work on that lake")),
        }
    }

    /// Returns the manifests of partitions of the lake that is copied; `None` if one of them has none.
    pub(super) async fn source_manifests(&self, partitions: &[Partition]) -> Result<Option<Vec<Manifest>>> {
        let mut manifests = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let Some(manifest) = read_manifest(&self.from, &self.layout, partition).await? else { return Ok(None) };
            if manifest.partition != *partition {
                let found = &manifest.partition;
                let message = format!("the manifest in the place of {partition} is that of {found}");
                return Err(Error::lake(message).hint(REPAIR));
            }
            manifests.push(manifest);
        }
        Ok(Some(manifests))
    }

    /// Returns whether commits have replaced some of `manifests`. Waits for those in progress.
    async fn is_superseded(&self, manifests: &[Manifest]) -> Result<bool> {
        for manifest in manifests {
            if self.is_replaced(manifest).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether a commit has replaced `manifest`. Waits for a commit in progress.
    async fn is_replaced(&self, manifest: &Manifest) -> Result<bool> {
        let (from, layout, partition) = (&self.from, &self.layout, &manifest.partition);
        for _ in 0..MAX_LOOKS {
            // A commit puts its manifest before it removes its intent. So the intent is looked for first: one that has
            // ended meanwhile shows in the manifest.
            let is_committing =
                from.entry(&layout.commit_intent(partition)).await?.is_some() && is_held(from, layout, partition).await;
            if read_manifest(from, layout, partition).await?.as_ref() != Some(manifest) {
                return Ok(true);
            }
            if !is_committing {
                return Ok(false);
            }
            let waiting = tokio::time::sleep(LOOK_INTERVAL);
            self.stop.run_until_cancelled(waiting).await.ok_or_else(Error::interrupted)?;
        }
        Ok(false)
    }
}
