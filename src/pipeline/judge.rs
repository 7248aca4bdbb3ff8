//! The judge of a whole run: decides whether the registry's claims are plausible, and when the run has to end early.
//! Workers consult it about each response; it knows nothing of partitions and shards.

use super::doubt::{Doubt, Sample};
use super::ending::Ending;
use super::losses::{PartitionLoss, disbelief, unbelievable};
use super::summary::ScanSummary;
use crate::error::{ErrorKind, Result};
use crate::fetch::Fetched;
use crate::registry::Registry;

/// The judge of one run.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Whether the run is ending, and why.
    pub(super) ending: Ending,
    /// Whether removals are accepted, however many they are.
    accepts_removals: bool,
    doubt: Doubt,
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
        match fetched.response {
            Err(failure) if failure.outcome.is_none() => {
                let error = failure.error.doing(format!("fetching {}", fetched.item.name));
                if error.kind() != ErrorKind::RateLimit {
                    return Err(error);
                }
                self.ending.begin(error);
                Ok(None)
            }
            response => {
                fetched.response = response;
                Ok(Some(fetched))
            }
        }
    }
}
