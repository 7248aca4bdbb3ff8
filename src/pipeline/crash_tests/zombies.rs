//! Tests a process that stands still amid a commit until another one has taken its place: it writes nothing more.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Backend, LetGo, PIVOT, assert_same, change, forget_dead_process, layout, run};
use crate::error::ErrorKind;
use crate::lake::{LockRecord, Partition};
use crate::pipeline::verify;
use crate::sample::{Options, SampleServer, World};
use crate::store::{Failure, Reached, Step};

/// Lets the lease of a partition lapse.
async fn lapse(store: &crate::store::Store, partition: &Partition) {
    let path = layout().lease(partition);
    let held: LockRecord = store.read_record(&path).await.unwrap().unwrap();
    store.put_record(&path, &LockRecord { expires_at_s: 0, process_identity: None, ..held }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_stands_still_amid_a_commit_writes_nothing_after_another_took_its_place() {
    let world = || World::seeded(31, 12);
    let first = Partition { start: None, end: Some(PIVOT.to_owned()) };
    let (intent, manifest) = (layout().commit_intent(&first), layout().manifest(&first));
    for path in [intent, manifest] {
        let after = path.clone();
        let server = Arc::new(SampleServer::start(world(), Options::default()).unwrap());
        let lake = Backend::Memory.lake(&BTreeMap::new()).await;
        let is_such = move |reached: &Reached| reached.step == Step::Put && reached.path == path;
        let standing = lake.store.failing_at_such(is_such, 0, Failure::Held);
        let _end = LetGo(standing.clone());
        let (task_server, task_store) = (Arc::clone(&server), standing.clone());
        let running = tokio::spawn(async move { run(&task_server, &task_store, &[PIVOT]).await });
        standing.until(|| standing.failed_at().is_some()).await;
        lapse(&lake.store, &first).await;
        // The other process has another scratch folder, and finds a registry that has changed.
        change(&mut server.world());
        let other = lake.next_store(false);
        run(&server, &other, &[PIVOT]).await.unwrap();
        standing.let_go();
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake);
        // The renewal of its lease may have noticed it first.
        let says = ["no longer holds the lock", "another process has committed"];
        assert!(says.iter().any(|said| error.message().contains(said)), "{error:?}");
        assert!(error.hint_text().unwrap().contains("run the same command again"), "{error:?}");

        let quiet = Backend::Memory.lake(&BTreeMap::new()).await;
        run(&server, &quiet.store, &[PIVOT]).await.unwrap();
        forget_dead_process(&other).await;
        run(&server, &other, &[PIVOT]).await.unwrap();
        assert_same(&other, &quiet.store, &after).await;
        let proof = verify(&other, None, Arc::default(), CancellationToken::new()).await.unwrap();
        assert!(proof.is_sound(), "{proof:?}");
        lake.assert_no_uploads(&after);
    }
}
