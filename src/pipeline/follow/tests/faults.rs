//! Faults of npm's feed, each by name.

use super::*;
use crate::error::ErrorKind;
use crate::npm::Seq;

#[tokio::test(flavor = "multi_thread")]
async fn rows_inserted_behind_a_returned_place_are_found_at_the_tenth_reading() {
    let env = Env::new(FeedFaults::default()).await;
    let mut follower = env.follower().await;
    round(&mut follower).await;
    env.faults(FeedFaults { late_every: Some(1), late_pages: 3, ..FeedFaults::default() });
    env.publish(3, "9.0.0");
    env.publish(30, "9.0.0");
    let mut changes = Vec::new();
    for _ in 0..11 {
        env.pass(MINUTE);
        changes.push(round(&mut follower).await.changes);
    }
    assert_eq!(changes, [0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]);
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_inserted_behind_a_returned_place_are_found_by_the_next_single_round() {
    let env = Env::new(FeedFaults::default()).await;
    round(&mut env.follower_in(&env.lake.store, true).await).await;
    env.faults(FeedFaults { late_every: Some(1), late_pages: 2, ..FeedFaults::default() });
    env.publish(3, "9.0.0");
    let mut changes = Vec::new();
    for _ in 0..4 {
        env.pass(50 * MINUTE);
        changes.push(round(&mut env.follower_in(&env.lake.store, true).await).await.changes);
    }
    assert_eq!(changes, [0, 0, 1, 0]);
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_lags_behind_its_announcement_is_asked_for_again_also_after_a_restart() {
    let env = Env::new(FeedFaults { lagging_every: Some(1), lagging_requests: 2, ..FeedFaults::default() }).await;
    env.faults(FeedFaults { lagging_every: Some(1), lagging_requests: 3, ..FeedFaults::default() });
    let mut follower = env.follower().await;
    let name = env.publish(3, "9.0.0");
    let first = round(&mut follower).await;
    assert_eq!((first.changes, first.committed, first.lagging), (1, 0, 1), "{first:?}");
    assert_eq!(follower.until_due(), Some(Duration::from_secs(10)));
    env.pass(Duration::from_secs(10));
    let (again, ended) = Box::pin(follower.ask_again()).await;
    ended.unwrap();
    assert_eq!((again.asked_again, again.lagging), (1, 1), "{again:?}");
    assert_eq!(env.record().await.lagging.first().map(|known| known.name.clone()), Some(name.clone()));
    let mut next = env.follower().await;
    assert_eq!(next.until_due(), Some(Duration::from_secs(30)));
    env.pass(Duration::from_secs(30));
    assert_eq!(round(&mut next).await.lagging, 1);
    env.pass(2 * MINUTE);
    let (last, ended) = Box::pin(next.ask_again()).await;
    ended.unwrap();
    assert_eq!((last.asked_again, last.committed, last.lagging), (1, 1, 0), "{last:?}");
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_never_come_and_missed_deletions_are_found_by_the_daily_listing() {
    let env = Env::new(FeedFaults::default()).await;
    env.faults(FeedFaults { lost_every: Some(1), ..FeedFaults::default() });
    let mut follower = env.follower().await;
    env.publish(3, "9.0.0");
    let gone = env.name(20);
    env.server.world().delete(&gone);
    for _ in 0..2 {
        env.pass(11 * HOUR);
        assert_eq!(round(&mut follower).await.changes, 0);
    }
    env.pass(3 * HOUR);
    let listing = round(&mut follower).await.listing.unwrap();
    assert_eq!((listing.why, listing.changes), ("due", 2));
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_lags_behind_a_listing_is_asked_for_again() {
    let env = Env::new(FeedFaults::default()).await;
    let feed = FeedFaults { lost_every: Some(1), lagging_every: Some(1), ..FeedFaults::default() };
    env.faults(feed);
    let mut follower = env.follower().await;
    env.publish(3, "9.0.0");
    env.pass(25 * HOUR);
    let listed = round(&mut follower).await;
    assert_eq!((listed.listing.unwrap().changes, listed.lagging), (1, 1));
    env.pass(Duration::from_secs(10));
    let (again, ended) = Box::pin(follower.ask_again()).await;
    ended.unwrap();
    assert_eq!((again.committed, again.lagging), (1, 0));
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_goes_back_is_seen_though_the_registry_echoes_the_place_and_the_registry_is_listed() {
    let env = Env::new(FeedFaults::default()).await;
    let mut follower = env.follower().await;
    env.publish(2, "9.0.0");
    round(&mut follower).await;
    let before = follower.place().unwrap();
    env.faults(FeedFaults { back_by: 60, ..FeedFaults::default() });
    env.publish(3, "9.0.0");
    env.pass(MINUTE);
    let back = round(&mut follower).await;
    assert!(back.notes[0].contains("gone back"), "{back:?}");
    assert_eq!((back.listing.unwrap().changes, back.changes), (1, 0));
    assert_ne!(follower.place().unwrap(), before);
    assert_eq!(env.differences().await, (0, 0));
    // The feed is followed from the new place.
    env.publish(4, "9.0.0");
    env.pass(MINUTE);
    let next = round(&mut follower).await;
    assert_eq!((next.changes, next.listing.is_none(), next.notes.len()), (1, true, 0), "{next:?}");
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_of_the_user_that_the_registry_cannot_have_told_is_refused_at_once() {
    let env = Env::new(FeedFaults::default()).await;
    let follower = |since: &str| {
        let options = FollowOptions { since: Some(Seq::new(since)), ..env.options(&env.lake.store) };
        async move {
            let opened = open(&options.store, &options.registry).await.unwrap();
            let (metrics, progress) = (Arc::default(), Arc::new(Progress::default()));
            let lease = lease(&options.store).await;
            Follower::open(&options, opened, lease, metrics, progress, CancellationToken::new()).await.unwrap()
        }
    };
    let (_, ended) = Box::pin(follower("999999999").await.round()).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.report().contains("beyond the registry's own place"), "{}", error.report());
    let (_, ended) = Box::pin(follower("abc").await.round()).await;
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.report().contains("no place of this registry's feed"), "{}", error.report());
    // From the beginning: all rows are read, and the lake holds them.
    let all = round(&mut follower("0").await).await;
    assert_eq!((all.rows, all.changes), (env.server.world().names().count() as u64, 0), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_stands_still_for_hours_is_said_and_listed_instead() {
    let env = Env::new(FeedFaults::default()).await;
    env.faults(FeedFaults { stands_still: true, ..FeedFaults::default() });
    let mut follower = env.follower().await;
    round(&mut follower).await;
    env.publish(3, "9.0.0");
    env.pass(HOUR);
    assert_eq!(round(&mut follower).await.changes, 0);
    env.pass(HOUR);
    let still = round(&mut follower).await;
    assert!(still.notes[0].contains("stood still"), "{still:?}");
    assert_eq!(still.listing.map(|listing| (listing.why, listing.changes)), Some(("stands_still", 1)));
    assert_eq!(env.differences().await, (0, 0));
    env.pass(HOUR);
    assert!(round(&mut follower).await.listing.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_deletions_of_what_lives_or_is_long_gone_change_nothing() {
    let env = Env::new(FeedFaults::default()).await;
    let (lives, gone) = (env.name(3), env.name(9));
    let mut follower = env.follower().await;
    env.server.world().delete(&gone);
    round(&mut follower).await;
    let repeats_deletions = vec![lives.clone(), gone, "never-was".to_owned()];
    env.faults(FeedFaults { repeats_deletions, ..FeedFaults::default() });
    env.server.clear_requests();
    for _ in 0..3 {
        env.pass(MINUTE);
        assert_eq!(round(&mut follower).await.lagging, 0);
    }
    let asked: Vec<_> = env.server.requests().into_iter().filter_map(|request| request.package).collect();
    assert_eq!(asked, [lives.as_str()], "its document is asked for once");
    assert_eq!(env.differences().await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_design_documents_and_rows_without_an_id_are_passed_over() {
    let env = Env::new(FeedFaults { design_rows: true, ..FeedFaults::default() }).await;
    let mut follower = env.follower().await;
    env.publish(3, "9.0.0");
    let first = round(&mut follower).await;
    assert_eq!((first.rows, first.changes), (1, 1), "{first:?}");
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_texts_and_pages_that_say_what_is_pending_are_followed() {
    let feed = FeedFaults { string_seqs: true, pending: true, page_rows: Some(1), ..FeedFaults::default() };
    let env = Env::new(feed).await;
    let mut follower = env.follower().await;
    env.publish(3, "9.0.0");
    env.publish(30, "9.0.0");
    assert_eq!(round(&mut follower).await.changes, 2);
    assert!(follower.place().unwrap().contains("-g1AAAA"));
    env.publish(3, "10.0.0");
    env.pass(MINUTE);
    assert_eq!(round(&mut env.follower().await).await.changes, 1);
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_from_a_cache_are_asked_for_again_past_it() {
    let env = Env::new(FeedFaults { caches_pages: true, ..FeedFaults::default() }).await;
    let mut follower = env.follower().await;
    round(&mut follower).await;
    env.pass(MINUTE);
    round(&mut follower).await;
    env.publish(3, "9.0.0");
    env.server.clear_requests();
    env.pass(MINUTE);
    let found = round(&mut follower).await;
    assert_eq!((found.changes, env.metrics.read().stale_pages), (1, 1), "{found:?}");
    let past: Vec<bool> = env
        .server
        .requests()
        .iter()
        .filter(|request| request.kind == crate::sample::Kind::Changes)
        .map(|request| request.bypasses_caches)
        .collect();
    assert_eq!(past, [false, true]);
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_changes_faster_than_it_is_fetched_costs_a_request_a_page_and_ends_up_to_date() {
    let env = Env::new(FeedFaults::default()).await;
    let restless = env.name(3);
    env.faults(FeedFaults { restless: Some(restless.clone()), ..FeedFaults::default() });
    env.publish(3, "9.0.0");
    let mut follower = env.follower().await;
    env.server.clear_requests();
    for _ in 0..3 {
        env.pass(MINUTE);
        assert_eq!(round(&mut follower).await.changes, 1);
    }
    assert_eq!(env.server.requests().iter().filter(|request| request.package.is_some()).count(), 3);
    env.faults(FeedFaults::default());
    env.pass(MINUTE);
    round(&mut follower).await;
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moves_while_the_feed_is_paged_is_read_at_its_new_place() {
    let env = Env::new(FeedFaults::default()).await;
    let first = env.publish(3, "9.0.0");
    for place in 4..10 {
        env.publish(place, "9.0.0");
    }
    env.faults(FeedFaults { restless: Some(first), page_rows: Some(3), ..FeedFaults::default() });
    let mut follower = env.follower().await;
    let paged = round(&mut follower).await;
    assert!(paged.changes >= 8, "{paged:?}");
    env.faults(FeedFaults::default());
    env.pass(MINUTE);
    round(&mut follower).await;
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_for_too_long_lists_the_registry_instead() {
    let env = Env::new(FeedFaults::default()).await;
    round(&mut env.follower().await).await;
    env.publish(3, "9.0.0");
    env.pass(8 * 24 * HOUR);
    let back = round(&mut env.follower().await).await;
    assert!(back.notes[0].contains("7 days"), "{back:?}");
    assert_eq!(back.listing.map(|listing| (listing.why, listing.changes)), Some(("owed", 1)));
    assert_eq!(env.differences().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_was_restored_to_lower_revisions_is_trusted() {
    let env = Env::new(FeedFaults::default()).await;
    let name = env.publish(3, "9.0.0");
    let mut follower = env.follower().await;
    round(&mut follower).await;
    let document = String::from_utf8(env.server.world().document(&name).unwrap().to_vec()).unwrap();
    let revision = env.server.world().revision(&name).unwrap();
    let older = document.replace(&revision, "1-restored");
    env.server.world().put_raw(&name, "1-restored", older);
    env.pass(MINUTE);
    let restored = round(&mut follower).await;
    assert_eq!((restored.changes, restored.committed, restored.lagging), (1, 1, 0), "{restored:?}");
    assert_eq!(env.differences().await, (0, 0));
}
