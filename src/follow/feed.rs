//! The state of following one feed.

use super::lagging::Lagging;
use super::reading::Reading;
use super::receipts::Receipts;
use super::{CLOCK_SLACK_US, HOUR_US, MINUTE_US};
use crate::lake::{FeedPlace, FollowRecord};
use crate::npm::{Change, ChangeKind, ChangeRow, Seq};

/// The window is read again at every poll with this number.
const POLLS_BETWEEN_REREADS: u32 = 10;
/// A place is kept for each of so many parts of the window.
const PARTS_OF_WINDOW: i64 = 24;
/// A feed whose end has not moved for so long may stand still, and the registry is listed.
const STANDS_STILL_US: i64 = 2 * HOUR_US;
/// After so long an absence the feed is not continued: places are renumbered without notice.
const AWAY_US: i64 = 7 * 24 * HOUR_US;
/// The least time between two listings, and after one that failed. It doubles with each failure, up to a day.
const BETWEEN_LISTINGS_US: i64 = 15 * MINUTE_US;
const LONGEST_BETWEEN_LISTINGS_US: i64 = 24 * HOUR_US;

/// The times of following.
#[derive(Debug, Clone, Copy)]
pub struct FeedSettings {
    /// For how long rows may still appear behind a place that the feed has returned, in microseconds.
    pub window_us: i64,
    /// The time between two listings, in microseconds.
    pub reconcile_us: i64,
}

/// Why the registry is to be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyListing {
    /// Nothing is known of the feed, its places have become invalid, or the follower was away for too long.
    Owed,
    /// It is time for the next one.
    Due,
    /// The feed stands still.
    StandsStill,
}

/// Why the places of the feed were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// No place was known.
    None,
    /// The registry's own place lies behind those that were read.
    WentBack,
    /// The registry's own place is a number, and the one that was noted is none.
    Foreign,
    /// The last reading is too long ago.
    Away,
}

/// A feed that is followed.
#[derive(Debug, Clone)]
pub struct Feed {
    settings: FeedSettings,
    /// All but the lagging names.
    record: FollowRecord,
    receipts: Receipts,
    /// The documents that are waited for.
    pub lagging: Lagging,
    /// Readings until the window is read again.
    polls_left: u32,
    /// How long the feed may stand still before the registry is listed.
    still_us: i64,
    list_not_before_us: i64,
    between_listings_us: i64,
}

impl Feed {
    /// Continues where a record says. A complete listing that is newer than all places is the place to continue from.
    pub fn new(mut record: FollowRecord, settings: FeedSettings) -> Feed {
        let lagging = Lagging::of(&std::mem::take(&mut record.lagging));
        let mut feed = Feed {
            settings,
            record,
            receipts: Receipts::default(),
            lagging,
            polls_left: 0,
            still_us: STANDS_STILL_US,
            list_not_before_us: i64::MIN,
            between_listings_us: BETWEEN_LISTINGS_US,
        };
        if let Some(listed) = feed.record.listed.clone()
            && feed.record.places.last().is_none_or(|newest| newest.at_us < listed.at_us)
        {
            feed.restart(listed);
        }
        feed
    }

    /// Returns the record of the present state.
    pub fn record(&self) -> FollowRecord {
        FollowRecord { lagging: self.lagging.record(), ..self.record.clone() }
    }

    /// Continues from a place of the user's choice.
    pub fn start_at(&mut self, seq: Seq, now_us: i64) {
        // A user who names a place wants what follows it, not a listing.
        self.record.listed.get_or_insert_with(|| FeedPlace { seq: seq.clone(), at_us: now_us });
        self.restart(FeedPlace { seq, at_us: now_us });
        self.record.read_at_us = Some(now_us);
    }

    fn restart(&mut self, place: FeedPlace) {
        self.record.reread_at_us = None;
        self.record.read_at_us = Some(place.at_us);
        self.record.places = vec![place];
        self.receipts.clear();
        self.polls_left = 0;
    }

