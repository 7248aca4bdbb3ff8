//! The registry's place in its feed before a listing, which a complete ingest leaves for `follow` to continue from.

use std::future::ready;

use super::options::IngestOptions;
use super::source::Scope;
use super::summary::IngestSummary;
use crate::diff::Selection;
use crate::error::Result;
use crate::lake::{FeedPlace, FollowRecord, OriginLayout};
use crate::registry::DatabaseInfo;
use crate::store::Store;

/// The notes of an ingest from before it lists the registry.
pub(super) struct Noted {
    /// The registry's place; `None` if the root names none, or the ingest does not list and fetch everything.
    place: Option<FeedPlace>,
}

impl Noted {
    pub(super) fn of(info: &DatabaseInfo, options: &IngestOptions) -> Noted {
        let is_whole = options.changes.is_none()
            && options.scope == Scope::All
            && options.selection == Selection::All
            && !options.dry_run;
        let at_us = jiff::Timestamp::now().as_microsecond();
        let place = info.update_seq.clone().filter(|_| is_whole).map(|seq| FeedPlace { seq, at_us });
        Noted { place }
    }

    /// Writes the place into the lake, if every partition is up to date with the listing.
    pub(super) async fn keep(self, store: &Store, layout: &OriginLayout, summary: &IngestSummary) -> Result<()> {
        let state = &summary.state;
        let is_complete = !summary.interrupted && state.partitions_committed == state.partitions_total;
        let Some(place) = self.place.filter(|_| is_complete) else { return Ok(()) };
        let note = |record: &mut FollowRecord| record.note_listing(place.clone());
        store.update_record(&layout.follow(), || ready(Ok(FollowRecord::empty())), note).await.map(drop)
    }
}
