//! The judge of a whole run: decides whether the registry's claims are plausible, and when the run has to end early.
//! Workers consult it about each response; it knows nothing of partitions and shards.

use std::sync::atomic::{AtomicU64, Ordering};

use super::doubt::{Doubt, Sample};
use super::ending::Ending;
use super::losses::{PartitionLoss, disbelief, disbelief_in_gone, unbelievable};
use super::summary::ScanSummary;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::Fetched;
use crate::npm::Outcome;
use crate::registry::Registry;

/// Names in a row without any response before the run stops: then the network is down, not a package.
const MAX_UNANSWERED_IN_A_ROW: u64 = 100;

/// The judge of one run.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Whether the run is ending, and why.
    pub(super) ending: Ending,
    /// Whether removals are accepted, however many they are.
    accepts_removals: bool,
    doubt: Doubt,
    unanswered_in_a_row: AtomicU64,
    /// The number of responses about documents that the lake holds.
    responses_about_held: AtomicU64,
    /// The number of these responses that report the document as gone.
    gone_of_held: AtomicU64,
    /// The number of such responses since the last one that reported something else.
    gone_in_a_row: AtomicU64,
}

impl Judge {
    pub(super) fn new(accepts_removals: bool) -> Judge {
        Judge { accepts_removals, ..Judge::default() }
    }

    /// Refuses an implausible listing before anything is changed by it. Returns a warning if the listing is hard to
    /// believe and is accepted all the same.
    pub(super) fn listing(
        &self,
        losses: &[PartitionLoss],
        scan: &ScanSummary,
        is_dry_run: bool,
    ) -> Result<Option<String>> {
        let Some(why) = disbelief(losses, scan.missing_of_total()) else { return Ok(None) };
        if is_dry_run || self.accepts_removals {
            return Ok(Some(format!("the listing is suspicious: {why}")));
        }
        Err(unbelievable(&why))
    }

    /// Takes the names of the listing to ask for if the registry seems to serve no documents.
    pub(super) fn set_sample(&self, sample: Sample) {
        if !self.accepts_removals {
            self.doubt.set_sample(sample);
        }
    }

    /// Considers a response when it arrives, before those about earlier names may have come.
    pub(super) fn witness(&self, fetched: &Fetched) {
        if !self.accepts_removals {
            self.doubt.witness(fetched);
        }
    }

    /// Waits until the registry seems to serve no documents.
    pub(super) async fn doubts(&self) {
        self.doubt.begins().await;
    }

    /// Examines whether the registry serves documents, if there is a doubt. Fails if it does not: then nothing may be
    /// committed.
    pub(super) async fn examine(&self, registry: &Registry, is_before_commit: bool) -> Result<()> {
        self.doubt.examine(registry, is_before_commit).await
    }

    /// Passes on a response about one name. A failure that concerns the whole run ends it; one that only forbids
    /// further requests returns `None`, and the run ends when the responses in flight have arrived.
    pub(super) fn response(&self, mut fetched: Fetched) -> Result<Option<Fetched>> {
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
                return Err(Error::network(format!("the registry did not respond for {unanswered} names in a row"))
                    .hint("check whether it is up; the same command continues where this one stopped"));
            }
        } else {
            self.unanswered_in_a_row.store(0, Ordering::Relaxed);
        }
        fetched.response = Err(failure);
        Ok(Some(fetched))
    }

    /// Fails if implausibly many documents of the lake would be gone.
    fn check_gone(&self, fetched: &Fetched) -> Result<()> {
        if !fetched.item.is_held {
            return Ok(());
        }
        let responses = self.responses_about_held.fetch_add(1, Ordering::Relaxed) + 1;
        if !fetched.says_held_is_gone() {
            self.gone_in_a_row.store(0, Ordering::Relaxed);
            return Ok(());
        }
        let gone = self.gone_of_held.fetch_add(1, Ordering::Relaxed) + 1;
        let in_a_row = self.gone_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let disbelief = if self.accepts_removals { None } else { disbelief_in_gone(gone, responses, in_a_row) };
        disbelief.map_or(Ok(()), Err)
    }
}
