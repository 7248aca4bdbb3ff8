//! One partition on its way through the river: planned, asked for, staged, built and committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use tokio::sync::mpsc;

use super::build::{PartitionJob, build};
use super::ingest::River;
use super::losses::disbelief_in_gone;
use super::plan::{Previous, plan};
use super::progress::Progress;
use super::summary::PlannedPartition;
use crate::commit::{commit, read_manifest};
use crate::diff::Selection;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::fetch::{Fetched, StagedAnswers, StagingWriter, fetch, staging_tap};
use crate::lake::{Manifest, Partition, PartitionSet};
use crate::npm::{DocRow, Outcome};
use crate::store::blocking;
use crate::table::TableKind;

/// Names in a row that get no answer at all before the run stops: the network is gone, not a package.
const MAX_UNANSWERED_IN_A_ROW: u64 = 100;
/// Unlisted names that a summary shows.
const UNLISTED_NAMES_SHOWN: usize = 10;

impl River {
    /// Brings one partition to what is listed for it.
    pub(super) async fn partition(
        self: Arc<Self>,
        set: Arc<PartitionSet>,
        index: usize,
        rows: Vec<DocRow>,
    ) -> Result<()> {
        let partition = set.get(index);
        let row_count = rows.len() as u64;
        if set.rows_per_partition.is_some_and(|rows| row_count > rows * 2) {
            self.with_notes(|notes| notes.overgrown.push((partition.file_stem(), row_count)));
        }
        let previous = read_manifest(&self.options.store, &self.layout, &partition).await?;
        let river = Arc::clone(&self);
        let job = blocking("a partition's plan", move || river.prepare(partition, previous, rows)).await?;
        self.note_plan(&job);
        if self.options.dry_run || job.plan.is_unchanged() {
            if !self.options.dry_run {
                Progress::add(&self.progress.partitions_unchanged, 1);
                self.clear_answers(&job.partition, false).await?;
            }
            Progress::add(&self.progress.partitions_done, 1);
            return Ok(());
        }
        let partition = job.partition.clone();
        // Only where documents are written is it known what is staged.
        let uses_all_staged = job.plan.writes_documents() && job.staged.is_covered_by(&job.plan.fetch);
        let manifest = match self.fetch_and_build(job).await {
            // What came in is staged.
            Err(error) if error.kind() == ErrorKind::Interrupted && self.ending.has_begun() => return Ok(()),
            built => built?,
        };
        if let Some(lease) = &self.lease {
            lease.confirm().await?;
        }
        let river = Arc::clone(&self);
        // To its end and counted, also when this future is dropped meanwhile.
        let committed = self.commits.spawn(async move {
            commit(&river.options.store, &river.layout, &manifest).await?;
            Progress::add(&river.progress.partitions_done, 1);
            Ok::<_, Error>(())
        });
        committed.await.or_error(ErrorKind::Internal, || "a commit's task died".to_owned())??;
        self.clear_answers(&partition, uses_all_staged).await
    }

    /// Removes the answers that are staged for a partition where each is used, or out of date because this run wanted
    /// every document. One that wanted less leaves them to the next that wants more.
    async fn clear_answers(&self, partition: &Partition, uses_all_staged: bool) -> Result<()> {
        if uses_all_staged || self.options.selection == Selection::All {
            self.options.store.delete_folder(&self.layout.partition_staging(partition)).await?;
        }
        Ok(())
    }

    /// Plans a partition and opens what it held. Blocks.
    fn prepare(&self, partition: Partition, previous: Option<Manifest>, rows: Vec<DocRow>) -> Result<PartitionJob> {
        let (store, layout) = (self.options.store.clone(), self.layout.clone());
        let before = Previous { store: &store, layout: &layout, partition: &partition, manifest: previous.as_ref() };
        let plan = plan(&before, &rows, &self.wanted)?;
        let mut previous_shards = BTreeMap::new();
        let mut staged = StagedAnswers::default();
        if plan.writes_documents() && !self.options.dry_run {
            for table in TableKind::of_answers() {
                if let Some(file) = before.open(table)? {
                    previous_shards.insert(table, file);
                }
            }
            staged = StagedAnswers::open(&store, &layout, &partition)?;
        }
        let (representation, max_document_bytes) = (self.wanted.representation, self.wanted.max_document_bytes);
        let progress = Arc::clone(&self.progress);
        let large_documents = Arc::clone(&self.large_documents);
        Ok(PartitionJob {
            store,
            layout,
            partition,
            rows,
            plan,
            representation,
            max_document_bytes,
            previous,
            staged,
            previous_shards,
            progress,
            stop: self.stop_builds.clone(),
            large_documents,
        })
    }

