//! Following against a model of a feed that inserts rows behind places that it has returned.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::lake::{FeedPlace, FollowRecord};
use crate::npm::{ChangeRow, ChangesPage, PackageName, Revision, Seq};

const WINDOW_US: i64 = 2 * HOUR_US;
const LIMIT: u32 = 4;

fn settings() -> FeedSettings {
    FeedSettings { window_us: WINDOW_US, reconcile_us: 24 * HOUR_US }
}

fn seq(number: u64) -> Seq {
    Seq::new(number.to_string())
}

fn row(number: u64, name: &str, rev: u64) -> ChangeRow {
    ChangeRow {
        seq: Some(seq(number)),
        name: PackageName::new(name),
        rev: Revision::new(format!("{rev}-x")),
        is_deleted: false,
    }
}

fn page(rows: Vec<ChangeRow>, last_seq: u64) -> ChangesPage {
    ChangesPage { rows, last_seq: Some(seq(last_seq)), ..ChangesPage::default() }
}

/// A feed that has been read up to a place.
fn followed(place: u64, at_us: i64) -> Feed {
    let listed = Some(FeedPlace { seq: seq(place), at_us });
    Feed::new(FollowRecord { listed, ..FollowRecord::empty() }, settings())
}

/// Does one round: tells the head, and reads one page that ends there.
fn read(feed: &mut Feed, rows: Vec<ChangeRow>, head: u64, now_us: i64) -> usize {
    assert_eq!(feed.told(seq(head), now_us), None);
    let mut reading = feed.begin(false).unwrap();
    let page = page(rows, head);
    assert_eq!(reading.judge(&page, LIMIT), Turn::Last);
    let news = feed.news(&page.rows).len();
    feed.took(&page.rows, page.last_seq.as_ref(), now_us);
    feed.ended(&reading, now_us);
    news
}

#[test]
fn a_row_is_news_once_and_its_next_revision_again() {
    let mut feed = followed(10, 0);
    assert_eq!(read(&mut feed, vec![row(12, "a", 1)], 12, MINUTE_US), 1);
    assert_eq!(read(&mut feed, vec![row(12, "a", 1)], 12, 2 * MINUTE_US), 0);
    assert_eq!(read(&mut feed, vec![row(14, "a", 2)], 14, 3 * MINUTE_US), 1);
    let deleted = ChangeRow { is_deleted: true, ..row(14, "a", 2) };
    assert_eq!(read(&mut feed, vec![deleted], 14, 4 * MINUTE_US), 1);
}

#[test]
fn times_that_a_wrong_clock_has_noted_in_the_future_delay_nothing() {
    let year_us = 365 * 24 * HOUR_US;
    let place = |number, at_us| FeedPlace { seq: seq(number), at_us };
    let record = FollowRecord {
        places: vec![place(8, year_us), place(10, year_us)],
        head: Some(seq(10)),
        read_at_us: Some(year_us),
        reread_at_us: Some(year_us),
        listed: Some(place(8, year_us)),
        ..FollowRecord::empty()
    };
    let mut feed = Feed::new(record, settings());
    assert_eq!(feed.told(seq(10), 0), None);
    assert_eq!(feed.wants_listing(0), Some(WhyListing::Owed));
    feed.listed(WhyListing::Owed, Some(seq(10)), 0);
    assert_eq!(feed.begin(true).unwrap().since, seq(8), "the whole window is read again");
    read(&mut feed, Vec::new(), 10, HOUR_US);
    assert_eq!(feed.record().read_at_us, Some(HOUR_US));
    assert_eq!(feed.wants_listing(3 * HOUR_US), Some(WhyListing::StandsStill));
    feed.listed(WhyListing::StandsStill, Some(seq(10)), 3 * HOUR_US);
    assert_eq!(feed.wants_listing(27 * HOUR_US), Some(WhyListing::Due));
    // Another process lists, and its clock is a little ahead.
    feed.learn_listing(Some(place(10, 27 * HOUR_US + MINUTE_US)));
    assert_eq!(feed.told(seq(11), 27 * HOUR_US), None);
    assert_eq!(feed.wants_listing(27 * HOUR_US), None);
}

