//! Ingest through the library: the lake's content, and the registry's requests.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use all_docs::diff::Selection;
use all_docs::npm::{Change, ChangeKind, PackageName, Representation, Revision};
use all_docs::pipeline::{IngestOptions, PartitionMode, lake_status};
use all_docs::sample::{Action, Fault, FaultScript, World};
use all_docs::table::TableKind;
use arrow::array::Array;

use crate::support::{Env, assert_same_lake, lake_bytes, run, texts};

fn derived(rows: u64) -> PartitionMode {
    PartitionMode::Derived { rows_per_partition: NonZeroU64::new(rows).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_holds_what_the_registry_lists() {
    let env = Env::new(World::seeded(1, 300));
    let summary = env.ingest(&["b", "k", "t"]).await;
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    assert_eq!(env.names(TableKind::Docs), names);
    assert_eq!(env.names(TableKind::Outcomes), names);
    assert_eq!(summary.counts.partitions_done, 4);
    assert_eq!(summary.counts.packuments_fresh + summary.counts.packuments_gone, names.len() as u64);
    let documents = env.texts(TableKind::Packuments, "json");
    for (name, json) in env.names(TableKind::Packuments).iter().zip(documents) {
        let served = env.server.world().document(name).unwrap();
        assert!(json.is_none_or(|json| json.as_bytes() == served), "{name} is not as served");
    }
    let files = lake_bytes(&env.lake());
    assert!(files.keys().all(|name| !name.contains("/staging/")), "staging is not empty: {:?}", files.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_registry_gets_no_document_request_and_no_shard_is_rewritten() {
    let env = Env::new(World::seeded(2, 200));
    env.ingest(&["h"]).await;
    let before = lake_bytes(&env.lake());
    env.packuments_asked();
    let summary = env.ingest(&["h"]).await;
    assert_eq!(env.packuments_asked(), Vec::<String>::new());
    assert_eq!((summary.counts.partitions_unchanged, summary.counts.shard_bytes), (2, 0));
    assert_eq!(lake_bytes(&env.lake()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_changes_are_three_requests_and_the_bytes_of_a_fresh_ingest() {
    let env = Env::new(World::seeded(5, 250));
    env.ingest(&["f", "m", "t"]).await;
    env.packuments_asked();
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    let (first, middle, last) = (&names[0], &names[names.len() / 2], &names[names.len() - 1]);
    for name in [first, middle, last] {
        env.server.world().publish(name, "77.0.0");
    }
    env.server.world().delete(&names[10]);
    env.server.world().publish("brand-new-package", "1.0.0");
    let summary = env.ingest(&["f", "m", "t"]).await;
    let mut expected = vec![first.clone(), middle.clone(), last.clone(), "brand-new-package".to_owned()];
    expected.sort();
    assert_eq!(env.packuments_asked(), expected);
    let counts = summary.counts;
    assert_eq!((counts.names_added, counts.names_changed, counts.names_removed), (1, 3, 1));

    let fresh = env.folder.path().join("fresh");
    let mut options = env.options(&["f", "m", "t"]);
    options.store = all_docs::store::Store::open(fresh.to_str().unwrap()).unwrap();
    run(options).await.unwrap();
    assert_same_lake(&env.lake(), &fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pivots_scan_otherwise_and_store_by_the_lakes_own_partitions() {
    let env = Env::new(World::seeded(6, 200));
    let mut options = env.options(&["d", "p"]);
    options.partitions = derived(50);
    run(options).await.unwrap();
    let before = lake_bytes(&env.lake());
    env.packuments_asked();
    let many: Vec<String> = ('0'..='z').map(String::from).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let summary = env.ingest(&many).await;
    assert_eq!(env.packuments_asked(), Vec::<String>::new());
    assert_eq!(summary.counts.ranges_scanned, many.len() as u64 + 1);
    assert_eq!(lake_bytes(&env.lake()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_pivots_and_many_make_partitions_of_about_the_same_size() {
    let world = || {
        let mut world = World::new();
        let names: Vec<String> = (0..3_000).map(|n| format!("{}{n}", char::from(b'a' + (n % 26) as u8))).collect();
        world.add_names(&names);
        world
    };
    let few: Vec<String> = ('a'..='z').map(String::from).collect();
    let many: Vec<String> = ('a'..='z').flat_map(|first| (0..100).map(move |n| format!("{first}{n:02}"))).collect();
    for pivots in [few, many] {
        let env = Env::new(world());
        let pivots: Vec<&str> = pivots.iter().map(String::as_str).collect();
        let mut options = env.options(&pivots);
        (options.partitions, options.selection) = (derived(200), Selection::None);
        let summary = run(options).await.unwrap();
        assert!((12..=20).contains(&summary.counts.partitions_total), "{}", summary.counts.partitions_total);
        assert_eq!(env.names(TableKind::Docs).len(), 3_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_only_makes_docs_only_and_a_later_ingest_adds_the_documents() {
    let env = Env::new(World::seeded(8, 80));
    let mut options = env.options(&["k"]);
    options.selection = Selection::None;
    run(options).await.unwrap();
    assert_eq!(env.packuments_asked(), Vec::<String>::new());
    let tables: Vec<_> = std::fs::read_dir(env.lake().join("sample"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| TableKind::parse(name).is_some())
        .collect();
    assert_eq!(tables, ["docs"]);
    env.ingest(&["k"]).await;
    assert_eq!(env.names(TableKind::Outcomes), env.names(TableKind::Docs));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_names_selects_documents_and_unknown_names_are_reported() {
    let env = Env::new(World::seeded(9, 60));
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    let chosen = [names[5].clone(), names[40].clone()];
    let mut options = env.options(&["j"]);
    let wanted = chosen.iter().map(String::as_str).chain(["no-such-package-anywhere"]);
    options.selection = Selection::Names(wanted.map(PackageName::from).collect::<BTreeSet<_>>());
    let summary = run(options).await.unwrap();
    assert_eq!(env.packuments_asked(), chosen);
    assert_eq!(env.names(TableKind::Outcomes), chosen);
    assert_eq!(env.names(TableKind::Docs), names);
    assert_eq!(summary.unlisted_names, ["no-such-package-anywhere"]);
    assert!(!summary.is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn abbreviated_documents_leave_what_they_cannot_know_null_and_full_ones_replace_them() {
    let env = Env::new(World::seeded(10, 40));
    let mut options = env.options(&[]);
    options.representation = Representation::Abbreviated;
    run(options).await.unwrap();
    assert!(
        env.texts(TableKind::Packuments, "representation").iter().all(|form| form.as_deref() == Some("abbreviated"))
    );
    let batches = env.table(TableKind::Versions);
    let published: usize = batches.iter().map(|batch| batch.column_by_name("published_at").unwrap().null_count()).sum();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert!(rows > 40 && published == rows, "an abbreviated document knows no times");
    env.packuments_asked();
    env.ingest(&[]).await;
    assert!(env.packuments_asked().len() >= 39);
    assert!(env.texts(TableKind::Packuments, "representation").iter().all(|form| form.as_deref() == Some("full")));

    let fresh = Env::new(World::seeded(10, 40));
    fresh.ingest(&[]).await;
    assert_same_lake(&env.lake(), &fresh.lake());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let env = Env::new(World::seeded(11, 50));
    let mut options = env.options(&["m"]);
    options.dry_run = true;
    let summary = run(options).await.unwrap();
    assert!(!env.lake().exists());
    assert_eq!(summary.counts.packuments_planned, 50);
    assert_eq!(summary.plan.iter().map(|partition| partition.fetch).sum::<u64>(), 50);

    env.ingest(&["m"]).await;
    let before = lake_bytes(&env.lake());
    let name = env.server.world().names().next().unwrap().to_owned();
    env.server.world().publish(&name, "50.0.0");
    let mut options = env.options(&["m"]);
    options.dry_run = true;
    let summary = run(options).await.unwrap();
    assert_eq!(summary.plan.len(), 1);
    assert_eq!((summary.plan[0].changed, summary.plan[0].names.clone()), (1, vec![name]));
    assert_eq!(lake_bytes(&env.lake()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_keeps_the_rows_it_has_and_is_repeated() {
    let mut world = World::new();
    world.add_names(["a", "b", "c"]);
    let env = Env::new(world);
    env.ingest(&[]).await;
    let rows = env.texts(TableKind::Packuments, "json");
    env.server.world().publish("b", "2.0.0");
    env.server.set_faults(FaultScript::of([Fault::packument("b", Action::status(500))]));
    let summary = env.ingest(&[]).await;
    assert_eq!(summary.counts.packuments_failed, 1);
    assert_eq!(env.texts(TableKind::Packuments, "json"), rows, "what the lake held of b is kept");
    assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("failed"));

    env.server.set_faults(FaultScript::default());
    env.packuments_asked();
    env.ingest(&[]).await;
    assert_eq!(env.packuments_asked(), ["b"]);
    assert!(texts(&env.table(TableKind::Versions), "version").contains(&Some("2.0.0".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_document_is_kept_marked_and_requested_again() {
    let mut world = World::new();
    world.add_names(["a", "b"]);
    let env = Env::new(world);
    env.server.world().publish("b", "2.0.0");
    env.server.set_faults(FaultScript::of([Fault::packument("b", Action::Stale)]));
    let summary = env.ingest(&[]).await;
    assert_eq!(summary.counts.packuments_stale, 1);
    assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("stale"));
    assert_eq!(env.names(TableKind::Packages), ["a", "b"]);
    env.server.set_faults(FaultScript::default());
    env.packuments_asked();
    env.ingest(&[]).await;
    assert_eq!(env.packuments_asked(), ["b"]);
    assert_eq!(env.texts(TableKind::Outcomes, "outcome")[1].as_deref(), Some("present"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_odd_document_has_its_outcome_and_nothing_stops() {
    let mut world = World::seeded(12, 30);
    world.add_odd_documents();
    let env = Env::new(world);
    env.ingest(&["m"]).await;
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    assert_eq!(env.names(TableKind::Outcomes), names);
    let outcomes = env.texts(TableKind::Outcomes, "outcome");
    let with_document =
        |outcome: &Option<String>| matches!(outcome.as_deref(), Some("present" | "tombstone" | "malformed" | "stale"));
    let documents = outcomes.iter().filter(|outcome| with_document(outcome)).count();
    assert_eq!(env.names(TableKind::Packuments).len(), documents, "docs = documents + outcomes without one");
    for request in env.server.requests() {
        let path = percent_encoding::percent_decode_str(&request.path).decode_utf8().unwrap().into_owned();
        assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "a dot segment was sent: {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_contents_of_the_manifests() {
    let env = Env::new(World::seeded(13, 90));
    assert!(lake_status(&env.store()).await.unwrap().is_none());
    env.ingest(&["g", "r"]).await;
    let origins = lake_status(&env.store()).await.unwrap().unwrap();
    assert_eq!(origins.len(), 1);
    let origin = &origins[0];
    assert_eq!((origin.partitions_total, origin.partitions_committed), (Some(3), 3));
    assert_eq!(origin.tables["docs"].rows, 90);
    assert_eq!(origin.outcomes.values().sum::<u64>(), 90);
    assert!(origin.runs.is_empty() && origin.dead_runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_known_to_have_changed_need_no_listing() {
    let (env, listed) = (Env::new(World::seeded(71, 60)), Env::new(World::seeded(71, 60)));
    let error = run(IngestOptions { changes: Some(Vec::new()), ..env.options(&["m"]) }).await.unwrap_err();
    assert_eq!(error.hint_text(), Some("fill it: all-docs ingest"));
    for each in [&env, &listed] {
        each.ingest(&["m"]).await;
    }
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    let (revised, gone) = (&names[5], &names[50]);
    for each in [&env, &listed] {
        each.server.world().publish(revised, "77.0.0");
        each.server.world().publish("zz-new", "1.0.0");
        each.server.world().delete(gone);
    }
    listed.ingest(&["m"]).await;
    let revs: Vec<String> = listed.texts(TableKind::Docs, "rev").into_iter().map(Option::unwrap).collect();
    let rev =
        |name: &str| listed.names(TableKind::Docs).iter().position(|each| each == name).map(|row| revs[row].clone());
    let change = |name: &str, kind| Change {
        name: PackageName::from(name),
        rev: Revision::from(rev(name).unwrap_or_default().as_str()),
        kind,
        seq: None,
    };
    let changes = vec![
        change("zz-new", ChangeKind::Added),
        change(gone, ChangeKind::Removed),
        change(revised, ChangeKind::Changed),
    ];
    env.server.clear_requests();
    let summary = run(IngestOptions { changes: Some(changes), ..env.options(&["m"]) }).await.unwrap();
    assert_eq!((summary.counts.names_added, summary.counts.names_changed, summary.counts.names_removed), (1, 1, 1));
    assert!(env.server.requests().iter().all(|request| !request.path.contains("_all_docs")), "it listed");
    assert_eq!(env.packuments_asked(), [revised.as_str(), "zz-new"]);
    assert_same_lake(&env.lake(), &listed.lake());
}
