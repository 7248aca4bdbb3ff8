#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::fetch::{FetchItem, Fetched, OrderedByteBudget};
use crate::lake::{Layout, Partition};
use crate::npm::{Answer, DocRow, Document, Fingerprint, Representation, Validators};
use crate::registry::{BodyGate, Response};
use crate::store::{Failure, Store};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn item(name: &str) -> FetchItem {
    let row = DocRow::new(name, "1-x");
    FetchItem {
        name: row.name,
        announced_rev: row.rev,
        validators: None,
        is_held: false,
        last_answer_us: None,
        credentials: Fingerprint::NONE,
        last: None,
    }
}

fn response(answer: Answer<Document>) -> Response {
    let validators = Validators::default();
    Response { answer, http_status: 200, attempts: 1, validators, is_packument: true, gzip: None }
}

fn document(name: &str) -> Response {
    let bytes = Bytes::from(format!("{{\"name\":\"{name}\",\"x\":\"{}\"}}", "lorem ipsum ".repeat(100)));
    let (representation, validators) = (Representation::Full, Validators::default());
    response(Answer::Fresh(Document { bytes, representation, validators }))
}

/// Stages one segment and returns its path.
async fn stage(store: &Store, answers: Vec<(FetchItem, Response)>) -> String {
    let (layout, store) = (Layout::origin("npm"), store.clone());
    let path = layout.staged_answers(&Partition::ALL, 0, 0);
    let bound = SegmentBound { answers: 100, bytes: 1 << 20, age: Duration::from_secs(10) };
    let none = StagedAnswers::default();
    let mut writer = StagingWriter::new(&store, &layout, &Partition::ALL, Representation::Full, &none, bound).unwrap();
    for (item, response) in answers {
        writer.append(&item, &response, 7).await.unwrap();
    }
    writer.flush().await.unwrap();
    path
}

async fn open(store: &Store) -> StagedAnswers {
    let store = store.clone();
    let open = move || StagedAnswers::open(&store, &Layout::origin("npm"), &Partition::ALL).unwrap();
    tokio::task::spawn_blocking(open).await.unwrap()
}

#[tokio::test]
async fn a_segment_with_one_wrong_bit_is_discarded() {
    let store = Store::memory();
    let came = |name| if name == "b" { document(name) } else { in_gzip(document(name)) };
    let path = stage(&store, NAMES.map(|name| (item(name), came(name))).into()).await;
    let sound = store.get(&path).await.unwrap().unwrap();
    assert!(NAMES.iter().all(|name| futures::executor::block_on(open(&store)).has(&item(name), Representation::Full)));
    for bit in (0..sound.len() * 8).step_by(3) {
        let mut damaged = sound.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        store.put(&path, damaged).await.unwrap();
        let staged = open(&store).await;
        for name in NAMES {
            assert!(!staged.has(&item(name), Representation::Full), "bit {bit}");
        }
    }
}

/// Returns the same response, with its body in gzip.
fn in_gzip(response: Response) -> Response {
    let Answer::Fresh(document) = &response.answer else { panic!("no document") };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&document.bytes).unwrap();
    Response { gzip: Some(encoder.finish().unwrap().into()), ..response }
}

#[tokio::test]
async fn a_gzip_body_is_staged_as_received() {
    let store = Store::memory();
    let sent = in_gzip(document("a"));
    let answers = vec![(item("a"), sent.clone()), (item("b"), document("b"))];
    let path = stage(&store, answers).await;
    let segment = store.get(&path).await.unwrap().unwrap();
    assert!(memchr::memmem::find(&segment, sent.gzip.as_ref().unwrap()).is_some());
    let mut staged = open(&store).await;
    for name in ["a", "b"] {
        assert_eq!(staged.take(&item(name)).unwrap(), (document(name), 7));
    }
}

#[tokio::test]
async fn a_segment_that_is_cut_or_of_an_earlier_version_counts_as_nothing_and_its_number_as_used() {
    let store = Store::memory();
    let path = stage(&store, NAMES.map(|name| (item(name), in_gzip(document(name)))).into()).await;
    let sound = store.get(&path).await.unwrap().unwrap();
    let cuts = (0..sound.len()).step_by(7).map(|length| sound[..length].to_vec());
    for bytes in cuts.chain([zstd::encode_all(&b"answers of format 1"[..], 1).unwrap()]) {
        store.put(&path, bytes).await.unwrap();
        let staged = open(&store).await;
        assert!(!NAMES.iter().any(|name| staged.has(&item(name), Representation::Full)));
        assert_eq!(staged.next_run(), 1);
    }
}

#[tokio::test]
async fn that_a_document_has_not_changed_means_something_only_while_it_is_held() {
    let store = Store::memory();
    stage(&store, vec![(item("a"), response(Answer::NotModified))]).await;
    let staged = open(&store).await;
    let held =
        FetchItem { validators: Some(Validators { etag: Some("\"1\"".to_owned()), last_modified: None }), ..item("a") };
    assert!(staged.has(&held, Representation::Full));
    assert!(!staged.has(&item("a"), Representation::Full));
}