#[test]
fn a_clock_that_goes_back_amid_the_work_does_not_put_off_listings() {
    let mut feed = followed(10, 100 * HOUR_US);
    feed.listing_failed(100 * HOUR_US);
    assert_eq!(feed.told(seq(10), HOUR_US), None);
    assert_eq!(feed.wants_listing(HOUR_US), Some(WhyListing::Owed));
}

#[test]
fn every_tenth_reading_begins_at_the_window() {
    let mut feed = followed(10, 0);
    let mut rereads = Vec::new();
    for round in 1..=30_u64 {
        let now_us = i64::try_from(round).unwrap() * MINUTE_US;
        assert_eq!(feed.told(seq(10 + round), now_us), None);
        let mut reading = feed.begin(false).unwrap();
        if reading.rereads {
            rereads.push(round);
        }
        assert_eq!(reading.judge(&page(Vec::new(), 10 + round), LIMIT), Turn::Last);
        feed.took(&[], Some(&seq(10 + round)), now_us);
        feed.ended(&reading, now_us);
    }
    assert_eq!(rereads, [1, 11, 21]);
    assert!(feed.begin(true).unwrap().rereads);
}

#[test]
fn a_page_from_a_cache_is_asked_for_again_past_caches_and_once_only() {
    let mut feed = followed(10, 0);
    feed.told(seq(20), MINUTE_US);
    let mut reading = feed.begin(false).unwrap();
    assert_eq!(reading.judge(&page(Vec::new(), 10), LIMIT), Turn::Again);
    assert!(reading.past_caches);
    assert_eq!(reading.judge(&page(Vec::new(), 10), LIMIT), Turn::Last);
    assert!(reading.ends_behind);
}

#[test]
fn short_pages_of_a_server_and_its_pending_rows_do_not_end_a_reading() {
    let mut feed = followed(10, 0);
    feed.told(seq(30), MINUTE_US);
    let mut reading = feed.begin(false).unwrap();
    let full = (0..u64::from(LIMIT)).map(|n| row(11 + n, "a", n)).collect();
    assert_eq!(reading.judge(&page(full, 14), LIMIT), Turn::More);
    reading.past_caches = true;
    assert_eq!(reading.judge(&page(vec![row(20, "b", 1)], 20), LIMIT), Turn::More);
    let pending = ChangesPage { pending: Some(1), ..page(vec![row(30, "c", 1)], 30) };
    assert_eq!(reading.judge(&pending, LIMIT), Turn::More);
    // A server that returns the same page again and again ends the reading too.
    assert_eq!(reading.judge(&pending, LIMIT), Turn::Last);
    assert!(!reading.ends_behind);
}

#[test]
fn a_head_that_goes_back_ends_the_trust_in_all_places_and_owes_a_listing() {
    let mut feed = followed(100, 0);
    read(&mut feed, Vec::new(), 120, MINUTE_US);
    assert_eq!(feed.wants_listing(MINUTE_US), None);
    assert!(!feed.is_back(&seq(120)) && feed.is_back(&seq(119)));
    assert_eq!(feed.told(seq(40), 2 * MINUTE_US), Some(GivenUp::WentBack));
    assert_eq!(feed.place(), Some(&seq(40)));
    // The listing is owed also after a restart.
    let mut feed = Feed::new(feed.record(), settings());
    assert_eq!(feed.wants_listing(3 * MINUTE_US), Some(WhyListing::Owed));
    feed.listed(WhyListing::Owed, Some(seq(41)), 3 * MINUTE_US);
    assert_eq!(feed.wants_listing(4 * MINUTE_US), None);
    assert_eq!(feed.told(seq(45), 4 * MINUTE_US), None);
}

