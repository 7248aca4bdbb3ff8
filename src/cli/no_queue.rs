//! A build without a queue: nothing can be given, and no process takes part.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::printer::Printer;
use crate::error::Result;
use crate::pipeline::{Dispatch, IngestOptions, ItemRunner};
use crate::registry::Fleet;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct QueueArgs {}

pub(super) enum Member {}

impl QueueArgs {
    pub(super) fn is_given(&self) -> bool {
        false
    }

    pub(super) async fn join(&self, _cafile: Option<&Path>) -> Result<Option<Member>> {
        Ok(None)
    }
}

impl Member {
    pub(super) fn fleet(&self) -> Fleet {
        match *self {}
    }

    pub(super) fn address(&self) -> String {
        match *self {}
    }

    pub(super) async fn dispatch(&self, _options: &IngestOptions) -> Result<Arc<dyn Dispatch>> {
        match *self {}
    }

    pub(super) async fn watch_while<T>(&self, _origin: &str, _printer: &Printer, _run: impl Future<Output = T>) -> T {
        match *self {}
    }

    pub(super) async fn consume(
        &self,
        _printer: &Printer,
        _runner: &ItemRunner,
        _at_once: usize,
        _attempts: u64,
        _stop: &CancellationToken,
    ) -> Result<()> {
        match *self {}
    }

    pub(super) async fn leave(self) {
        match self {}
    }

    pub(super) async fn status(&self, _origin: &str) -> Result<(Value, String)> {
        match *self {}
    }
}
