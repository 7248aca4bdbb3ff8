#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::lake::{Layout, OriginLayout};
use crate::store::{Failure, Store};
use crate::table::events::{Event, EventKind, EventOf, Happening, events_of};

const DAY_US: i64 = 86_400_000_000;

fn layout() -> OriginLayout {
    Layout::origin("npm")
}

fn event(name: &str, rev: u32) -> Event {
    let rev = format!("{rev}-x");
    Event::new(EventOf { name, rev: &rev, seq: None }, Happening::of(EventKind::PackageRemoved))
}

/// Puts a file into the feed, as a commit does.
async fn put(store: &Store, seen_at_us: i64, events: &[Event]) {
    let bytes = encode_events(events, seen_at_us).unwrap();
    let sha256 = format!("{:064x}", seen_at_us);
    let digest: String = sha256.chars().rev().collect();
    store.put(&layout().feed_file(&OriginLayout::feed_name(seen_at_us, &digest)), bytes).await.unwrap();
}

async fn drain_all(store: &Store) -> Result<Drained> {
    let files = feed_files(store, &layout()).await?;
    drain(store, &layout(), files, || Ok(())).await
}

/// Reads the files of days, each as the names and times of its events.
async fn days(store: &Store) -> BTreeMap<String, Vec<(String, i64)>> {
    let mut days = BTreeMap::new();
    for path in store.list(&layout().events()).await.unwrap() {
        let (store, of_path) = (store.clone(), path.clone());
        let events = crate::store::blocking("a reader", move || {
            let file = EventsReader::open(&store, &of_path, true)?.unwrap();
            let mut events = Vec::new();
            for batch in file.batches(None)? {
                events.extend(events_of(&batch?)?);
            }
            assert_eq!(events.len() as u64, file.rows());
            Ok(events)
        });
        let events = events.await.unwrap().into_iter().map(|event| (event.name, event.seen_at_us)).collect();
        days.insert(path, events);
    }
    days
}

fn expected(days: &[(&str, &[(&str, i64)])]) -> BTreeMap<String, Vec<(String, i64)>> {
    let of = |events: &[(&str, i64)]| events.iter().map(|(name, at_us)| ((*name).to_owned(), *at_us)).collect();
    days.iter().map(|(day, events)| (format!("npm/events/{day}.parquet"), of(events))).collect()
}

#[tokio::test]
async fn a_drain_puts_each_event_once_into_its_day_in_the_order_of_time() {
    let store = Store::memory();
    put(&store, 5, &[event("a", 1), event("b", 1)]).await;
    put(&store, DAY_US, &[event("c", 1)]).await;
    assert_eq!(drain_all(&store).await.unwrap(), Drained { files: 2, events: 3 });
    let first = expected(&[("1970-01-01", &[("a", 5), ("b", 5)]), ("1970-01-02", &[("c", DAY_US)])]);
    assert_eq!(days(&store).await, first);
    assert!(store.list("npm/feed").await.unwrap().is_empty());
    // Late files, one of them before all others, and repeats.
    put(&store, 7, &[event("d", 1), event("a", 1)]).await;
    put(&store, 3, &[event("e", 1), event("b", 1), event("e", 1)]).await;
    put(&store, 6, &[event("d", 1), event("b", 2)]).await;
    assert_eq!(drain_all(&store).await.unwrap(), Drained { files: 3, events: 3 });
    let both = [("e", 3), ("a", 5), ("b", 5), ("d", 6), ("b", 6)];
    assert_eq!(days(&store).await, expected(&[("1970-01-01", &both), ("1970-01-02", &[("c", DAY_US)])]));
    assert_eq!(drain_all(&store).await.unwrap(), Drained::default());
}

#[tokio::test]
async fn a_foreign_file_in_the_feed_stays() {
    let store = Store::memory();
    store.put("npm/feed/mine.parquet", "x").await.unwrap();
    store.put("npm/events/mine.parquet", "x").await.unwrap();
    put(&store, 5, &[event("a", 1)]).await;
    assert_eq!(drain_all(&store).await.unwrap().events, 1);
    let left = ["npm/events/1970-01-01.parquet", "npm/events/mine.parquet", "npm/feed/mine.parquet"];
    assert_eq!(store.list("npm").await.unwrap(), left);
}

