//! Followers that die, are beside others, or find a lake that they cannot follow into.

use super::*;
use crate::error::ErrorKind;
use crate::lake::Layout;
use crate::pipeline::follow::{follow, take_lease};
use crate::sample::{Action, Fault, Kind};
use crate::store::{Failure, Step};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_dies_between_its_commit_and_its_record_asks_for_nothing_twice() {
    let env = Env::new(FeedFaults::default()).await;
    round(&mut env.follower().await).await;
    let name = env.publish(3, "9.0.0");
    env.pass(MINUTE);
    let dying = env.lake.store.failing_at_such(
        |reached| reached.step == Step::Rename && reached.path.ends_with("/follow.json"),
        0,
        Failure::Death,
    );
    let (_, ended) = Box::pin(env.follower_in(&dying, false).await.round()).await;
    assert!(ended.is_err());
    assert_eq!(env.differences().await, (0, 0), "the commit is there");
    env.server.clear_requests();
    let again = round(&mut env.follower().await).await;
    assert_eq!((again.rows, again.changes), (1, 0), "{again:?}");
    let asked: Vec<_> = env.server.requests().into_iter().filter_map(|request| request.package).collect();
    assert!(asked.is_empty(), "{asked:?} after {name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_dies_before_it_notes_a_lagging_document_asks_for_it_again() {
    let env = Env::new(FeedFaults::default()).await;
    round(&mut env.follower().await).await;
    env.faults(FeedFaults { lagging_every: Some(1), lagging_requests: 1, ..FeedFaults::default() });
    env.publish(3, "9.0.0");
    env.pass(MINUTE);
    let dying = env.lake.store.failing_at_such(
        |reached| reached.step == Step::Rename && reached.path.ends_with("/follow.json"),
        0,
        Failure::Death,
    );
    let (_, ended) = Box::pin(env.follower_in(&dying, false).await.round()).await;
    assert!(ended.is_err());
    let again = round(&mut env.follower().await).await;
    assert_eq!((again.changes, again.committed, again.lagging), (1, 1, 0), "{again:?}");
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_not_filled_is_refused_with_what_to_do() {
    let env = Env::new(FeedFaults::default()).await;
    let manifest = env.lake.store.list(&layout().manifests()).await.unwrap().remove(0);
    env.lake.store.delete(&manifest).await.unwrap();
    let error = open(&env.lake.store, &env.registry()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Lake);
    assert!(error.report().contains("2 of 3 partitions") && error.report().contains("all-docs ingest"));
    let empty = Backend::Disk.lake(&BTreeMap::new()).await;
    assert_eq!(open(&empty.store, &env.registry()).await.err().unwrap().kind(), ErrorKind::Lake);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_follows_an_origin_and_an_ingest_works_beside_it() {
    let env = Env::new(FeedFaults::default()).await;
    let lease = take_lease(&env.lake.store, &layout()).await.unwrap();
    let error = take_lease(&env.lake.store, &layout()).await.err().unwrap();
    assert!(error.report().contains("follows sample") && error.report().contains("already"), "{}", error.report());
    let mut follower = env.follower().await;
    round(&mut follower).await;
    env.publish(3, "9.0.0");
    let listed = env.record().await.listed;
    run(&env.server, &env.lake.store, &PIVOTS).await.unwrap();
    assert_ne!(env.record().await.listed, listed, "the ingest has noted its listing");
    env.publish(4, "9.0.0");
    env.pass(MINUTE);
    let next = round(&mut follower).await;
    assert_eq!((next.rows, next.changes), (2, 1), "{next:?}");
    assert_ne!(env.record().await.listed, listed, "the follower has not overwritten it");
    assert_eq!(env.differences().await, (0, 0));
    lease.end().await.unwrap();
    assert!(env.lake.store.get(&layout().lease_of(Layout::follow_lease())).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_without_a_record_is_listed_and_then_followed() {
    let env = Env::new(FeedFaults::default()).await;
    env.lake.store.delete(&layout().follow()).await.unwrap();
    env.publish(3, "9.0.0");
    let mut follower = env.follower().await;
    let first = round(&mut follower).await;
    assert!(first.notes[0].contains("no place of the feed is known"), "{first:?}");
    assert_eq!(first.listing.map(|listing| (listing.why, listing.changes)), Some(("owed", 1)));
    env.publish(4, "9.0.0");
    env.pass(MINUTE);
    assert_eq!(round(&mut follower).await.changes, 1);
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_does_not_hold_up_the_feed() {
    let env = Env::new(FeedFaults::default()).await;
    let mut follower = env.follower().await;
    round(&mut follower).await;
    env.publish(3, "9.0.0");
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Page, Action::status(400))]));
    env.pass(25 * HOUR);
    let (failed, ended) = Box::pin(follower.round()).await;
    assert!(ended.unwrap_err().report().contains("listing the registry"));
    assert_eq!((failed.changes, failed.committed), (1, 1), "{failed:?}");
    env.pass(MINUTE);
    let next = round(&mut follower).await;
    assert!(next.listing.is_none(), "it is not tried again at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_fails_for_the_registry_is_told_and_the_next_one_goes_on() {
    let env = Env::new(FeedFaults::default()).await;
    let (stop, told) = (CancellationToken::new(), std::sync::Mutex::new(Vec::new()));
    let tell = |round: &Round| {
        let mut told = told.lock().unwrap();
        told.push((round.error.is_some(), round.changes));
        match told.len() {
            1 => {
                env.server.set_faults(FaultScript::of([Fault::on(Kind::Changes, Action::status(400))]));
                env.publish(4, "9.0.0");
            }
            2 => env.server.set_faults(FaultScript::default()),
            _ => stop.cancel(),
        }
    };
    env.publish(3, "9.0.0");
    let options =
        FollowOptions { interval: Duration::from_millis(10), clock: Clock::default(), ..env.options(&env.lake.store) };
    let (metrics, progress) = (Arc::clone(&env.metrics), Arc::new(Progress::default()));
    let summary = Box::pin(follow(options, metrics, progress, stop.clone(), &tell)).await.unwrap();
    assert!(summary.interrupted);
    assert_eq!(*told.lock().unwrap(), [(false, 1), (true, 0), (false, 1)]);
    assert_eq!(env.metrics.read().errors, 1);
    assert_eq!(env.differences().await, (0, 0));
    assert!(env.lake.store.get(&layout().lease_of(Layout::follow_lease())).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_our_credentials_ends_the_follower_and_nothing_is_recorded() {
    let env = Env::new(FeedFaults::default()).await;
    let mut follower = env.follower().await;
    round(&mut follower).await;
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, Action::Unauthorized401)]));
    let name = env.publish(3, "9.0.0");
    env.pass(MINUTE);
    let (refused, ended) = Box::pin(follower.round()).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.report());
    assert_eq!(refused.committed, 0);
    env.server.set_faults(FaultScript::default());
    env.pass(MINUTE);
    assert_eq!(round(&mut env.follower().await).await.committed, 1, "{name}");
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_not_believed_of_a_registry_that_serves_no_document_any_more() {
    let env = Env::new(FeedFaults::default()).await;
    let mut follower = env.follower().await;
    round(&mut follower).await;
    let gone = env.name(20);
    env.server.world().delete(&gone);
    let says_gone = Action::Status { code: 404, retry_after: None, body: Some("{\"error\":\"Not found\"}".to_owned()) };
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, says_gone)]));
    env.pass(MINUTE);
    let (_, ended) = Box::pin(follower.round()).await;
    assert!(ended.is_err());
    env.server.set_faults(FaultScript::default());
    env.pass(MINUTE);
    assert_eq!(round(&mut follower).await.committed, 1);
    assert_eq!(env.differences().await, (0, 0));
}
