//! Conditional requests through an ingest: it requests held documents by their ETag, and a 304 keeps their rows.

use std::sync::Arc;
use std::time::Duration;

use all_docs::diff::Selection;
use all_docs::error::ErrorKind;
use all_docs::npm::{PackageName, Representation};
use all_docs::pipeline::{Progress, ingest};
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};
use all_docs::store::Store;
use all_docs::table::TableKind;
use tokio_util::sync::CancellationToken;

use crate::support::{Env, assert_same_lake, lake_bytes, never, run};

/// Returns the ETags that the lake holds, in the order of names.
fn etags(env: &Env) -> Vec<Option<String>> {
    env.texts(TableKind::Outcomes, "etag")
}

/// Returns name, `If-None-Match` and status of every request for a document since the last call.
fn asked(env: &Env) -> Vec<(String, Option<String>, u16)> {
    let requests = env.server.requests();
    env.server.clear_requests();
    let about = requests.into_iter().filter_map(|request| {
        let (condition, status) = (request.if_none_match, request.status);
        request.package.map(|package| (package, condition, status))
    });
    about.collect()
}

fn env_of(names: &[&str]) -> Env {
    let mut world = World::new();
    world.add_names(names);
    Env::new(world)
}

async fn fresh_lake(env: &Env, representation: Representation) -> std::path::PathBuf {
    let fresh = env.folder.path().join("fresh");
    let mut options = env.options(&[]);
    options.store = Store::open(fresh.to_str().unwrap()).unwrap();
    options.representation = representation;
    run(options).await.unwrap();
    fresh
}

/// An update copies rows undecoded, and a wrong bit may decode: the next manifest must not vouch for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_does_not_carry_damage_over() {
    for table in [TableKind::Packuments, TableKind::Versions] {
        let env = env_of(&["a", "b", "c"]);
        env.ingest(&[]).await;
        let folder = env.lake().join("sample").join(table.as_str());
        let shard = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&shard).unwrap();
        // In the column chunks, which come first.
        bytes[100] ^= 1;
        std::fs::write(&shard, bytes).unwrap();
        let damaged = lake_bytes(&env.lake());
        env.server.world().publish("c", "2.0.0");
        let error = run(env.options(&[])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake, "{error}");
        assert!(
            error.report().contains(&format!("{table}/")) && error.report().contains("damaged"),
            "{}",
            error.report()
        );
        assert!(error.hint_text().unwrap().contains("verify --repair"), "{}", error.report());
        let shards = |files: std::collections::BTreeMap<String, String>| {
            files.into_iter().filter(|(path, _)| !path.contains("/staging/")).collect::<Vec<_>>()
        };
        assert_eq!(shards(lake_bytes(&env.lake())), shards(damaged), "the damage stays in sight of verify");
    }
}

