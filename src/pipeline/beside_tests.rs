//! Readers beside a writer, and a system that refuses: what is sound is never called damaged.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::crash_tests::{Backend, Lake, layout, run};
use super::verify::{Fault, LakeProof, prepare_repair, verify};
use super::{Progress, RebuildOptions, lake_status, rebuild, validate_partitions};
use crate::error::Result;
use crate::sample::{Options, SampleServer, World};
use crate::store::{Access, Failure, Step, Store};
use crate::table::TableKind;

fn server() -> SampleServer {
    SampleServer::start(World::seeded(61, 30), Options::default()).unwrap()
}

async fn ingested(server: &SampleServer) -> Lake {
    let lake = Backend::Disk.lake(&BTreeMap::new()).await;
    run(server, &lake.store, &["m"]).await.unwrap();
    lake
}

async fn checked(store: &Store) -> Result<LakeProof> {
    verify(store, None, Arc::new(Progress::default()), CancellationToken::new()).await
}

/// Changes some documents of both partitions.
fn revise(server: &SampleServer, version: &str) {
    let names: Vec<String> = server.world().names().map(str::to_owned).collect();
    for name in [names.first(), names.last()].into_iter().flatten() {
        server.world().publish(name, version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_wait_for_a_commit_in_progress_and_find_the_lake_sound() {
    // Before the first move, between moves, before the manifest, and before the intent is removed.
    let moments = [
        (Step::Rename, "/packages/"),
        (Step::Rename, "/docs/"),
        (Step::Rename, "/manifest/"),
        (Step::Delete, "/commit.json"),
    ];
    for (step, part) in moments {
        let server = server();
        let lake = ingested(&server).await;
        revise(&server, "77.0.0");
        let writing = lake.store.failing_at_such(
            move |reached| reached.step == step && reached.path.contains(part) && !reached.path.contains(".put-probe"),
            0,
            Failure::Held,
        );
        let update = run(&server, &writing, &["m"]);
        let read = async {
            writing.until(|| writing.failed_at().is_some()).await;
            assert!(lake_status(&lake.store).await.unwrap().is_some());
            let store = lake.store.clone();
            let proof = tokio::spawn(async move { checked(&store).await });
            let store = lake.store.clone();
            let faults = tokio::spawn(async move { validate_partitions(&store, &layout()).await });
            // They look again and again until the commit ends.
            tokio::task::yield_now().await;
            writing.let_go();
            let (proof, faults) = (proof.await.unwrap().unwrap(), faults.await.unwrap().unwrap());
            assert!(proof.is_sound(), "{step:?} {part}: {proof:?}");
            assert_eq!(proof.origins[0].partitions_committed, 2);
            assert!(faults.is_empty(), "{step:?} {part}: {faults:?}");
        };
        let (updated, ()) = tokio::join!(update, read);
        updated.unwrap();
        assert!(checked(&lake.store).await.unwrap().is_sound());
    }
}

/// Returns the kinds of faults by file.
fn faults(proof: &LakeProof) -> BTreeMap<String, Fault> {
    proof.origins.iter().flat_map(|origin| &origin.findings).map(|found| (found.file.clone(), found.fault)).collect()
}

async fn unchanged(store: &Store, before: &BTreeMap<String, Bytes>) {
    assert!(store.contents().await == *before, "the lake was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_the_system_refuses_to_read_is_unreadable_and_no_repair_touches_it() {
    let server = server();
    let lake = ingested(&server).await;
    let before = lake.store.contents().await;
    let rebuilding = RebuildOptions { force: true, ..RebuildOptions::default() };
    for table in TableKind::ALL {
        for (access, number) in [(Access::Open, 13), (Access::Read, 5)] {
            let part = format!("/{table}/");
            let store =
                lake.store.refusing(move |tried, path| (tried == access && path.contains(&part)).then_some(number));
            let proof = checked(&store).await.unwrap();
            let found = faults(&proof);
            assert_eq!(found.len(), 2, "{table} {access:?}: {proof:?}");
            assert!(found.values().all(|fault| *fault == Fault::Unreadable), "{table} {access:?}: {proof:?}");
            assert!(proof.origins[0].findings.iter().all(|found| !found.reason.contains("damaged")), "{proof:?}");
            assert!(prepare_repair(&store, &proof.origins[0]).await.unwrap().is_empty(), "{table}");
            let origin = &proof.origins[0];
            let counted = !matches!(table, TableKind::Docs | TableKind::Packuments | TableKind::Outcomes);
            assert_eq!(origin.names > 0, counted, "what is not read is not counted: {proof:?}");
            assert_eq!(origin.notes.iter().any(|note| note.contains("2 partitions are not counted")), !counted);
            assert!(counted || origin.names_without_document == 0, "{proof:?}");
            unchanged(&lake.store, &before).await;
        }
        let part = format!("/{table}/");
        let store =
            lake.store.refusing(move |tried, path| (tried == Access::Open && path.contains(&part)).then_some(24));
        let error = checked(&store).await.unwrap_err();
        assert!(error.is_out_of_files() && error.hint_text().unwrap().contains("ulimit -n"), "{error:?}");
    }
    for table in [TableKind::Docs, TableKind::Outcomes, TableKind::Packuments] {
        let part = format!("/{table}/");
        let store =
            lake.store.refusing(move |tried, path| (tried == Access::Read && path.contains(&part)).then_some(5));
        revise(&server, "78.0.0");
        let failures = [
            run(&server, &store, &["m"]).await.map(drop),
            rebuild(&store, &rebuilding, Arc::default(), CancellationToken::new()).await.map(drop),
        ];
        for failure in failures {
            let error = failure.unwrap_err();
            assert!(error.is_of_system() && !error.report().contains("damaged"), "{table}: {error:?}");
        }
    }
    run(&server, &lake.store, &["m"]).await.unwrap();
    assert!(checked(&lake.store).await.unwrap().is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_a_change_does_not_open_the_documents() {
    let server = server();
    let lake = ingested(&server).await;
    let is_of_documents = |path: &str| path.contains("/packuments/");
    let store =
        lake.store.refusing(move |access, path| (access != Access::MoveTo && is_of_documents(path)).then_some(5));
    let summary = run(&server, &store, &["m"]).await.unwrap();
    assert_eq!(summary.counts.partitions_unchanged, 2);
    // A lake whose manifests do not tell the form of the documents needs them.
    for manifest in crate::commit::read_manifests(&lake.store, &layout()).await.unwrap() {
        assert_eq!(manifest.documents_form.as_deref(), Some("full"));
        let path = layout().manifest(&manifest.partition);
        let earlier = crate::lake::Manifest { documents_form: None, ..manifest };
        lake.store.put_record(&path, &earlier).await.unwrap();
    }
    assert!(run(&server, &store, &["m"]).await.unwrap_err().is_of_system());
    assert_eq!(run(&server, &lake.store, &["m"]).await.unwrap().counts.partitions_unchanged, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_on_another_disk_is_refused_before_a_request_and_loses_nothing() {
    let server = server();
    let lake = ingested(&server).await;
    let before = lake.store.contents().await;
    revise(&server, "79.0.0");
    server.clear_requests();
    let elsewhere = |lake: &Lake| {
        lake.store.refusing(|access, path| (access == Access::MoveTo && path.contains("/packuments/")).then_some(18))
    };
    let store = elsewhere(&lake);
    let proof = checked(&store).await.unwrap();
    let failures = [
        run(&server, &store, &["m"]).await.map(drop),
        rebuild(&store, &RebuildOptions::default(), Arc::default(), CancellationToken::new()).await.map(drop),
        prepare_repair(&store, &proof.origins[0]).await.map(drop),
    ];
    for failure in failures {
        let error = failure.unwrap_err();
        assert!(error.message().contains("packuments is on another file system"), "{error:?}");
        assert!(error.hint_text().unwrap().contains("move the whole lake"), "{error:?}");
    }
    assert_eq!(server.requests().len(), 0);
    unchanged(&lake.store, &before).await;

    // A process died in such a commit. Nothing of it is lost until the folder is back.
    let died = lake.store.failing_at_such(
        |reached| reached.step == Step::Rename && reached.path.contains("/packuments/"),
        0,
        Failure::Death,
    );
    run(&server, &died, &["m"]).await.unwrap_err();
    let interrupted = lake.store.contents().await;
    assert!(interrupted.keys().any(|path| path.ends_with("/commit.json")));
    run(&server, &elsewhere(&lake), &["m"]).await.unwrap_err();
    unchanged(&lake.store, &interrupted).await;
}