    /// Returns the newest place that was read.
    pub fn place(&self) -> Option<&Seq> {
        self.record.places.last().map(|place| &place.seq)
    }

    /// Returns the registry's own place, as its root told last.
    pub fn head(&self) -> Option<&Seq> {
        self.record.head.as_ref()
    }

    /// Returns whether the registry's own place has gone back behind what it told before and what was read. Ask it twice
    /// before believing it.
    pub fn is_back(&self, head: &Seq) -> bool {
        let is_behind = |other: Option<&Seq>| other.is_some_and(|other| head.is_behind(other));
        is_behind(self.place()) && (self.record.head.is_none() || is_behind(self.record.head.as_ref()))
    }

    /// Takes the registry's own place. If the places that were read are worth nothing any more, continues from there, and
    /// owes a listing. Owes one too if the time of the last one lies in the future.
    pub fn told(&mut self, head: Seq, now_us: i64) -> Option<GivenUp> {
        self.forget_the_future(now_us);
        let given_up = match self.record.read_at_us {
            _ if self.record.places.is_empty() => Some(GivenUp::None),
            _ if self.is_back(&head) => Some(GivenUp::WentBack),
            // The registry refuses it.
            _ if head.number().is_some() && self.place().is_some_and(|place| place.number().is_none()) => {
                Some(GivenUp::Foreign)
            }
            Some(read_at_us) if now_us.saturating_sub(read_at_us) > AWAY_US => Some(GivenUp::Away),
            _ => None,
        };
        if given_up.is_some() {
            self.restart(FeedPlace { seq: head.clone(), at_us: now_us });
            self.record.listed = None;
        }
        self.record.head = Some(head);
        given_up
    }

    /// Drops times in the future: the clock that noted them was wrong. The work that depends on a dropped time is due.
    fn forget_the_future(&mut self, now_us: i64) {
        let latest_us = now_us.saturating_add(CLOCK_SLACK_US);
        let record = &mut self.record;
        record.listed.take_if(|listed| listed.at_us > latest_us);
        record.read_at_us.take_if(|at_us| *at_us > latest_us);
        record.reread_at_us.take_if(|at_us| *at_us > latest_us);
        for place in record.places.iter_mut().filter(|place| place.at_us > latest_us) {
            place.at_us = now_us;
        }
        if self.list_not_before_us > now_us.saturating_add(LONGEST_BETWEEN_LISTINGS_US) {
            self.list_not_before_us = now_us;
        }
    }

    /// Returns why the registry is to be listed now, if it is.
    pub fn wants_listing(&self, now_us: i64) -> Option<WhyListing> {
        if now_us < self.list_not_before_us {
            return None;
        }
        let Some(listed) = &self.record.listed else { return Some(WhyListing::Owed) };
        let since_listing_us = now_us.saturating_sub(listed.at_us);
        if since_listing_us >= self.settings.reconcile_us {
            return Some(WhyListing::Due);
        }
        let moved_at_us = self.record.places.last()?.at_us;
        let is_still = now_us.saturating_sub(moved_at_us).min(since_listing_us) >= self.still_us;
        // The feed is read first: it may have moved while nobody looked.
        let was_read = self.record.read_at_us.is_some_and(|at_us| at_us > moved_at_us);
        (is_still && was_read).then_some(WhyListing::StandsStill)
    }

    /// Takes the end of a listing that began at `began_at_us`, when the registry's own place was `head`.
    pub fn listed(&mut self, why: WhyListing, head: Option<Seq>, began_at_us: i64) {
        if let Some(seq) = head.or_else(|| self.place().cloned()) {
            self.record.note_listing(FeedPlace { seq, at_us: began_at_us });
        }
        self.between_listings_us = BETWEEN_LISTINGS_US;
        self.list_not_before_us = began_at_us.saturating_add(BETWEEN_LISTINGS_US);
        if why == WhyListing::StandsStill {
            self.still_us = self.still_us.saturating_mul(2).min(LONGEST_BETWEEN_LISTINGS_US);
        }
    }