/// A failure over a document of the other form leaves no ETag; the document is held nevertheless.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_document_does_not_replace_a_held_one_of_the_other_form() {
    let env = env_of(&["a", "b"]);
    let ingest = async |representation, action: Option<Action>| {
        env.server.set_faults(FaultScript::of(action.map(|action| Fault::packument("b", action))));
        let mut options = env.options(&[]);
        options.representation = representation;
        run(options).await.unwrap();
    };
    env.server.world().publish("b", "2.0.0");
    ingest(Representation::Abbreviated, None).await;
    let held = env.texts(TableKind::Packuments, "rev");
    ingest(Representation::Full, Some(Action::status(400))).await;
    assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("failed"));
    ingest(Representation::Full, Some(Action::Stale)).await;
    assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("stale"));
    assert_eq!(env.texts(TableKind::Packuments, "rev"), held);
    ingest(Representation::Full, None).await;
    assert_same_lake(&env.lake(), &fresh_lake(&env, Representation::Full).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revised_document_is_requested_with_the_tag_of_the_lake() {
    let env = env_of(&["a", "b", "c"]);
    env.ingest(&[]).await;
    let held = etags(&env);
    asked(&env);
    env.server.world().publish("b", "2.0.0");
    env.ingest(&[]).await;
    assert_eq!(asked(&env), [("b".to_owned(), held[1].clone(), 200)]);
    assert!(held[1].is_some() && etags(&env)[1] != held[1], "the tag of the new document is kept");
    assert_same_lake(&env.lake(), &fresh_lake(&env, Representation::Full).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_to_an_announced_change_keeps_the_rows_as_stale_and_is_requested_again() {
    let env = env_of(&["a", "b", "c"]);
    env.ingest(&[]).await;
    let (held, documents) = (etags(&env), env.texts(TableKind::Packuments, "json"));
    asked(&env);
    // The CDN in front of the registry is behind its feed.
    env.server.world().publish("b", "2.0.0");
    env.server.set_faults(FaultScript::of([Fault::packument("b", Action::Stale)]));
    for _ in 0..2 {
        let summary = env.ingest(&[]).await;
        assert_eq!((summary.counts.packuments_not_modified, summary.counts.packuments_stale), (1, 1));
        assert_eq!(asked(&env), [("b".to_owned(), held[1].clone(), 304)]);
        assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("stale"));
        assert_eq!(env.texts(TableKind::Packuments, "json"), documents);
        assert_eq!(env.names(TableKind::Versions), ["a", "b", "c"]);
    }
    env.server.set_faults(FaultScript::default());
    env.ingest(&[]).await;
    assert_eq!(asked(&env), [("b".to_owned(), held[1].clone(), 200)]);
    assert_same_lake(&env.lake(), &fresh_lake(&env, Representation::Full).await);
}

/// An edge that lags behind the others must not undo the response of another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_older_than_the_one_that_the_lake_holds_does_not_replace_it() {
    let document = |rev: &str, version: &str| {
        format!(r#"{{"_id":"b","_rev":"{rev}","name":"b","versions":{{"{version}":{{"version":"{version}"}}}}}}"#)
    };
    let env = env_of(&["a", "c"]);
    env.server.world().put_raw("b", "5-e", document("5-e", "1.5.0"));
    env.ingest(&[]).await;
    let (held, documents) = (etags(&env), env.texts(TableKind::Packuments, "json"));
    env.server.world().put_raw("b", "7-g", document("4-d", "1.4.0"));
    for _ in 0..2 {
        asked(&env);
        let summary = env.ingest(&[]).await;
        assert_eq!((summary.counts.packuments_fresh, summary.counts.packuments_stale), (1, 1));
        assert_eq!(asked(&env), [("b".to_owned(), held[1].clone(), 200)]);
        assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("stale"));
        assert!(env.texts(TableKind::Outcomes, "detail")[1].as_deref().unwrap().contains("4-d"));
        assert_eq!(env.texts(TableKind::Packuments, "json"), documents);
        assert_eq!(etags(&env), held);
        assert_eq!(env.texts(TableKind::Versions, "version")[1].as_deref(), Some("1.5.0"));
    }
    // A restored registry announces its present revisions.
    for rev in ["7-g", "2-b"] {
        env.server.world().put_raw("b", rev, document(rev, "1.7.0"));
        env.ingest(&[]).await;
        assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("present"), "{rev}");
        assert_eq!(env.texts(TableKind::Packuments, "rev")[1].as_deref(), Some(rev));
    }
    assert_same_lake(&env.lake(), &fresh_lake(&env, Representation::Full).await);
}

/// A failure says nothing about a document: the next request uses the tag of the held one.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_loses_neither_the_document_nor_its_tag() {
    let env = env_of(&["a", "b", "c"]);
    env.ingest(&[]).await;
    let (held, documents) = (etags(&env), env.texts(TableKind::Packuments, "json"));
    env.server.set_faults(FaultScript::of([Fault::packument("b", Action::Body("[".to_owned()))]));
    let mut options = env.options(&[]);
    options.refresh = true;
    for _ in 0..2 {
        assert_eq!(run(options.clone()).await.unwrap().counts.packuments_failed, 1);
        assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("failed"));
        assert_eq!((etags(&env), env.texts(TableKind::Packuments, "json")), (held.clone(), documents.clone()));
    }
    env.server.set_faults(FaultScript::default());
    asked(&env);
    env.ingest(&[]).await;
    assert_eq!(asked(&env), [("b".to_owned(), held[1].clone(), 304)]);
    assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("present"));
    assert_same_lake(&env.lake(), &fresh_lake(&env, Representation::Full).await);
}

/// Mirrors serve documents without `_rev`, which count as being at the announced revision.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_to_a_document_without_a_revision_brings_it_to_the_announced_one() {
    let document = r#"{"name":"b","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"version":"1.0.0"}}}"#;
    let env = env_of(&["a", "c"]);
    env.server.world().put_raw("b", "1-x", document.to_owned());
    env.ingest(&[]).await;
    asked(&env);
    env.server.world().put_raw("b", "2-y", document.to_owned());
    let summary = env.ingest(&[]).await;
    assert_eq!(asked(&env)[0].2, 304);
    assert_eq!((summary.counts.packuments_not_modified, summary.counts.packuments_stale), (1, 0));
    assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("present"));
    for table in [TableKind::Packages, TableKind::Packuments, TableKind::Outcomes] {
        assert_eq!(env.texts(table, "rev")[1].as_deref(), Some("2-y"), "{table}");
    }
    assert_same_lake(&env.lake(), &fresh_lake(&env, Representation::Full).await);
}

