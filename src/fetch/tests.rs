#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::lake::{Layout, Partition};
use crate::npm::{Answer, DocRow, Document, Representation, Validators};
use crate::registry::Response;
use crate::store::Store;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn item(name: &str) -> FetchItem {
    let row = DocRow::new(name, "1-x");
    FetchItem { name: row.name, announced_rev: row.rev, validators: None }
}

fn response(answer: Answer<Document>) -> Response {
    Response { answer, http_status: 200, attempts: 1, validators: Validators::default() }
}

fn document(name: &str) -> Response {
    let bytes = Bytes::from(format!("{{\"name\":\"{name}\",\"x\":\"{}\"}}", "lorem ipsum ".repeat(100)));
    let (representation, validators) = (Representation::Full, Validators::default());
    response(Answer::Fresh(Document { bytes, representation, validators }))
}

/// Stages one segment and answers its path.
async fn stage(store: &Store, answers: Vec<(FetchItem, Response)>) -> String {
    let (layout, store) = (Layout::origin("npm"), store.clone());
    let path = layout.staged_answers(&Partition::ALL, 0, 0);
    let write = move || {
        let bound = SegmentBound { answers: 100, bytes: 1 << 20, age: Duration::from_secs(10) };
        let none = StagedAnswers::default();
        let mut writer =
            StagingWriter::new(&store, &layout, &Partition::ALL, Representation::Full, &none, bound).unwrap();
        for (item, response) in answers {
            writer.append(&item, &response, 7).unwrap();
        }
        writer.flush().unwrap();
    };
    tokio::task::spawn_blocking(write).await.unwrap();
    path
}

async fn open(store: &Store) -> StagedAnswers {
    let store = store.clone();
    let open = move || StagedAnswers::open(&store, &Layout::origin("npm"), &Partition::ALL).unwrap();
    tokio::task::spawn_blocking(open).await.unwrap()
}

#[tokio::test]
async fn of_a_segment_with_one_wrong_bit_nothing_is_believed() {
    let store = Store::memory();
    let path = stage(&store, NAMES.map(|name| (item(name), document(name))).into()).await;
    let sound = store.get(&path).await.unwrap().unwrap();
    assert!(NAMES.iter().all(|name| futures::executor::block_on(open(&store)).has(&item(name), Representation::Full)));
    for bit in (0..sound.len() * 8).step_by(3) {
        let mut damaged = sound.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        store.put(&path, damaged).await.unwrap();
        let mut staged = open(&store).await;
        for name in NAMES {
            // A bit that the frame does not use may change nothing; then the document is the one that was staged.
            if staged.has(&item(name), Representation::Full) {
                assert_eq!(staged.take(&item(name)).unwrap().0, document(name), "bit {bit}");
            }
        }
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