    /// Takes the failure of a listing.
    pub fn listing_failed(&mut self, now_us: i64) {
        self.list_not_before_us = now_us.saturating_add(self.between_listings_us);
        self.between_listings_us = (self.between_listings_us * 2).min(LONGEST_BETWEEN_LISTINGS_US);
    }

    /// Takes a listing that another process has completed.
    pub fn learn_listing(&mut self, listed: Option<FeedPlace>) {
        if let Some(listed) = listed {
            self.record.note_listing(listed);
        }
    }

    /// Begins a reading; `None` if no place is known. Every tenth one, and each with `rereads`, begins where the window of
    /// the last such one began: so a row that appears within the window behind a place is read, whenever it appears.
    pub fn begin(&mut self, rereads: bool) -> Option<Reading> {
        let newest = self.record.places.last()?.seq.clone();
        let rereads = rereads || self.polls_left == 0;
        self.polls_left = match rereads {
            true => POLLS_BETWEEN_REREADS - 1,
            false => self.polls_left - 1,
        };
        let goal = match &self.record.head {
            Some(head) if !head.is_behind(&newest) => Some(head.clone()),
            _ => Some(newest.clone()),
        };
        let since = match rereads {
            true => self.window_start().map_or(newest, |place| place.seq.clone()),
            false => newest,
        };
        Some(Reading::new(since, rereads, goal))
    }

    /// Returns the newest place that is old enough for the window of the last re-reading; else the oldest.
    fn window_start(&self) -> Option<&FeedPlace> {
        let places = &self.record.places;
        let from_us = self.record.reread_at_us.unwrap_or(i64::MIN).saturating_sub(self.settings.window_us);
        places.iter().rev().find(|place| place.at_us <= from_us).or_else(|| places.first())
    }

    /// Returns the rows that were not taken before, and whose documents are not waited for, as changes. Of several rows of a
    /// name the last counts.
    pub fn news(&self, rows: &[ChangeRow]) -> Vec<Change> {
        let change = |row: &ChangeRow| Change {
            name: row.name.clone(),
            rev: row.rev.clone(),
            kind: if row.is_deleted { ChangeKind::Deleted } else { ChangeKind::Changed },
            seq: row.seq.clone(),
        };
        rows.iter().filter(|row| !self.receipts.has(row) && !self.lagging.waits_for(row)).map(change).collect()
    }

    /// Notes that all rows of a page are committed, or wait among the lagging names, and with them all up to `last_seq`.
    /// `now_us` is a time after the page arrived.
    pub fn took(&mut self, rows: &[ChangeRow], last_seq: Option<&Seq>, now_us: i64) {
        self.receipts.take(rows, now_us);
        let Some(seq) = last_seq else { return };
        let places = &mut self.record.places;
        if places.last().is_some_and(|newest| newest.seq == *seq || seq.is_behind(&newest.seq)) {
            return;
        }
        self.still_us = STANDS_STILL_US;
        let spacing_us = self.settings.window_us / PARTS_OF_WINDOW;
        // The one before stays only if it is far enough from its own predecessor.
        if let [.., before, last] = places.as_slice()
            && last.at_us.saturating_sub(before.at_us) < spacing_us
        {
            places.pop();
        }
        places.push(FeedPlace { seq: seq.clone(), at_us: now_us });
    }

    /// Notes that a reading has come to the end of the feed; it began at `began_at_us`.
    pub fn ended(&mut self, reading: &Reading, began_at_us: i64) {
        self.record.read_at_us = Some(began_at_us);
        if !reading.rereads {
            return;
        }
        self.record.reread_at_us = Some(began_at_us);
        let keep_from_us = began_at_us.saturating_sub(self.settings.window_us);
        let places = &mut self.record.places;
        // The newest place that is old enough is where the next window begins.
        let old = places.iter().take_while(|place| place.at_us <= keep_from_us).count();
        places.drain(..old.saturating_sub(1));
        self.receipts.drop_before(keep_from_us.saturating_sub(self.settings.window_us));
    }
}
