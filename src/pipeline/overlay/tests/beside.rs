//! An ingest beside the writer of the overlay: each compares with what the other has committed, whichever comes first.

use super::*;
use crate::pipeline::crash_tests::events;
use crate::sample::RecordedRequest;
use crate::store::Step;

/// Returns a handle of a store that stands still when a build stages the last of its shards, in a folder that is of the
/// overlay or not.
fn standing(store: &Store, is_of_overlay: bool) -> Standing {
    let is_last = move |reached: &Reached| {
        reached.step == Step::CreateFile
            && reached.path.contains("docs.staged")
            && reached.path.contains("/overlay/") == is_of_overlay
    };
    standing_at(store, is_last)
}

/// A handle of a store that stands still at a step until it is let go. A test that fails lets it go.
pub(super) struct Standing(Store);

impl std::ops::Deref for Standing {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0
    }
}

impl Standing {
    /// Does some work while a process stands still, and then lets it go.
    pub(super) async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        self.until(|| self.failed_at().is_some()).await;
        let done = work.await;
        self.let_go();
        done
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// Returns a handle of a store that stands still at the first such step.
pub(super) fn standing_at(store: &Store, is_such: impl Fn(&Reached) -> bool + Send + Sync + 'static) -> Standing {
    Standing(store.failing_at_such(is_such, 0, Failure::Held))
}

/// Returns how often a version of a package is published by the events.
pub(super) async fn published(store: &Store, name: &str) -> usize {
    let of_name = format!("{name} version_published ");
    events(store).await.iter().filter(|event| event.starts_with(&of_name)).count()
}

fn requests(server: &SampleServer, name: &str) -> usize {
    let is_of_name = |request: &RecordedRequest| request.package.as_deref() == Some(name);
    server.requests().iter().filter(|request| request.kind == Kind::Packument && is_of_name(request)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_is_compared_with_what_an_ingest_has_committed_since_it_began() {
    for is_published_again in [false, true] {
        let (server, lake) = filled(Backend::Disk, 12).await;
        let name = names(&server)[0].clone();
        edit(&server, 0, &name);
        let changed = BTreeSet::from([name.clone()]);
        let writing = standing(&lake.store, true);
        let follower = apply(&server, &writing, &changed);
        let ingest = writing.meanwhile(async {
            if is_published_again {
                edit(&server, 1, &name);
            }
            run(&server, &lake.store, &PIVOTS).await.unwrap();
            assert_eq!(published(&lake.store, &name).await, 1 + usize::from(is_published_again));
        });
        let (applied, ()) = tokio::join!(follower, ingest);
        assert_eq!(applied.unwrap().committed, u64::from(is_published_again));
        // The feed goes on.
        apply(&server, &lake.store, &changed).await.unwrap();
        let summary = run(&server, &lake.store, &PIVOTS).await.unwrap();
        assert_eq!(summary.counts.packuments_planned, 0);
        assert_eq!(published(&lake.store, &name).await, 1 + usize::from(is_published_again));
        let quiet = fresh(&server).await;
        assert_same_rows(&lake.store, &quiet.store, "after an ingest beside a commit").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_compares_with_what_a_follower_has_committed_since_it_began() {
    for is_published_again in [false, true] {
        let (server, lake) = filled(Backend::Disk, 12).await;
        let all = names(&server);
        edit(&server, 0, &all[0]);
        edit(&server, 0, &all[1]);
        server.clear_requests();
        let writing = standing(&lake.store, false);
        let ingest = run(&server, &writing, &PIVOTS);
        let changed = BTreeSet::from([all[0].clone()]);
        let follower = writing.meanwhile(async {
            if is_published_again {
                edit(&server, 1, &all[0]);
            }
            let applied = apply(&server, &lake.store, &changed).await.unwrap();
            assert_eq!(applied.committed, 1);
        });
        let (summary, ()) = tokio::join!(ingest, follower);
        summary.unwrap();
        // A staged document is not requested again.
        assert_eq!((requests(&server, &all[0]), requests(&server, &all[1])), (2, 1));
        let summary = run(&server, &lake.store, &PIVOTS).await.unwrap();
        assert_eq!(summary.counts.packuments_planned, 0);
        let expected = [1 + usize::from(is_published_again), 1];
        assert_eq!([published(&lake.store, &all[0]).await, published(&lake.store, &all[1]).await], expected);
        let quiet = fresh(&server).await;
        assert_same_rows(&lake.store, &quiet.store, "after a commit beside an ingest").await;
        assert_folds_into(&server, &lake.store, &quiet.store, "after a commit beside an ingest").await;
    }
}