/// Time and other credentials can change it before the next run begins.
#[tokio::test]
async fn a_response_without_a_document_is_not_staged() {
    let store = Store::memory();
    let layout = Layout::origin("npm");
    let bound = SegmentBound { answers: 1, bytes: 1 << 20, age: Duration::from_secs(3600) };
    let none = StagedAnswers::default();
    let writer = StagingWriter::new(&store, &layout, &Partition::ALL, Representation::Full, &none, bound).unwrap();
    let (tap, feed) = staging_tap();
    let feed = tokio::spawn(feed.write_to(writer));
    let gone = |status| response(Answer::Gone { status, said: None });
    let message = Response { is_packument: false, ..in_gzip(document("d")) };
    let lane = OrderedByteBudget::new(1 << 20).lane();
    for (name, response) in [("a", gone(404)), ("b", gone(403)), ("c", document("c")), ("d", message)] {
        let fetched = Fetched { item: item(name), response: Ok(response), fetched_at_us: 7, share: lane.reserve() };
        tap.pass(fetched).await.unwrap();
    }
    drop(tap);
    feed.await.unwrap().unwrap();
    let staged = open(&store).await;
    let has = |name| staged.has(&item(name), Representation::Full);
    assert_eq!(["a", "b", "c", "d"].map(has), [false, false, true, false]);
}

/// Stages names in this order, one segment for each `per_segment` of them.
fn stage_in_order(store: &Store, staged: &StagedAnswers, names: &[String], per_segment: usize) {
    let bound = SegmentBound { answers: per_segment, bytes: 1 << 20, age: Duration::from_secs(10) };
    let layout = Layout::origin("npm");
    let mut writer = StagingWriter::new(store, &layout, &Partition::ALL, Representation::Full, staged, bound).unwrap();
    for name in names {
        futures::executor::block_on(writer.append(&item(name), &document(name), 7)).unwrap();
    }
    futures::executor::block_on(writer.flush()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn answers_are_found_in_whatever_order_they_were_staged(
        first in prop::collection::vec("[a-c]{1,3}", 0..60), second in prop::collection::vec("[a-d]{1,3}", 0..60),
        per_segment in 1_usize..9, wanted in prop::collection::btree_set("[a-d]{1,3}", 0..40),
    ) {
        let store = Store::memory();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _guard = runtime.enter();
        let open = || StagedAnswers::open(&store, &Layout::origin("npm"), &Partition::ALL).unwrap();
        stage_in_order(&store, &open(), &first, per_segment);
        stage_in_order(&store, &open(), &second, per_segment + 1);
        let mut staged = open();
        for name in wanted {
            let is_staged = first.contains(&name) || second.contains(&name);
            prop_assert_eq!(staged.has(&item(&name), Representation::Full), is_staged);
            if is_staged {
                prop_assert_eq!(staged.take(&item(&name)).unwrap().0, document(&name));
            }
        }
    }
}

#[tokio::test]
async fn an_answer_is_durable_when_its_segment_is_full_in_any_order_of_names() {
    let store = Store::memory();
    let budget = OrderedByteBudget::new(1 << 20).lane();
    let (tap, feed) = staging_tap();
    let bound = SegmentBound { answers: 2, bytes: 1 << 20, age: Duration::from_secs(3600) };
    let none = StagedAnswers::default();
    let layout = Layout::origin("npm");
    let writer = StagingWriter::new(&store, &layout, &Partition::ALL, Representation::Full, &none, bound).unwrap();
    let feed = tokio::spawn(feed.write_to(writer));
    for name in ["c", "b", "d"] {
        let share = budget.reserve();
        let fetched = Fetched { item: item(name), response: Ok(document(name)), fetched_at_us: 7, share };
        assert_eq!(tap.pass(fetched).await.unwrap().item.name.as_str(), name);
    }
    let staged = open(&store).await;
    let has = |name| staged.has(&item(name), Representation::Full);
    assert!(has("b") && has("c") && !has("a") && !has("d"));
    drop(tap);
    feed.await.unwrap().unwrap();
    assert!(open(&store).await.has(&item("d"), Representation::Full));
}

#[tokio::test]
async fn memory_of_a_compressed_body_is_freed_when_it_is_staged() {
    let store = Store::memory();
    let budget = OrderedByteBudget::new(1 << 20);
    let (tap, feed) = staging_tap();
    let bound = SegmentBound { answers: 9, bytes: 1 << 20, age: Duration::from_secs(3600) };
    let (layout, none) = (Layout::origin("npm"), StagedAnswers::default());
    let writer = StagingWriter::new(&store, &layout, &Partition::ALL, Representation::Full, &none, bound).unwrap();
    let feed = tokio::spawn(feed.write_to(writer));
    let (share, came) = (budget.lane().reserve(), in_gzip(document("a")));
    let gzip_bytes = came.gzip.as_ref().unwrap().len() as u64;
    share.grow(1_000 + gzip_bytes).await;
    let passed = tap.pass(Fetched { item: item("a"), response: Ok(came), fetched_at_us: 7, share }).await.unwrap();
    assert_eq!((passed.response.as_ref().unwrap(), budget.used_bytes()), (&document("a"), 1_000));
    drop((passed, tap));
    feed.await.unwrap().unwrap();
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn responses_pass_when_staging_fails_and_the_tap_reports_it() {
    let store = Store::memory().failing_at(1, Failure::FullDisk);
    let (tap, feed) = staging_tap();
    let bound = SegmentBound { answers: 1, bytes: 1 << 20, age: Duration::from_secs(3600) };
    let none = StagedAnswers::default();
    let layout = Layout::origin("npm");
    let writer = StagingWriter::new(&store, &layout, &Partition::ALL, Representation::Full, &none, bound).unwrap();
    let fetched = |name| {
        let share = OrderedByteBudget::new(1 << 20).lane().reserve();
        Fetched { item: item(name), response: Ok(document(name)), fetched_at_us: 7, share }
    };
    let waiting = tokio::spawn(feed.write_to(writer));
    // The second waits in the channel, or for a place in it, when the first cannot be staged.
    let (first, second) = tokio::join!(tap.pass(fetched("a")), tap.pass(fetched("b")));
    assert!(first.is_ok() && second.is_ok());
    tap.closed().await;
    assert!(tap.pass(fetched("c")).await.is_ok());
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Lake);
}
