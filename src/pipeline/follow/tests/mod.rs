//! The follower against the sample registry, round by round, with a clock of the tests.
#![allow(clippy::unwrap_used)]

mod faults;
mod interrupted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::follower::Follower;
use super::start::open;
use super::{Clock, FollowMetrics, FollowOptions, Round};
use crate::error::Result;
use crate::lake::{FollowRecord, OriginInfo};
use crate::pipeline::crash_tests::{Backend, Lake, layout, run};
use crate::pipeline::lease::{Attempt, Lease, LeaseWatch};
use crate::pipeline::{IngestOptions, Progress, ingest};
use crate::registry::{Credentials, Origin, Registry, RegistryConfig};
use crate::sample::{FaultScript, FeedFaults, SampleServer, World};
use crate::store::Store;

const PIVOTS: [&str; 2] = ["g", "p"];
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A registry, a lake that was filled from it, and a clock.
struct Env {
    server: SampleServer,
    lake: Lake,
    now_us: Arc<AtomicI64>,
    metrics: Arc<FollowMetrics>,
}

impl Env {
    async fn new(feed: FeedFaults) -> Env {
        let server = SampleServer::start(World::seeded(5, 40), crate::sample::Options::default()).unwrap();
        server.set_faults(FaultScript::of_feed(feed));
        let lake = Backend::Disk.lake(&BTreeMap::new()).await;
        run(&server, &lake.store, &PIVOTS).await.unwrap();
        let now_us = Arc::new(AtomicI64::new(jiff::Timestamp::now().as_microsecond()));
        Env { server, lake, now_us, metrics: Arc::default() }
    }

    fn registry(&self) -> Registry {
        let mut origin = Origin::parse(self.server.url(), None).unwrap();
        layout().name().clone_into(&mut origin.name);
        let config = RegistryConfig::for_origin(&origin);
        Registry::new(origin, config, Credentials::default()).unwrap()
    }

    fn options(&self, store: &Store) -> FollowOptions {
        let now_us = Arc::clone(&self.now_us);
        let clock = Clock::new(move || now_us.load(Ordering::Relaxed));
        FollowOptions { clock, ..FollowOptions::new(store.clone(), self.registry()) }
    }

    /// Starts a follower, as after the death of the one before.
    async fn follower(&self) -> Follower {
        self.follower_in(&self.lake.store, false).await
    }

    async fn follower_in(&self, store: &Store, once: bool) -> Follower {
        let options = FollowOptions { once, ..self.options(store) };
        let opened = open(&options.store, &options.registry).await.unwrap();
        let (metrics, progress) = (Arc::clone(&self.metrics), Arc::new(Progress::default()));
        let lease = lease(store).await;
        Follower::open(&options, opened, lease, metrics, progress, CancellationToken::new()).await.unwrap()
    }

    fn pass(&self, time: Duration) {
        self.now_us.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }

    fn name(&self, place: usize) -> String {
        self.server.world().names().nth(place).unwrap().to_owned()
    }

    fn publish(&self, place: usize, version: &str) -> String {
        let name = self.name(place);
        self.server.world().publish(&name, version);
        name
    }

    fn faults(&self, feed: FeedFaults) {
        self.server.set_faults(FaultScript::of_feed(feed));
    }

    async fn record(&self) -> FollowRecord {
        self.lake.store.read_record(&layout().follow()).await.unwrap().unwrap()
    }

    /// Returns how many documents an ingest would ask for, and how many names it would add or remove.
    async fn differences(&self) -> (u64, u64) {
        let urls = OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() };
        let options =
            IngestOptions { dry_run: true, ..IngestOptions::new(self.lake.store.clone(), self.registry(), urls) };
        let counts = ingest(options, Arc::new(Progress::default()), CancellationToken::new()).await.unwrap().counts;
        (counts.packuments_planned, counts.names_added + counts.names_removed + counts.names_changed)
    }
}

/// Takes a lease that is never given back, as that of a process that dies. Each has its own file, because all of them are
/// of one process here.
async fn lease(store: &Store) -> LeaseWatch {
    let stem = format!("follow-{:016x}", fastrand::u64(..));
    let Attempt::Taken(lease) = Lease::of_stem(store, &layout(), &stem, "follow").await.unwrap() else {
        panic!("it is taken");
    };
    let watch = lease.watch();
    std::mem::forget(lease);
    watch
}

/// Does a round that succeeds.
async fn round(follower: &mut Follower) -> Round {
    let (round, ended) = Box::pin(follower.round()).await;
    let ended: Result<()> = ended;
    ended.unwrap();
    round
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_after_an_ingest_began_is_followed_and_nothing_else() {
    let env = Env::new(FeedFaults::default()).await;
    let mut follower = env.follower().await;
    let first = round(&mut follower).await;
    assert_eq!((first.changes, first.listing.is_none()), (0, true), "{first:?}");
    env.publish(3, "9.0.0");
    env.server.world().publish("zz-new", "1.0.0");
    let gone = env.name(20);
    env.server.world().delete(&gone);
    let left = env.name(25);
    env.server.world().delete_leaving_tombstone(&left);
    env.pass(MINUTE);
    let second = round(&mut follower).await;
    assert_eq!((second.changes, second.committed, second.lagging), (4, 4, 0), "{second:?}");
    assert_eq!(env.differences().await, (0, 0));
    env.pass(MINUTE);
    assert!(!round(&mut follower).await.is_worth_telling());
    // The next process continues from there.
    let mut next = env.follower().await;
    let again = round(&mut next).await;
    assert_eq!((again.changes, again.listing.is_none()), (0, true), "{again:?}");
    assert_eq!(env.differences().await, (0, 0));
}
