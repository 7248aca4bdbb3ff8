//! Records events while documents are replaced and dropped. Not here: what they are (`events`).

use bytes::Bytes;

use super::DocumentShards;
use crate::error::Result;
use crate::fetch::FetchItem;
use crate::npm::{Answer, Revision};
use crate::registry::{RequestFailure, Response};
use crate::table::Decoded;

impl DocumentShards<'_> {
    /// Records what happened between the lake's document of a name and the one that replaces it.
    pub(super) fn record(&mut self, item: &FetchItem, body: &Bytes, decoded: &Decoded) -> Result<()> {
        if self.events.is_recording() {
            let old = if item.is_held { Some(self.held_document(item.name.as_str())?) } else { None };
            let rev = decoded.rev.as_ref().unwrap_or(&item.announced_rev);
            self.events.replaced(item, old, body, rev.as_str())?;
        }
        Ok(())
    }

    /// Records that a name has ended, by the response that says so.
    pub(super) fn record_end(&mut self, item: &FetchItem, response: &Result<Response, RequestFailure>) -> Result<()> {
        let name = item.name.as_str();
        let Ok(Response { answer: Answer::Fresh(tombstone), .. }) = response else { return self.record_removal(name) };
        if self.events.is_recording()
            && let Some(old) = self.find_held(name)?
        {
            let rev = Revision::of_document(&tombstone.bytes).unwrap_or_else(|| item.announced_rev.clone());
            self.events.replaced(item, Some(old), &tombstone.bytes, rev.as_str())?;
        }
        Ok(())
    }

    /// Records that the document of a name, if the lake holds one, is dropped.
    pub(super) fn record_removal(&mut self, name: &str) -> Result<()> {
        if self.events.is_recording()
            && let Some(old) = self.find_held(name)?
        {
            self.events.removed(name, &old);
        }
        Ok(())
    }
}
