//! The two ends of a copy of one origin, and how one of them is read beside its writers.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::commit::read_manifest;
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::lake::{Manifest, OriginLayout, Partition};
use crate::pipeline::progress::Progress;
use crate::pipeline::settled::is_held;
use crate::pipeline::verify::REPAIR;
use crate::store::{Store, blocking};

/// How often a partition is read until no commit came between. A commit is rarer than a read, so a few suffice.
const MAX_READS: usize = 20;
/// How often to look whether a commit in progress has ended. With [`LOOK_INTERVAL`], longer than the lease of a process
/// that stands still.
const MAX_LOOKS: usize = 1_000;
/// The time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

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
}

impl Ends {
    /// Reads a partition of the lake that is copied as one commit left it. Returns its manifest, and the result of
    /// `read`, which blocks. Returns `None` if there is no manifest.
    ///
    /// `read` must fail if a shard is not as the manifest says. It is then called again with the manifest of the commit
    /// that came between. Its error is returned if there was no such commit.
    pub(super) async fn read_settled<T: Send + 'static>(
        &self,
        partition: &Partition,
        read: impl Fn(&Manifest) -> Result<T> + Clone + Send + 'static,
    ) -> Result<Option<(Manifest, T)>> {
        let doing = || format!("reading the partition {partition} of {}", self.from.location());
        for _ in 0..MAX_READS {
            let Some(manifest) = read_manifest(&self.from, &self.layout, partition).await.doing(doing)? else {
                return Ok(None);
            };
            if manifest.partition != *partition {
                let found = &manifest.partition;
                return Err(Error::lake(format!("the manifest in the place of {partition} is that of {found}"))
                    .doing(doing())
                    .hint(REPAIR));
            }
            let (read, of_read) = (read.clone(), manifest.clone());
            match blocking("copying a partition", move || read(&of_read)).await {
                Ok(found) => return Ok(Some((manifest, found))),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    if !self.is_superseded(&manifest).await.doing(doing)? {
                        return Err(error).doing(doing);
                    }
                    let stem = partition.file_stem();
                    tracing::debug!(partition = stem, %error, "a commit came between; the partition is read again");
                }
            }
        }
        Err(Error::lake(format!("other processes commit the partition {partition} all the time"))
            .doing(doing())
            .hint("run the same command again when fewer of them work on that lake"))
    }

    /// Returns whether a commit has replaced `manifest`. Waits for a commit in progress.
    async fn is_superseded(&self, manifest: &Manifest) -> Result<bool> {
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