    /// Runs the requests and the builder of one partition side by side, until both have ended.
    async fn fetch_and_build(&self, job: PartitionJob) -> Result<Manifest> {
        let representation = job.representation;
        let ending = Arc::clone(&self.ending);
        let items = job.items_to_ask_for().into_iter().take_while(move |_| !ending.has_begun());
        let (sender, receiver) = mpsc::channel(self.bounds.fetched_per_partition);
        let (tap, feed) = staging_tap();
        let (store, layout, bound) = (&self.options.store, &self.layout, self.bounds.segment);
        let writer = StagingWriter::new(store, layout, &job.partition, representation, &job.staged, bound)?;
        // Tracked, because they run on when this future is dropped: the run must not end before they have.
        let stager = self.builders.spawn(feed.write_to(writer));
        let builder = self.builders.spawn_blocking(move || build(job, receiver));
        let lane = self.budget.lane();
        let concurrency = self.bounds.requests_per_partition;
        let registry = self.options.registry.clone();
        let (alarm, mut alarms) = mpsc::unbounded_channel();
        let mut answers = fetch(registry, representation, items, lane, tap.clone(), alarm, concurrency);
        loop {
            let fetched = tokio::select! {
                biased;
                Some(fetched) = alarms.recv() => Some(fetched),
                fetched = answers.try_next() => fetched?,
                // Nothing can be made durable any more; why is the story.
                () = tap.closed() => None,
            };
            let Some(fetched) = fetched else { break };
            let Some(fetched) = self.check_fatal(fetched)? else { continue };
            if sender.send(fetched).await.is_err() {
                // The builder has ended early; its error is the story.
                break;
            }
        }
        // With the last tap the stager ends, with the sender the builder.
        drop((answers, tap, sender));
        stager.await.or_error(ErrorKind::Internal, || "a partition's stager died".to_owned())??;
        builder.await.or_error(ErrorKind::Internal, || "a partition's builder died".to_owned())?
    }

    /// A failure that says something about the whole run, not about one name, ends the run; one that only forbids further
    /// requests is `None`, and ends it when what is in flight has come.
    fn check_fatal(&self, mut fetched: Fetched) -> Result<Option<Fetched>> {
        let failure = match fetched.response {
            Err(failure) if failure.outcome.is_none() => {
                let error = failure.error.doing(format!("fetching {}", fetched.item.name));
                if error.kind() != ErrorKind::RateLimit {
                    return Err(error);
                }
                self.ending.begin(error);
                return Ok(None);
            }
            Err(failure) => failure,
            Ok(_) => {
                self.unanswered_in_a_row.store(0, Ordering::Relaxed);
                self.check_gone(&fetched)?;
                return Ok(Some(fetched));
            }
        };
        if failure.http_status.is_none() && failure.outcome == Some(Outcome::Failed) {
            let unanswered = self.unanswered_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
            if unanswered >= MAX_UNANSWERED_IN_A_ROW {
                return Err(Error::network(format!("the registry gave no answer for {unanswered} names in a row"))
                    .hint("see whether it is up; the same command goes on where this one stopped"));
            }
        } else {
            self.unanswered_in_a_row.store(0, Ordering::Relaxed);
        }
        fetched.response = Err(failure);
        Ok(Some(fetched))
    }

    /// Fails where too many documents of the lake would be gone to be true.
    fn check_gone(&self, fetched: &Fetched) -> Result<()> {
        if !fetched.item.is_held {
            return Ok(());
        }
        let answered = self.answers_about_held.fetch_add(1, Ordering::Relaxed) + 1;
        if !fetched.says_held_is_gone() {
            self.gone_in_a_row.store(0, Ordering::Relaxed);
            return Ok(());
        }
        let gone = self.gone_of_held.fetch_add(1, Ordering::Relaxed) + 1;
        let in_a_row = self.gone_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let disbelief = if self.options.accept_removals { None } else { disbelief_in_gone(gone, answered, in_a_row) };
        disbelief.map_or(Ok(()), Err)
    }

    fn note_plan(&self, job: &PartitionJob) {
        let plan = &job.plan;
        let progress = &self.progress;
        Progress::add(&progress.names_added, plan.counts.added);
        Progress::add(&progress.names_changed, plan.counts.changed);
        Progress::add(&progress.names_removed, plan.counts.removed);
        Progress::add(&progress.names_without_document, plan.without_document);
        Progress::add(&progress.packuments_planned, plan.fetch.len() as u64);
        Progress::add(&progress.rows_planned, job.rows.len() as u64);
        self.with_notes(|notes| {
            notes.unlisted_count += plan.unlisted.len() as u64;
            for name in &plan.unlisted {
                if notes.unlisted_names.len() < UNLISTED_NAMES_SHOWN {
                    notes.unlisted_names.push(name.to_string());
                }
            }
            if self.options.dry_run && !plan.is_unchanged() {
                notes.plan.push(PlannedPartition::of(job));
            }
        });
    }
}
