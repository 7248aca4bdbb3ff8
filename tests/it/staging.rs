//! Fetched documents become durable as they arrive, even if others are slow.

use std::sync::Arc;

use all_docs::lake::{Layout, Partition};
use all_docs::pipeline::{Progress, ingest};
use all_docs::sample::{Fault, FaultScript, World};
use all_docs::table::TableKind;
use tokio_util::sync::CancellationToken;

use crate::support::{Env, ORIGIN, assert_same_lake, never, run};

const PACKAGES: usize = 300;

/// Responses behind a name whose request hangs do not wait for it to become durable.
#[tokio::test(flavor = "multi_thread")]
async fn answers_behind_a_name_that_hangs_are_durable_before_it_is_given_up() {
    let quiet = Env::new(World::seeded(31, PACKAGES));
    quiet.ingest(&[]).await;
    let env = Env::new(World::seeded(31, PACKAGES));
    let first = env.server.world().names().next().unwrap().to_owned();
    env.server.set_faults(FaultScript::of([Fault::packument(&first, never())]));
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(ingest(env.options(&[]), progress, stop.clone()));
    let (store, segment) = (env.store(), Layout::origin(ORIGIN).staged_answers(&Partition::ALL, 0, 0));
    while store.get(&segment).await.unwrap().is_none() {
        assert!(!running.is_finished(), "the run ended before anything was staged");
        tokio::task::yield_now().await;
    }
    stop.cancel();
    assert!(running.await.unwrap().unwrap().interrupted);
    let asked_first = env.packuments_asked();
    env.server.set_faults(FaultScript::default());
    assert!(!run(env.options(&[])).await.unwrap().interrupted);
    let asked_again = env.packuments_asked();
    assert!(asked_again.contains(&first));
    let kept = asked_first.iter().filter(|name| !asked_again.contains(name)).count();
    // The size of a segment on a machine of many cores.
    assert!(kept >= 11, "{kept} of {} answers were kept", asked_first.len());
    assert_same_lake(&env.lake(), &quiet.lake());
    assert_eq!(env.names(TableKind::Docs), quiet.names(TableKind::Docs));
}