#[test]
fn a_root_that_is_always_behind_its_own_feed_has_not_gone_back() {
    let mut feed = followed(100, 0);
    feed.told(seq(110), MINUTE_US);
    let mut reading = feed.begin(false).unwrap();
    reading.judge(&page(Vec::new(), 115), LIMIT);
    feed.took(&[], Some(&seq(115)), MINUTE_US);
    feed.ended(&reading, MINUTE_US);
    assert_eq!(feed.told(seq(112), 2 * MINUTE_US), None);
    // A place behind the newest one is not noted.
    feed.took(&[], Some(&seq(113)), 2 * MINUTE_US);
    assert_eq!(feed.place(), Some(&seq(115)));
}

#[test]
fn a_feed_that_stands_still_is_listed_after_two_hours_and_then_ever_less_often() {
    let mut feed = followed(100, 0);
    let (mut listed_at, mut now_us) = (Vec::new(), 0);
    while now_us < 23 * HOUR_US {
        now_us += MINUTE_US;
        if let Some(why) = feed.wants_listing(now_us) {
            assert_eq!(why, WhyListing::StandsStill);
            listed_at.push(now_us / HOUR_US);
            feed.listed(why, Some(seq(100)), now_us);
        }
        read(&mut feed, Vec::new(), 100, now_us);
    }
    assert_eq!(listed_at, [2, 6, 14]);
    read(&mut feed, vec![row(101, "a", 1)], 101, now_us);
    assert_eq!(feed.wants_listing(now_us + HOUR_US), None);
    assert_eq!(feed.wants_listing(now_us + 2 * HOUR_US), None, "it is read first, and may have moved");
}

#[test]
fn a_listing_is_due_every_day_and_one_that_fails_is_tried_ever_less_often() {
    let mut feed = followed(100, 0);
    read(&mut feed, Vec::new(), 101, 24 * HOUR_US - MINUTE_US);
    assert_eq!(feed.wants_listing(24 * HOUR_US - 1), None);
    assert_eq!(feed.wants_listing(24 * HOUR_US), Some(WhyListing::Due));
    feed.listing_failed(24 * HOUR_US);
    assert_eq!(feed.wants_listing(24 * HOUR_US + 14 * MINUTE_US), None);
    assert_eq!(feed.wants_listing(24 * HOUR_US + 15 * MINUTE_US), Some(WhyListing::Due));
    feed.listing_failed(25 * HOUR_US);
    assert_eq!(feed.wants_listing(25 * HOUR_US + 29 * MINUTE_US), None);
}

#[test]
fn a_follower_that_was_away_for_a_week_owes_a_listing() {
    let mut feed = followed(100, 0);
    read(&mut feed, Vec::new(), 101, MINUTE_US);
    assert_eq!(feed.told(seq(900), 8 * 24 * HOUR_US), Some(GivenUp::Away));
    assert_eq!(feed.place(), Some(&seq(900)));
    assert_eq!(feed.wants_listing(8 * 24 * HOUR_US), Some(WhyListing::Owed));
    let mut new = Feed::new(FollowRecord::empty(), settings());
    assert_eq!(new.told(seq(5), 0), Some(GivenUp::None));
    assert_eq!((new.place(), new.wants_listing(0)), (Some(&seq(5)), Some(WhyListing::Owed)));
}

#[test]
fn a_noted_place_that_is_none_of_the_feed_is_given_up_for_a_listing() {
    let mut feed = followed(100, 0);
    feed.start_at(Seq::new("abc"), 0);
    assert_eq!(feed.told(seq(105), MINUTE_US), Some(GivenUp::Foreign));
    assert_eq!((feed.place(), feed.wants_listing(MINUTE_US)), (Some(&seq(105)), Some(WhyListing::Owed)));
    assert_eq!(feed.told(seq(106), 2 * MINUTE_US), None);
}