#[tokio::test]
async fn a_damaged_day_is_an_error_with_a_hint_and_stops_no_other_day() {
    let store = Store::memory();
    for at_us in [5, DAY_US] {
        put(&store, at_us, &[event("a", 1)]).await;
    }
    drain_all(&store).await.unwrap();
    let path = "npm/events/1970-01-01.parquet";
    let bytes = store.get(path).await.unwrap().unwrap();
    store.put(path, bytes.slice(..bytes.len() - 20)).await.unwrap();
    for at_us in [6, DAY_US + 1] {
        put(&store, at_us, &[event("b", 1)]).await;
    }
    let error = drain_all(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake);
    assert!(error.report().contains(path) && error.hint_text().unwrap().contains("--repair"), "{}", error.report());
    assert_eq!(feed_files(&store, &layout()).await.unwrap().len(), 1, "the events of the damaged day wait");
    store.delete(path).await.unwrap();
    drain_all(&store).await.unwrap();
    let second = [("a", DAY_US), ("b", DAY_US + 1)];
    assert_eq!(days(&store).await, expected(&[("1970-01-01", &[("b", 6)]), ("1970-01-02", &second)]));
}

#[tokio::test]
async fn the_removed_names_are_those_of_all_files() {
    let store = Store::memory();
    for (at_us, name) in [(5, "a"), (DAY_US, "b"), (3 * DAY_US, "c")] {
        put(&store, at_us, &[event(name, 1)]).await;
    }
    drain_all(&store).await.unwrap();
    put(&store, 3 * DAY_US + 1, &[event("d", 1)]).await;
    store.put("npm/events/1970-01-09.parquet", "damaged").await.unwrap();
    let gone = std::sync::Arc::new(GoneNames::of(&store, &layout()));
    let known = async |names: [&str; 6]| {
        let gone = std::sync::Arc::clone(&gone);
        let names = names.map(str::to_owned);
        let read = move || gone.refresh().map(|()| names.map(|name| gone.contains(&name)));
        crate::store::blocking("a reader", read).await.unwrap()
    };
    assert_eq!(known(["a", "b", "c", "d", "e", "f"]).await, [true, true, true, true, false, false]);
    put(&store, 3 * DAY_US + 2, &[event("e", 1)]).await;
    assert!(known(["a", "b", "c", "d", "e", "f"]).await[4], "a new file of the feed is read");
    drain_all(&store).await.unwrap();
    put(&store, 3 * DAY_US + 3, &[event("f", 1)]).await;
    drain_all(&store).await.unwrap();
    assert!(known(["a", "b", "c", "d", "e", "f"]).await[5], "the file of a day may be another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_drain_each_event_is_there_once() {
    async fn scene() -> Store {
        let store = Store::memory();
        for at_us in [5, 6, DAY_US] {
            put(&store, at_us, &[event("a", at_us as u32), event("b", at_us as u32)]).await;
        }
        drain_all(&store).await.unwrap();
        for at_us in [4, 7, DAY_US + 1] {
            put(&store, at_us, &[event("a", at_us as u32), event("b", 6)]).await;
        }
        store
    }
    let quiet = scene().await;
    quiet.take_reached();
    drain_all(&quiet).await.unwrap();
    let (steps, expected) = (quiet.take_reached().len(), days(&quiet).await);
    assert!(steps > 8, "{steps}");
    for step in 1..=steps {
        let store = scene().await;
        let failing = store.failing_at(step as u64, Failure::Death);
        assert!(drain_all(&failing).await.is_err(), "{step}");
        // In between, more comes.
        put(&store, DAY_US + 9, &[event("b", 6)]).await;
        drain_all(&store).await.unwrap();
        assert_eq!(days(&store).await, expected, "{step}");
        assert!(feed_files(&store, &layout()).await.unwrap().is_empty());
    }
}
