//! The moment from which on a delta counts: the record. Until then it may be taken back, and tells no event.

use super::beside::{published, standing_at};
use super::*;
use crate::lake::{Manifest, Record};
use crate::pipeline::crash_tests::events_in;
use crate::pipeline::overlay::record::{add, create, delta_of, note_base_commit};
use crate::store::Step;

fn is_of_overlay(reached: &Reached) -> bool {
    reached.path.contains("/overlay/")
}

/// Returns what happened, by the feed and the files of days.
async fn told(store: &Store) -> Vec<String> {
    events_in(store, &[layout().feed(), layout().events()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_waits_for_a_commit_of_the_base_that_has_begun() {
    let (server, lake) = filled(Backend::Disk, 12).await;
    let name = names(&server)[0].clone();
    let changed = BTreeSet::from([name.clone()]);
    edit(&server, 0, &name);
    let moves = |reached: &Reached| reached.step == Step::Rename && reached.path.contains("/packuments/");
    let writing = standing_at(&lake.store, move |reached| moves(reached) && !is_of_overlay(reached));
    let ingest = run(&server, &writing, &PIVOTS);
    let follower = writing.meanwhile(async {
        edit(&server, 1, &name);
        let applied = apply(&server, &lake.store, &changed).await.unwrap();
        assert_eq!((applied.committed, applied.lagging.len()), (0, 1));
        assert!(record(&lake.store).await.deltas.is_empty());
    });
    let (summary, ()) = tokio::join!(ingest, follower);
    summary.unwrap();
    // It is asked for again, but the answer that was received serves.
    server.clear_requests();
    assert_eq!(apply(&server, &lake.store, &changed).await.unwrap().committed, 1);
    assert!(server.requests().iter().all(|request| request.kind != Kind::Packument));
    run(&server, &lake.store, &PIVOTS).await.unwrap();
    assert_eq!(published(&lake.store, &name).await, 2);
    assert_same_rows(&lake.store, &fresh(&server).await.store, "after a commit beside an ingest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_the_base_is_given_up_for_a_delta_that_was_put_on_record_since_its_build() {
    let (server, lake) = filled(Backend::Disk, 12).await;
    let all = names(&server);
    edit(&server, 0, &all[0]);
    edit(&server, 0, &all[1]);
    let begins = |reached: &Reached| reached.step == Step::CreateFile && reached.path.ends_with("/commit.json");
    let writing = standing_at(&lake.store, move |reached| begins(reached) && !is_of_overlay(reached));
    let ingest = run(&server, &writing, &PIVOTS);
    let follower = writing.meanwhile(async {
        edit(&server, 1, &all[0]);
        let applied = apply(&server, &lake.store, &BTreeSet::from([all[0].clone()])).await.unwrap();
        assert_eq!(applied.committed, 1);
    });
    let (summary, ()) = tokio::join!(ingest, follower);
    summary.unwrap();
    run(&server, &lake.store, &PIVOTS).await.unwrap();
    assert_eq!([published(&lake.store, &all[0]).await, published(&lake.store, &all[1]).await], [2, 1]);
    let quiet = fresh(&server).await;
    assert_same_rows(&lake.store, &quiet.store, "after a commit beside an ingest").await;
    assert_folds_into(&server, &lake.store, &quiet.store, "after a commit beside an ingest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_delta_whose_names_an_ingest_changed_meanwhile_is_taken_back_and_tells_nothing() {
    for is_published_again in [false, true] {
        let (server, lake) = filled(Backend::Disk, 12).await;
        let name = names(&server)[0].clone();
        let changed = BTreeSet::from([name.clone()]);
        edit(&server, 0, &name);
        let ends = |reached: &Reached| reached.step == Step::Delete && reached.path.ends_with("/commit.json");
        let writing = standing_at(&lake.store, move |reached| ends(reached) && is_of_overlay(reached));
        let follower = apply(&server, &writing, &changed);
        let ingest = writing.meanwhile(async {
            if is_published_again {
                edit(&server, 1, &name);
            }
            run(&server, &lake.store, &PIVOTS).await.unwrap();
        });
        let (applied, ()) = tokio::join!(follower, ingest);
        assert_eq!(applied.unwrap().committed, u64::from(is_published_again));
        run(&server, &lake.store, &PIVOTS).await.unwrap();
        assert_eq!(published(&lake.store, &name).await, 1 + usize::from(is_published_again));
        assert_same_rows(&lake.store, &fresh(&server).await.store, "after an ingest beside a commit").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_writer_that_died_before_the_record_has_committed_hides_nothing_newer() {
    let (server, lake) = filled(Backend::Disk, 12).await;
    let name = names(&server)[0].clone();
    let changed = BTreeSet::from([name.clone()]);
    edit(&server, 0, &name);
    let is_record = |reached: &Reached| reached.step == Step::Rename && reached.path.ends_with("/overlay.json");
    // The first one makes the record.
    let dying = lake.store.failing_at_such(is_record, 1, Failure::Death);
    apply(&server, &dying, &changed).await.unwrap_err();
    assert!(dying.failed_at().is_some());
    forget_dead_process(&lake.store).await;
    assert!(lake.store.get(&layout().delta(1, 1).manifest(&Delta::PARTITION)).await.unwrap().is_some());
    edit(&server, 1, &name);
    run(&server, &lake.store, &PIVOTS).await.unwrap();
    assert_eq!(apply(&server, &lake.store, &changed).await.unwrap(), Applied::default());
    let quiet = fresh(&server).await;
    assert_same_rows(&lake.store, &quiet.store, "after a death before the record").await;
    assert_eq!(published(&lake.store, &name).await, 2);
    // Another change: what the dead writer left is gone.
    edit(&server, 2, &name);
    assert_eq!(apply(&server, &lake.store, &changed).await.unwrap().committed, 1);
    assert_folds_into(&server, &lake.store, &fresh(&server).await.store, "after a death before the record").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_and_its_events_are_there_once_at_whatever_step_after_its_intent_its_writer_dies() {
    let (server, before) = filled(Backend::Memory, 12).await;
    let all = names(&server);
    let before = before.store.contents().await;
    edit(&server, 0, &all[1]);
    edit(&server, 5, &all[2]);
    let changed: BTreeSet<String> = [all[1].clone(), all[2].clone()].into();
    let quiet = Backend::Memory.lake(&before).await;
    apply(&server, &quiet.store, &changed).await.unwrap();
    let (steps, expected) = (quiet.store.take_reached(), told(&quiet.store).await);
    let fresh = fresh(&server).await;
    assert!(expected.len() >= 2, "{expected:?}");
    // Until its intent, nothing but staging has changed.
    for step in steps.iter().skip_while(|step| !step.path.ends_with("/commit.json")) {
        let lake = Backend::Memory.lake(&before).await;
        let again = async |store: Store| apply(&server, &store, &changed).await;
        let Some(store) = dies_and_goes_on(&lake, step, false, again).await else { continue };
        tend(&server, &store, NEVER).await.unwrap();
        assert_eq!(told(&store).await, expected, "after a death at {step}");
        assert_same_rows(&store, &fresh.store, &format!("after a death at {step}")).await;
    }
}

#[tokio::test]
async fn a_delta_is_put_on_record_only_if_no_commit_of_the_base_has_begun_since_it_was_compared() {
    let (store, of) = (Store::memory(), layout());
    // Without an overlay, nothing is noted.
    assert!(!note_base_commit(&store, &of, "0-g").await.unwrap());
    assert_eq!(store.get(&of.overlay()).await.unwrap(), None);
    create(&store, &of).await.unwrap();
    let manifest = serde_json::json!({
        "format_version": 1, "tool_version": "", "partition": Delta::PARTITION, "written_at": "", "shards": {},
        "outcomes": {}, "removed": ["a"],
    });
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    let delta = delta_of(&manifest, (1, 1), 0).unwrap();
    let before = record(&store).await;
    assert!(note_base_commit(&store, &of, "0-g").await.unwrap());
    let put = async |before: &Overlay, stem: &str| add(&store, &of, &delta, before, &[stem.to_owned()].into()).await;
    assert!(!put(&before, "0-g").await.unwrap());
    assert!(record(&store).await.deltas.is_empty());
    // A commit of another partition is no hindrance.
    assert!(put(&before, "g-p").await.unwrap());
    let now = record(&store).await;
    assert_eq!((now.newest, &now.deltas), (1, &vec![delta.clone()]));
    assert_eq!(Overlay::from_json("", &now.to_json().unwrap()).unwrap(), now);
    let other = Delta { names: 2, ..delta };
    assert!(add(&store, &of, &other, &now, &BTreeSet::new()).await.unwrap_err().report().contains("another process"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_that_is_taken_over_while_its_document_is_needed_is_not_lost() {
    let (server, lake) = filled(Backend::Disk, 12).await;
    let name = names(&server)[0].clone();
    let changed = BTreeSet::from([name.clone()]);
    edit(&server, 0, &name);
    apply(&server, &lake.store, &changed).await.unwrap();
    edit(&server, 1, &name);
    let opens = |reached: &Reached| reached.step == Step::CreateFile && reached.path.contains("outcomes.staged");
    let writing = standing_at(&lake.store, move |reached| opens(reached) && is_of_overlay(reached));
    let follower = apply(&server, &writing, &changed);
    let fold = writing.meanwhile(async {
        fold_everything(&lake.store).await;
        assert!(record(&lake.store).await.deltas.is_empty());
    });
    let (applied, ()) = tokio::join!(follower, fold);
    assert_eq!(applied.unwrap().committed, 1);
    run(&server, &lake.store, &PIVOTS).await.unwrap();
    assert_eq!(published(&lake.store, &name).await, 2);
    assert_same_rows(&lake.store, &fresh(&server).await.store, "after a fold beside a commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_over_an_overlay_that_is_replaced_again_and_again_ends() {
    let (server, lake) = filled(Backend::Memory, 12).await;
    let (name, store) = (names(&server)[0].clone(), lake.store.clone());
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let overlay = OverlayReader::new(&store, &layout());
    let work = |_| async {
        tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        edit(&server, 0, &name);
        apply(&server, &store, &BTreeSet::from([name.clone()])).await?;
        Err::<(), _>(Error::lake("it is gone"))
    };
    assert!(overlay.with_view(work).await.unwrap_err().report().contains("it is gone"));
    assert_eq!(tries.load(std::sync::atomic::Ordering::Relaxed), 20);
    // Another error, and a record that stays, are told at once.
    let tries = std::cell::Cell::new(0);
    for kind in [ErrorKind::Network, ErrorKind::Lake] {
        let work = |_| {
            tries.set(tries.get() + 1);
            std::future::ready(Err::<(), _>(Error::new(kind, "it is gone")))
        };
        assert_eq!(overlay.with_view(work).await.unwrap_err().kind(), kind);
    }
    assert_eq!(tries.get(), 2);
    let is_refused = |builds| crate::pipeline::worker::refuse_more_than_bearable(builds, &layout()).is_err();
    assert_eq!([1, 20, 21].map(is_refused), [false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_from_a_backup_deletes_no_newer_delta() {
    let (server, lake) = filled(Backend::Memory, 12).await;
    let (all, store) = (names(&server), &lake.store);
    let mut old = None;
    for name in &all[..4] {
        old = old.or(store.get(&layout().overlay()).await.unwrap());
        edit(&server, 0, name);
        apply(&server, store, &BTreeSet::from([name.clone()])).await.unwrap();
    }
    store.put(&layout().overlay(), old.unwrap()).await.unwrap();
    edit(&server, 1, &all[0]);
    let error = apply(&server, store, &BTreeSet::from([all[0].clone()])).await.unwrap_err();
    assert!(error.report().contains("restored from a backup"), "{}", error.report());
    for number in [3, 4] {
        let manifest = layout().delta(number, number).manifest(&Delta::PARTITION);
        assert!(store.get(&manifest).await.unwrap().is_some(), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_was_unpublished_and_then_removed_is_restored_when_it_is_back() {
    let (server, lake) = filled(Backend::Memory, 12).await;
    let name = names(&server)[0].clone();
    let changed = BTreeSet::from([name.clone()]);
    for kind in [6, 5, 0] {
        edit(&server, kind, &name);
        apply(&server, &lake.store, &changed).await.unwrap();
    }
    let told = told(&lake.store).await;
    let kinds: BTreeSet<&str> = told.iter().filter_map(|event| event.split(' ').nth(1)).collect();
    assert_eq!(kinds, BTreeSet::from(["package_restored", "package_unpublished"]), "{told:?}");
}
