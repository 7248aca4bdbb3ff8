#![allow(clippy::unwrap_used)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;
use crate::event::encode_events;
use crate::lake::Layout;
use crate::table::events::{Event, EventKind, EventOf, Happening};

fn layout() -> OriginLayout {
    Layout::origin("npm")
}

/// Lines that a test reads, and that fail or stand still on demand.
#[derive(Clone, Default)]
struct Sink {
    text: Arc<Mutex<Vec<u8>>>,
    fails: bool,
}

impl Sink {
    fn output(&self) -> EventOutput {
        EventOutput::Lines { name: "a sink".to_owned(), lines: Box::new(self.clone()) }
    }

    /// Returns the names of the events in their order.
    fn names(&self) -> Vec<String> {
        let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
        let name =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].as_str().unwrap().to_owned();
        text.lines().map(name).collect()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.fails {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn put(store: &Store, seen_at_us: i64, name: &str) {
    let event = Event::new(EventOf { name, rev: "1-x", seq: None }, Happening::of(EventKind::PackageAdded));
    let bytes = encode_events(&[event], seen_at_us).unwrap();
    let sha256 = format!("{seen_at_us:064x}");
    store.put(&layout().feed_file(&OriginLayout::feed_name(seen_at_us, &sha256[48..])), bytes).await.unwrap();
}

fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

async fn feed(store: &Store) -> usize {
    feed_files(store, &layout()).await.unwrap().len()
}

#[tokio::test]
async fn outputs_get_the_events_in_order_before_the_feed_is_drained() {
    let store = Store::memory();
    let (one, other) = (Sink::default(), Sink::default());
    let at_us = now_us();
    put(&store, at_us + 2, "b").await;
    put(&store, at_us + 1, "a").await;
    let outputs = vec![one.output(), other.output()];
    let mut keeper = EventKeeper::start(&store, &layout(), outputs, None).await.unwrap();
    assert!(store.entry(&layout().event_outputs()).await.unwrap().is_some());
    keeper.tend().await.unwrap();
    put(&store, at_us + 3, "c").await;
    // An ingest that ends meanwhile takes nothing from the outputs.
    assert_eq!(keep_events(&store, &layout(), None).await.unwrap(), Drained::default());
    let drained = keeper.end().await.unwrap();
    assert_eq!((drained.files, drained.events, feed(&store).await), (3, 3, 0));
    assert_eq!((one.names(), other.names()), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], one.names()));
    assert_eq!(store.list("npm/feed").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.list("npm/leases").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn the_next_run_delivers_what_a_dead_one_has_not() {
    let store = Store::memory();
    put(&store, now_us(), "a").await;
    // A process with outputs has died, and its lease is gone.
    store.put(&layout().event_outputs(), "{}").await.unwrap();
    assert_eq!(keep_events(&store, &layout(), None).await.unwrap(), Drained::default());
    assert_eq!(feed(&store).await, 1);
    // After a week nobody waits for it.
    put(&store, now_us() - 8 * 86_400_000_000, "old").await;
    assert_eq!(keep_events(&store, &layout(), None).await.unwrap().events, 1);
    let sink = Sink::default();
    let keeper = EventKeeper::start(&store, &layout(), vec![sink.output()], None).await.unwrap();
    keeper.end().await.unwrap();
    assert_eq!((sink.names(), feed(&store).await), (vec!["a".to_owned()], 0));
}

#[tokio::test]
async fn an_output_that_fails_ends_the_run_and_loses_no_event() {
    let store = Store::memory();
    put(&store, now_us(), "a").await;
    let (sound, broken) = (Sink::default(), Sink { fails: true, ..Sink::default() });
    let outputs = vec![sound.output(), broken.output()];
    let keeper = EventKeeper::start(&store, &layout(), outputs, None).await.unwrap();
    let error = keeper.end().await.unwrap_err();
    assert!(error.report().contains("a sink"), "{}", error.report());
    assert_eq!(feed(&store).await, 1, "the next run delivers it");
    assert!(store.entry(&layout().event_outputs()).await.unwrap().is_some());
}

#[tokio::test]
async fn only_one_process_with_outputs_is_alive() {
    let store = Store::memory();
    let sink = Sink::default();
    let keeper = EventKeeper::start(&store, &layout(), vec![sink.output()], None).await.unwrap();
    let refused = EventKeeper::start(&store, &layout(), vec![sink.output()], None).await;
    assert!(refused.is_err_and(|error| error.report().contains("another process works on npm")));
    keeper.end().await.unwrap();
}

#[tokio::test]
async fn without_outputs_the_feed_is_drained_when_it_is_long_or_old() {
    let store = Store::memory();
    let mut keeper = EventKeeper::start(&store, &layout(), Vec::new(), Some(30)).await.unwrap();
    put(&store, now_us(), "a").await;
    assert_eq!(keeper.tend().await.unwrap(), Drained::default());
    put(&store, now_us() - 301_000_000, "b").await;
    assert_eq!(keeper.tend().await.unwrap().events, 2);
    for number in 0..16 {
        put(&store, now_us() + number, &format!("c{number}")).await;
    }
    assert_eq!(keeper.tend().await.unwrap().events, 16);
    // Old days go.
    put(&store, now_us() - 40 * 86_400_000_000, "old").await;
    let kept = store.list("npm/events").await.unwrap();
    assert_eq!(keeper.tend().await.unwrap().events, 1);
    assert_eq!(store.list("npm/events").await.unwrap(), kept);
    keeper.end().await.unwrap();
}
