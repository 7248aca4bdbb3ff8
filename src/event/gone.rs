//! The names of packages that were removed once. A package of such a name that is there is one that is back.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use super::file::EventsReader;
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::store::Store;

/// The days whose files may still change: today's, and yesterday's of a drain that is late.
const OPEN_DAYS: usize = 2;

/// The removed names of an origin, read when they are first needed. Blocks.
pub struct GoneNames {
    store: Store,
    layout: OriginLayout,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    read: BTreeSet<String>,
    names: HashSet<String>,
}

impl GoneNames {
    /// Makes the removed names of an origin. Reads nothing yet.
    pub fn of(store: &Store, layout: &OriginLayout) -> GoneNames {
        GoneNames { store: store.clone(), layout: layout.clone(), known: Mutex::default() }
    }

    /// Reads the files of events that are new since the last call: only the end of each. Passes over a damaged one, which
    /// `verify` reports.
    pub fn refresh(&self) -> Result<()> {
        let days: Vec<String> = self.store.blocking().list(&self.layout.events())?;
        let days: Vec<String> =
            days.into_iter().filter(|path| self.layout.parse_events_of_day(path).is_some()).collect();
        let closed = days.len().saturating_sub(OPEN_DAYS);
        let feed = self.store.blocking().list(&self.layout.feed())?;
        let feed = feed.into_iter().filter(|path| self.layout.parse_feed_file(path).is_some());
        let paths = days.into_iter().enumerate().map(|(place, path)| (path, place < closed));
        for (path, is_final) in paths.chain(feed.map(|path| (path, true))) {
            if is_final && self.known().read.contains(&path) {
                continue;
            }
            match EventsReader::open(&self.store, &path, false) {
                Ok(Some(file)) => self.known().names.extend(file.removed()),
                // A drain has taken it since.
                Ok(None) => {}
                Err(error) if error.is_of_system() => return Err(error),
                Err(error) => tracing::warn!(path, %error, "a file of events is passed over"),
            }
            self.known().read.insert(path);
        }
        Ok(())
    }

    /// Returns whether a package of that name was removed, as of the last refresh.
    pub fn contains(&self, name: &str) -> bool {
        self.known().names.contains(name)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
