#![allow(clippy::unwrap_used)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::event::encode_events;
use crate::lake::{Layout, Undelivered};
use crate::registry::{Origin, RegistryConfig, Webhook};
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
    let drained = keeper.end(&CancellationToken::new()).await.unwrap();
    assert_eq!((drained.files, drained.events, feed(&store).await), (3, 3, 0));
    assert_eq!((one.names(), other.names()), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], one.names()));
    assert_eq!(store.list("npm/feed").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.list("npm/leases").await.unwrap(), Vec::<String>::new());
}

async fn undelivered(store: &Store) -> Option<usize> {
    let record: Option<Undelivered> = store.read_record(&layout().event_outputs()).await.unwrap();
    record.map(|record| record.files.len())
}

#[tokio::test]
async fn other_commands_drain_and_the_next_run_delivers_what_a_dead_one_has_not() {
    let store = Store::memory();
    let at_us = now_us();
    put(&store, at_us, "a").await;
    put(&store, at_us - 86_400_000_000, "before").await;
    // A process with outputs has died, and its lease is gone.
    store.put(&layout().event_outputs(), "{}").await.unwrap();
    assert_eq!(keep_events(&store, &layout(), None).await.unwrap(), Drained { files: 2, events: 2 });
    assert_eq!((feed(&store).await, undelivered(&store).await), (0, Some(2)));
    put(&store, at_us + 1, "b").await;
    assert_eq!(keep_events(&store, &layout(), None).await.unwrap().events, 1);
    put(&store, at_us + 2, "c").await;
    let sink = Sink::default();
    let keeper = EventKeeper::start(&store, &layout(), vec![sink.output()], None).await.unwrap();
    keeper.end(&CancellationToken::new()).await.unwrap();
    let all = ["before", "a", "b", "c"].map(str::to_owned);
    assert_eq!((sink.names(), feed(&store).await, undelivered(&store).await), (all.to_vec(), 0, None));
}

#[tokio::test]
async fn nobody_waits_for_outputs_that_have_taken_nothing_for_a_week() {
    let store = Store::memory();
    store.put(&layout().event_outputs(), "{}").await.unwrap();
    put(&store, now_us() - 8 * 86_400_000_000, "old").await;
    for (name, waiting) in [("a", Some(2)), ("b", None), ("c", None)] {
        put(&store, now_us(), name).await;
        keep_events(&store, &layout(), None).await.unwrap();
        assert_eq!((feed(&store).await, undelivered(&store).await), (0, waiting), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_that_takes_nothing_holds_up_neither_the_days_nor_the_end() {
    let store = Store::memory();
    let origin = Origin::parse("http://127.0.0.1:9", None).unwrap();
    // No server listens on that port.
    let webhook = Webhook::new(&RegistryConfig::for_origin(&origin), "http://127.0.0.1:9/hook", None).unwrap();
    let sink = Sink::default();
    let outputs = vec![EventOutput::Webhook(Box::new(webhook)), sink.output()];
    let mut keeper = EventKeeper::start(&store, &layout(), outputs, None).await.unwrap();
    let at_us = now_us();
    let mut expected = Vec::new();
    for number in 0..16 {
        expected.push(format!("c{number}"));
        put(&store, at_us + number, &format!("c{number}")).await;
    }
    assert_eq!(keeper.tend().await.unwrap(), Drained { files: 16, events: 16 });
    assert_eq!((feed(&store).await, undelivered(&store).await), (0, Some(16)));
    let stop = CancellationToken::new();
    stop.cancel();
    let began = Instant::now();
    keeper.end(&stop).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // The other output may have them: the next one gets all of them in order.
    put(&store, at_us + 16, "c16").await;
    expected.push("c16".to_owned());
    let next = Sink::default();
    let keeper = EventKeeper::start(&store, &layout(), vec![next.output()], None).await.unwrap();
    keeper.end(&CancellationToken::new()).await.unwrap();
    assert_eq!((next.names(), undelivered(&store).await), (expected, None));
}

#[tokio::test]
async fn an_output_that_fails_ends_the_run_and_loses_no_event() {
    let store = Store::memory();
    put(&store, now_us(), "a").await;
    let (sound, broken) = (Sink::default(), Sink { fails: true, ..Sink::default() });
    let outputs = vec![sound.output(), broken.output()];
    let keeper = EventKeeper::start(&store, &layout(), outputs, None).await.unwrap();
    let error = keeper.end(&CancellationToken::new()).await.unwrap_err();
    assert!(error.report().contains("a sink"), "{}", error.report());
    assert!(error.is_closed_pipe(), "{error:?}");
    assert_eq!((feed(&store).await, undelivered(&store).await), (0, Some(1)), "the next run delivers it");
}

#[tokio::test]
async fn only_one_process_with_outputs_is_alive() {
    let store = Store::memory();
    let sink = Sink::default();
    let keeper = EventKeeper::start(&store, &layout(), vec![sink.output()], None).await.unwrap();
    let refused = EventKeeper::start(&store, &layout(), vec![sink.output()], None).await;
    assert!(refused.is_err_and(|error| error.report().contains("another process works on npm")));
    keeper.end(&CancellationToken::new()).await.unwrap();
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
    keeper.end(&CancellationToken::new()).await.unwrap();
}
