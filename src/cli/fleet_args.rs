//! The arguments of an ingest whose work other processes do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::queue_args::{Member, QueueArgs};
use super::token::token_or_none;
use crate::error::{Error, Result};
use crate::pipeline::{Dispatch, IngestOptions, PushDispatch};

/// The processes to which an ingest hands out its work.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FleetArgs {
    /// Hand the work out to these workers, separated by commas: this process lists and plans, and each of them brings
    /// partitions up to date. See all-docs worker, and docs/fleet.md
    #[arg(long, value_name = "URLS", env = "ALL_DOCS_WORKERS", value_delimiter = ',')]
    pub(super) workers: Vec<String>,
    /// The token of the workers
    #[arg(long, value_name = "TOKEN", env = "ALL_DOCS_WORKER_TOKEN", hide_env_values = true)]
    #[arg(value_parser = token_or_none)]
    pub(super) worker_token: Option<String>,
    /// Hand the work out through this queue instead: see all-docs worker --queue
    #[command(flatten)]
    pub(super) queue: QueueArgs,
}

impl FleetArgs {
    /// Returns whether other processes do the work.
    fn is_given(&self) -> bool {
        !self.urls().is_empty() || self.queue.is_given()
    }

    /// Returns the addresses of the workers, each once.
    fn urls(&self) -> BTreeSet<String> {
        let urls = self.workers.iter().map(|url| url.trim().trim_end_matches('/'));
        urls.filter(|url| !url.is_empty()).map(str::to_owned).collect()
    }

    /// Refuses flags that only the process that fetches could follow. Each comes with whether it is given.
    pub(super) fn refuse(&self, flags: &[(&str, bool)]) -> Result<()> {
        if !self.workers.is_empty() && self.queue.is_given() {
            return Err(
                Error::input("--workers and --queue are two ways to hand out the work").hint("give one of them")
            );
        }
        match flags.iter().find(|(_, is_given)| *is_given && self.is_given()) {
            Some((flag, _)) => Err(Error::input(format!("{flag} is not for an ingest by workers"))
                .hint("leave it out, or ingest without --workers and --queue")),
            None => Ok(()),
        }
    }

    /// Returns the way to the workers; `None` if this process does the work.
    pub(super) async fn dispatch(
        &self,
        options: &IngestOptions,
        member: Option<&Member>,
    ) -> Result<Option<Arc<dyn Dispatch>>> {
        if let Some(member) = member {
            return member.dispatch(options).await.map(Some);
        }
        if !self.is_given() {
            return Ok(None);
        }
        let urls: Vec<String> = self.urls().into_iter().collect();
        let dispatch = PushDispatch::open(options, &urls, self.worker_token.as_deref()).await?;
        Ok(Some(Arc::new(dispatch)))
    }
}