/// An ETag belongs to one form of a document.
#[tokio::test(flavor = "multi_thread")]
async fn the_tag_of_one_form_is_not_used_to_ask_for_the_other() {
    let env = env_of(&["a", "b"]);
    let abbreviated = |env: &Env, refresh| {
        let mut options = env.options(&[]);
        (options.representation, options.refresh) = (Representation::Abbreviated, refresh);
        options
    };
    run(abbreviated(&env, false)).await.unwrap();
    asked(&env);
    let summary = run(abbreviated(&env, true)).await.unwrap();
    assert_eq!(summary.counts.packuments_not_modified, 2);
    assert!(asked(&env).iter().all(|(_, condition, status)| condition.is_some() && *status == 304));
    env.ingest(&[]).await;
    assert!(asked(&env).iter().all(|(_, condition, status)| condition.is_none() && *status == 200));
    assert_same_lake(&env.lake(), &fresh_lake(&env, Representation::Full).await);
    let before = lake_bytes(&env.lake());
    asked(&env);
    let mut options = env.options(&[]);
    options.refresh = true;
    run(options).await.unwrap();
    assert!(asked(&env).iter().all(|(_, condition, status)| condition.is_some() && *status == 304));
    assert_eq!(lake_bytes(&env.lake()), before);
}

/// Staged and committed documents do not satisfy a refresh.
#[tokio::test(flavor = "multi_thread")]
async fn leftovers_in_staging_do_not_answer_a_refresh() {
    let env = Env::new(World::seeded(42, 120));
    let last = env.server.world().names().last().unwrap().to_owned();
    let first = env.server.world().names().next().unwrap().to_owned();
    env.server.set_faults(FaultScript::of([Fault::packument(&last, never())]));
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let running = tokio::spawn(ingest(env.options(&[]), Arc::clone(&progress), stop.clone()));
    while progress.snapshot().packuments_done < 60 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    assert!(running.await.unwrap().unwrap().interrupted);
    env.server.set_faults(FaultScript::default());
    let only_first = |refresh| {
        let mut options = env.options(&[]);
        options.selection = Selection::Names([PackageName::from(first.as_str())].into());
        options.refresh = refresh;
        options
    };
    asked(&env);
    run(only_first(false)).await.unwrap();
    assert_eq!(asked(&env), [], "it was staged");
    run(only_first(true)).await.unwrap();
    let statuses: Vec<u16> = asked(&env).into_iter().map(|(_, _, status)| status).collect();
    assert_eq!(statuses, [304]);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_stop_the_run_in_any_order_of_names() {
    let env = Env::new(World::seeded(43, 60));
    let first = env.server.world().names().next().unwrap().to_owned();
    let refused = Fault::on(Kind::Packument, Action::Unauthorized401);
    env.server.set_faults(FaultScript::of([Fault::packument(&first, never()), refused]));
    let error = tokio::time::timeout(Duration::from_secs(50), run(env.options(&[]))).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

/// A registry that lost its data, or our right to read it, reports every document as gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_reports_most_documents_as_gone_is_not_trusted() {
    let env = Env::new(World::seeded(41, 260));
    env.ingest(&["m"]).await;
    // The next run sweeps the rest of staging.
    let tables = || {
        let mut bytes = lake_bytes(&env.lake());
        bytes.retain(|path, _| !path.contains("/staging/"));
        bytes
    };
    let before = tables();
    for (code, body) in [(404, r#"{"error":"not_found"}"#), (403, r#"{"error":"forbidden"}"#)] {
        let action = Action::Status { code, retry_after: None, body: Some(body.to_owned()) };
        env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, action)]));
        let mut options = env.options(&["m"]);
        options.refresh = true;
        for _ in 0..2 {
            // The responses are not staged either.
            let error = run(options.clone()).await.unwrap_err();
            assert!(error.report().contains("serves no document that it lists"), "{}", error.report());
            assert!(error.hint_text().is_some_and(|hint| hint.contains("--accept-removals")));
            assert_eq!(tables(), before);
        }
        env.server.set_faults(FaultScript::default());
        assert_eq!(run(options).await.unwrap().counts.packuments_gone, 0);
        assert_eq!(tables(), before);
    }
    let action = Action::Status { code: 404, retry_after: None, body: Some("{}".to_owned()) };
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, action)]));
    let mut options = env.options(&["m"]);
    (options.refresh, options.accept_removals) = (true, true);
    assert!(run(options).await.unwrap().counts.packuments_gone > 200);
    assert_eq!(env.names(TableKind::Packuments).len(), 0);
}