#[test]
fn a_listing_that_an_ingest_completed_is_the_place_to_continue_from() {
    let mut feed = followed(100, 0);
    read(&mut feed, Vec::new(), 101, MINUTE_US);
    let mut record = feed.record();
    record.note_listing(FeedPlace { seq: seq(500), at_us: 20 * HOUR_US });
    record.note_listing(FeedPlace { seq: seq(3), at_us: 0 });
    assert_eq!(Feed::new(record, settings()).place(), Some(&seq(500)));
    feed.learn_listing(Some(FeedPlace { seq: seq(102), at_us: 20 * HOUR_US }));
    assert_eq!(feed.wants_listing(30 * HOUR_US), None);
}

/// A change: when it gets its place, how long its row takes to appear there, and of which name it is.
type Event = (i64, i64, u8);

/// A feed with one row a name, which moves with each change.
struct Model {
    /// By ascending places: the time of the place, the time at which the row appears, the name.
    events: Vec<Event>,
}

impl Model {
    fn head(&self, now_us: i64) -> u64 {
        3 * self.events.iter().take_while(|(at_us, ..)| *at_us <= now_us).count() as u64
    }

    fn page(&self, since: &Seq, limit: u32, now_us: i64) -> ChangesPage {
        let since = since.number().unwrap();
        let mut last = BTreeMap::new();
        for (place, (_, appears_us, name)) in self.events.iter().enumerate() {
            if *appears_us <= now_us {
                last.insert(*name, place as u64);
            }
        }
        let mut places: Vec<(u64, u8)> = last.into_iter().map(|(name, place)| (3 * place + 1, name)).collect();
        places.sort_unstable();
        places.retain(|(number, _)| *number > since);
        let is_cut = places.len() >= limit as usize;
        places.truncate(limit as usize);
        let last_seq = match places.last() {
            Some((number, _)) if is_cut => *number,
            _ => self.head(now_us).max(since),
        };
        page(places.iter().map(|(number, name)| row(*number, &name.to_string(), *number)).collect(), last_seq)
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..300 * MINUTE_US, prop_oneof![3 => Just(0), 1 => 0..=WINDOW_US], 0..6_u8);
    proptest::collection::vec(event, 0..40).prop_map(|mut events| {
        events.sort_unstable();
        events.into_iter().map(|(at_us, delay_us, name)| (at_us, at_us + delay_us, name)).collect()
    })
}

proptest! {
    /// Whenever it is read, and however often it is killed: each name's last row is taken, if it appears within the window.
    #[test]
    fn no_row_that_appears_within_the_window_is_lost(
        events in events(),
        polls in proptest::collection::vec((0..40 * MINUTE_US, any::<bool>(), 0..4_u8), 0..40),
    ) {
        let model = Model { events };
        let mut taken: BTreeMap<PackageName, Revision> = BTreeMap::new();
        let mut feed = followed(0, 0);
        let mut now_us = 0;
        let end = (700 * MINUTE_US, true, 1);
        for (wait_us, rereads, killed) in polls.into_iter().chain([end]) {
            now_us += wait_us;
            prop_assert_eq!(feed.told(seq(model.head(now_us)), now_us), None);
            let began_us = now_us;
            let mut reading = feed.begin(rereads).unwrap();
            loop {
                let page = model.page(&reading.since, LIMIT, now_us);
                let turn = reading.judge(&page, LIMIT);
                if turn == Turn::Again {
                    continue;
                }
                for change in feed.news(&page.rows) {
                    taken.insert(change.name, change.rev);
                }
                now_us += 1;
                if killed == 0 {
                    // Before the record is written.
                    break;
                }
                feed.took(&page.rows, page.last_seq.as_ref(), now_us);
                if turn == Turn::Last {
                    feed.ended(&reading, began_us);
                    break;
                }
            }
            if killed <= 1 {
                feed = Feed::new(feed.record(), settings());
            }
            prop_assert!(feed.record().places.len() <= 64);
        }
        let mut wanted = BTreeMap::new();
        for row in model.page(&seq(0), 1_000, now_us).rows {
            wanted.insert(row.name, row.rev);
        }
        prop_assert_eq!(taken, wanted);
    }
}
