//! A run that dies at any step: the next one ends with the cells of a run that was not disturbed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::array::{self, Downloads, DownloadsShape, FIRST_DAY, PackageAxis};
use crate::error::ErrorKind;
use crate::pipeline::crash_tests::{Backend, forget_dead_process, layout, run as ingest_into};
use crate::pipeline::{FoldPolicy, FollowOptions, follow};
use crate::registry::{Credentials, Origin, RegistryConfig};
use crate::sample::{Kind as Asked, Options, SampleServer, World};
use crate::store::{Failure, Reached};

const NAMES: [&str; 5] = ["a", "b", "@s/c", "@s/d", "without"];
const TODAY: Date = date(2026, 11, 29);

/// Runs that are tried at the same time.
const AT_ONCE: usize = 3;

/// Returns a registry whose counts have landed up to the day before `today`.
fn serve(today: Date) -> SampleServer {
    let mut world = World::new();
    world.add_names(NAMES);
    world.set_last_download_day(today.yesterday().unwrap());
    for name in &NAMES[..4] {
        for ago in 1..20 {
            world.set_downloads(name, TODAY - i64::days(ago), ago.unsigned_abs());
        }
    }
    world.remove_downloads("without");
    SampleServer::start(world, Options::default()).unwrap()
}

async fn count(server: &SampleServer, store: &Store, today: Date) -> Result<DownloadsSummary> {
    let mut origin = Origin::parse(server.url(), None).unwrap();
    layout().name().clone_into(&mut origin.name);
    let registry = Registry::new(origin.clone(), RegistryConfig::for_origin(&origin), Credentials::default()).unwrap();
    let choice = Choice::Tiers(Tiers::parse("daily=rest").unwrap());
    let options = DownloadsOptions { store: store.clone(), registry, choice, since: None, today: Some(today) };
    downloads(options, Arc::default(), CancellationToken::new()).await
}

/// Returns the cells of the last 30 days, by name.
async fn cells(store: &Store, today: Date) -> BTreeMap<&'static str, Vec<Option<u32>>> {
    let last = today.yesterday().unwrap();
    let (axis, array) = open_downloads(store, &layout(), last, today, &[]).await.unwrap();
    let rows: Vec<u32> = NAMES.iter().map(|name| axis.row(name).unwrap()).collect();
    let cells = array.read(&rows, last - 29.days()..=last).await.unwrap();
    NAMES.into_iter().zip(cells).collect()
}

/// Makes a lake of the names, and an array of two small blocks. A block of usual size takes seconds in a debug build.
async fn lake() -> Store {
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    ingest_into(&serve(TODAY), &lake.store, &[]).await.unwrap();
    let shape = DownloadsShape { shard_rows: 4, shard_days: 64, chunk_rows: 2, chunk_days: 64 };
    let (axis, right): (_, array::Right) = (PackageAxis::default(), Arc::new(|| Ok(())));
    Downloads::open_with(&lake.store, &layout(), &axis, FIRST_DAY, &right, shape).await.unwrap();
    lake.store
}

/// Lets a run die before each of its steps, and runs again. Returns how often it died.
async fn die_everywhere(before: &BTreeMap<String, Bytes>, today: Date) -> usize {
    let server = serve(today);
    let quiet = Backend::Memory.lake(before).await;
    count(&server, &quiet.store, today).await.unwrap();
    let steps = quiet.store.take_reached();
    let expected = cells(&quiet.store, today).await;
    // Yesterday has one download, the day before two, and so on.
    let end = expected["a"].len() - usize::from(today > TODAY);
    assert_eq!(expected["a"][end - 19..end], (1..=19).rev().map(Some).collect::<Vec<_>>());
    assert!(expected["without"].iter().all(Option::is_none));
    let tries = steps.iter().map(async |step| {
        let lake = Backend::Memory.lake(before).await;
        let failing = lake.store.failing_before(step, Failure::Death);
        let first = count(&server, &failing, today).await;
        // Some steps depend on the time.
        let after = failing.failed_at()?.to_string();
        let error = first.expect_err(&after);
        assert_eq!(error.kind(), ErrorKind::Lake, "before {after}: {}", error.report());
        let store = lake.next_store(true);
        forget_dead_process(&store).await;
        count(&server, &store, today).await.unwrap();
        assert_eq!(cells(&store, today).await, expected, "after a death before {after}");
        let again = count(&server, &store, today).await.unwrap();
        assert_eq!((again.names.total(), again.requests), (0, 1), "after a death before {after}");
        Some(())
    });
    stream::iter(tries).buffered(AT_ONCE).filter_map(std::future::ready).count().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_the_next_run_has_every_count_once() {
    let store = lake().await;
    let died = die_everywhere(&store.contents().await, TODAY).await;
    assert!(died >= 20, "the first run died {died} times only");

    count(&serve(TODAY), &store, TODAY).await.unwrap();
    let died = die_everywhere(&store.contents().await, TODAY.tomorrow().unwrap()).await;
    assert!(died >= 10, "the second run died {died} times only");
}

#[tokio::test]
async fn a_name_is_asked_for_once_whatever_happens_after_its_response_is_durable() {
    let (store, server) = (lake().await, serve(TODAY));
    // The first pass is over, and its counts are in staging; no shard of the array has them.
    let is_of_counts = |reached: &Reached| reached.path.contains("/downloads.zarr/downloads/c/");
    let failing = store.failing_at_such(is_of_counts, 0, Failure::Death);
    count(&server, &failing, TODAY).await.unwrap_err();
    server.clear_requests();
    forget_dead_process(&store).await;
    count(&server, &store, TODAY).await.unwrap();
    let requests = server.requests().into_iter().filter(|request| request.kind == Asked::Downloads);
    let paths: Vec<String> = requests.map(|request| request.path).collect();
    assert!(!paths.iter().any(|path| path.ends_with("/a,b")), "{paths:?}");
    assert!(
        ["/@s%2Fc", "/@s%2Fd", "/without"].iter().all(|name| paths.iter().any(|path| path.ends_with(name))),
        "{paths:?}"
    );
    assert_eq!(paths.len(), 4, "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_only_the_overlay_has_are_counted_and_those_that_it_has_removed_are_not() {
    let (server, store) = (serve(TODAY), lake().await);
    {
        let mut world = server.world();
        world.publish("new", "1.0.0");
        world.delete("a");
        world.set_downloads("new", TODAY - 1.days(), 7);
    }
    let mut origin = Origin::parse(server.url(), None).unwrap();
    layout().name().clone_into(&mut origin.name);
    let registry = Registry::new(origin.clone(), RegistryConfig::for_origin(&origin), Credentials::default()).unwrap();
    let fold = FoldPolicy { rows: 2.0, age: Duration::MAX };
    let options = FollowOptions { once: true, fold, ..FollowOptions::new(store.clone(), registry) };
    follow(options, Arc::default(), Arc::default(), CancellationToken::new(), &|_| {}).await.unwrap();
    server.clear_requests();
    count(&server, &store, TODAY).await.unwrap();
    let asked = |name: &str| {
        let is_of = |path: &str| path.rsplit('/').next().is_some_and(|names| names.split(',').any(|one| one == name));
        server.requests().iter().any(|request| request.kind == Asked::Downloads && is_of(&request.path))
    };
    assert!(asked("new") && asked("b") && !asked("a"));
}
