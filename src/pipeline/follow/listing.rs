//! The listing of a follower: the differences between what the registry lists and what the lake holds, in portions.

use std::sync::Arc;

use futures::TryStreamExt;

use super::PURPOSE;
use super::clock::Clock;
use crate::diff::{PlannedName, Selection, Step, WantedDocuments, plan_fetch};
use crate::error::{Error, Result};
use crate::follow::Lagging;
use crate::lake::OriginInfo;
use crate::npm::{Change, ChangeKind};
use crate::pipeline::judge::Judge;
use crate::pipeline::options::IngestOptions;
use crate::pipeline::overlay::{ChangeWriter, Held};
use crate::pipeline::run::RunReporter;
use crate::pipeline::source::{Scan, Source};
use crate::pipeline::work::{Wanted, WorkItem};

/// The most changes that are committed at once.
pub(super) const MOST_CHANGES: usize = 2_000;

/// The result of a listing.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Names that the registry lists.
    pub(super) names: u64,
    /// Differences from the lake.
    pub(super) changes: u64,
    pub(super) committed: u64,
    pub(super) commits: u64,
}

/// Lists the registry and commits the differences; documents that are to come are entered in `lagging`. An implausible
/// listing is refused.
pub(super) async fn list(writer: &ChangeWriter, lagging: &mut Lagging, clock: &Clock) -> Result<Listed> {
    let (store, layout, registry) =
        (writer.options.store.clone(), &writer.options.layout, writer.options.registry.clone());
    let progress = Arc::clone(&writer.options.progress);
    // Its rows are kept in a file that belongs to a run.
    let reporter = RunReporter::start(store.clone(), layout, PURPOSE, progress, Some(registry)).await?;
    let listed = Box::pin(list_as(writer, reporter.run(), lagging, clock)).await;
    let removed = store.delete(&layout.scan_spool(reporter.run())).await;
    let ended = reporter.end().await;
    let listed = listed?;
    removed.and(ended).map(|()| listed)
}

async fn list_as(writer: &ChangeWriter, run: &str, lagging: &mut Lagging, clock: &Clock) -> Result<Listed> {
    let urls = OriginInfo { replicate_url: String::new(), registry_url: String::new() };
    let options = IngestOptions {
        representation: writer.options.representation,
        ..IngestOptions::new(writer.options.store.clone(), writer.options.registry.clone(), urls)
    };
    let wanted = Arc::new(Wanted {
        representation: writer.options.representation,
        selection: Selection::All,
        refresh: false,
        began_at_us: jiff::Timestamp::now().as_microsecond(),
        max_document_bytes: writer.options.registry.max_document_bytes(),
        accepts_removals: false,
    });
    let scan = Scan::run(&options, &writer.options.layout, run, Arc::clone(&wanted), &writer.options.progress);
    // A commit ends by itself when the writer is stopped; a scan may be dropped.
    let scan =
        writer.options.stop.run_until_cancelled(Box::pin(scan)).await.unwrap_or_else(|| Err(Error::interrupted()))?;
    Judge::new(false).listing(scan.losses(), scan.summary(), false)?;
    let mut listed = Listed { names: scan.summary().listed, ..Listed::default() };
    let mut changes = Vec::new();
    let mut commit = async |changes: Vec<Change>| {
        let applied = Box::pin(writer.apply(changes.clone())).await?;
        listed.changes += changes.len() as u64;
        listed.committed += applied.committed;
        listed.commits += u64::from(!changes.is_empty());
        lagging.asked(&changes, applied.lagging, clock.now_us());
        Ok::<(), Error>(())
    };
    let mut work = scan.work(None);
    while let Some(item) = work.try_next().await? {
        let held = writer.held(&item.partition).await?;
        changes.extend(differences(item, held, writer, &wanted)?);
        while changes.len() >= MOST_CHANGES {
            commit(changes.drain(..MOST_CHANGES).collect()).await?;
        }
    }
    commit(changes).await?;
    Ok(listed)
}

/// Compares a listed partition with what the lake holds of it: names that came, changed or are gone, and documents that
/// are to be asked for again.
fn differences(item: WorkItem, held: Held, writer: &ChangeWriter, wanted: &Wanted) -> Result<Vec<Change>> {
    let (rows, _) = item.announced.rows(&held.rows, None, &held.outcomes);
    let documents = WantedDocuments {
        selection: &wanted.selection,
        representation: wanted.representation,
        takes_larger: false,
        now_us: wanted.began_at_us,
        credentials: &|name| writer.options.registry.credentials_for(name),
    };
    let (before, outcomes) = (held.rows.into_iter().map(Ok), held.outcomes.into_iter().map(Ok));
    let mut changes = Vec::new();
    for planned in plan_fetch(before, rows.iter().cloned().map(Ok), outcomes, documents) {
        let PlannedName { row, change, step, .. } = planned?;
        let kind = match (change, step) {
            (Some(kind), _) => Some(kind),
            (None, Step::Drop) => Some(ChangeKind::Removed),
            (None, Step::Fetch(_)) => Some(ChangeKind::Changed),
            (None, Step::Carry | Step::Leave) => None,
        };
        changes.extend(kind.map(|kind| Change { name: row.name, rev: row.rev, kind, seq: None }));
    }
    Ok(changes)
}
