//! Names without a document: when they are requested again, and when a registry is not believed about them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use all_docs::diff::{FetchReason, Selection};
use all_docs::error::ErrorKind;
use all_docs::npm::PackageName;
use all_docs::pipeline::IngestSummary;
use all_docs::registry::{Credentials, Origin, Registry, RegistryConfig};
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};
use all_docs::table::TableKind;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};

use crate::small_server::{Asked, SmallServer, is_document};
use crate::support::{Env, ORIGIN, all_docs, assert_same_lake, origin_folder, run, stderr, stdout};

const MINUTE_US: i64 = 60_000_000;
const SORRY: &str = r#"{"error":"no such luck"}"#;

fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn status(code: u16) -> Action {
    Action::Status { code, retry_after: None, body: Some(SORRY.to_owned()) }
}

fn env_of(names: impl IntoIterator<Item = &'static str>) -> Env {
    let mut world = World::new();
    world.add_names(names);
    Env::new(world)
}

/// Ingests as if so many minutes had passed.
async fn ingest_after(env: &Env, minutes: i64) -> IngestSummary {
    let mut options = env.options(&["m"]);
    options.began_at_us = Some(now_us() + minutes * MINUTE_US);
    run(options).await.unwrap()
}

/// The columns of `outcomes` about the next request, of one name: outcome, detail, repetitions, credentials, and the
/// minutes from the response to the next request.
fn next_request(env: &Env, name: &str) -> (String, Option<String>, i32, Option<String>, Option<i64>) {
    for batch in env.table(TableKind::Outcomes) {
        let text = |column: &str| batch.column_by_name(column).unwrap().as_string::<i32>().clone();
        let time =
            |column: &str| batch.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>().clone();
        let Some(row) = text("name").iter().position(|each| each == Some(name)) else { continue };
        let of = |column: &str| text(column).is_valid(row).then(|| text(column).value(row).to_owned());
        let next = time("next_request_at");
        let wait = next.is_valid(row).then(|| (next.value(row) - time("fetched_at").value(row)) / MINUTE_US);
        let repetitions = batch.column_by_name("repetitions").unwrap().as_primitive::<Int32Type>().value(row);
        return (of("outcome").unwrap(), of("detail"), repetitions, of("credentials"), wait);
    }
    panic!("{name} has no outcome")
}

/// Returns the shards of every table but `outcomes`.
fn other_shards(env: &Env) -> BTreeMap<std::path::PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut shards = BTreeMap::new();
    for table in TableKind::ALL.into_iter().filter(|table| *table != TableKind::Outcomes) {
        for entry in std::fs::read_dir(env.lake().join(ORIGIN).join(table.as_str())).unwrap() {
            let path = entry.unwrap().path();
            let modified = path.metadata().unwrap().modified().unwrap();
            shards.insert(path.clone(), (std::fs::read(&path).unwrap(), modified));
        }
    }
    shards
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_document_is_requested_again_after_ever_longer_times() {
    for (action, outcome) in [
        (status(404), "not_found"),
        (status(410), "not_found"),
        (status(451), "blocked"),
        (status(403), "blocked"),
        (status(401), "blocked"),
        (Action::Body(SORRY.to_owned()), "malformed"),
    ] {
        let env = env_of(["a", "b", "fresh", "z"]);
        env.server.set_faults(FaultScript::of([Fault::packument("fresh", action.clone())]));
        assert!(!ingest_after(&env, 0).await.is_complete());
        let (told, detail, repetitions, credentials, wait) = next_request(&env, "fresh");
        assert_eq!((told.as_str(), repetitions, credentials.as_deref(), wait), (outcome, 1, Some("none"), Some(5)));
        let is_quoted = detail.as_deref().is_some_and(|detail| detail.contains("no such luck"));
        assert!(is_quoted || outcome == "malformed", "{action:?}: {detail:?}");
        env.packuments_asked();

        let summary = ingest_after(&env, 4).await;
        assert_eq!((env.packuments_asked().len(), summary.counts.partitions_unchanged), (0, 2), "{action:?}");
        assert_eq!(summary.counts.names_without_document, 1);
        // The same outcome again changes no other table, and no other partition.
        let (before, is_document) = (other_shards(&env), outcome == "malformed");
        let summary = ingest_after(&env, 6).await;
        assert_eq!((env.packuments_asked(), summary.counts.partitions_unchanged), (vec!["fresh".to_owned()], 1));
        assert!(is_document || other_shards(&env) == before, "{action:?}");
        let (told, _, repetitions, _, wait) = next_request(&env, "fresh");
        assert_eq!((told.as_str(), repetitions, wait), (outcome, 2, Some(60)), "{action:?}");
        ingest_after(&env, 59).await;
        assert_eq!(env.packuments_asked().len(), 0, "{action:?}");

        env.server.set_faults(FaultScript::default());
        ingest_after(&env, 61).await;
        assert_eq!(env.packuments_asked(), ["fresh"], "{action:?}");
        assert_eq!(next_request(&env, "fresh"), ("present".to_owned(), None, 1, None, None));
        assert!(ingest_after(&env, 1_000_000).await.is_complete());
        assert_eq!(env.packuments_asked().len(), 0, "a document is requested when its revision changes");
        let fresh = env_of(["a", "b", "fresh", "z"]);
        ingest_after(&fresh, 0).await;
        assert_same_lake(&env.lake(), &fresh.lake());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_user_gives_is_always_requested_and_a_held_one_is_not() {
    let env = env_of(["a", "b", "fresh"]);
    env.server.set_faults(FaultScript::of([Fault::packument("fresh", status(404))]));
    ingest_after(&env, 0).await;
    env.packuments_asked();
    for _ in 0..2 {
        let mut options = env.options(&["m"]);
        options.selection = Selection::Names(["a", "fresh"].map(PackageName::from).into());
        run(options).await.unwrap();
        assert_eq!(env.packuments_asked(), ["fresh"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_why_each_document_would_be_requested() {
    let env = env_of(["a", "b", "c", "d"]);
    let all = [("a", status(404)), ("b", status(500))].map(|(name, action)| Fault::packument(name, action));
    env.server.set_faults(FaultScript::of(all));
    ingest_after(&env, 0).await;
    env.server.world().publish("c", "2.0.0");
    env.server.world().add_names(["e"]);
    let planned = async |minutes: i64, names: &[&'static str]| {
        let mut options = env.options(&["m"]);
        options.dry_run = true;
        options.began_at_us = Some(now_us() + minutes * MINUTE_US);
        if !names.is_empty() {
            options.selection = Selection::Names(names.iter().map(|name| PackageName::from(*name)).collect());
        }
        let plan = run(options).await.unwrap().plan;
        let documents = plan.iter().flat_map(|partition| &partition.documents);
        documents.map(|document| (document.name.clone(), document.reason)).collect::<Vec<_>>()
    };
    let of =
        |list: &[(&str, FetchReason)]| list.iter().map(|(name, why)| ((*name).to_owned(), *why)).collect::<Vec<_>>();
    let always = [("b", FetchReason::Unfinished), ("c", FetchReason::Revised), ("e", FetchReason::New)];
    assert_eq!(planned(0, &[]).await, of(&always));
    assert_eq!(planned(6, &[]).await, of(&[&[("a", FetchReason::Due)], &always[..]].concat()));
    assert_eq!(planned(0, &["a", "d"]).await, of(&[("a", FetchReason::Named)]));

    let origin = format!("{ORIGIN}={}", env.server.url());
    let told = stderr(&crate::support::run_binary(env.folder.path(), &["ingest", "--dry-run", "--origin", &origin]));
    for line in [
        "  revised: 1: c",
        "  never requested: 1: e",
        "  failed or outdated at the last request: 1: b (failed, seen once)",
        "to fetch, revised: 1",
        "would fetch 3 packuments of 5 names",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number:03}")).collect()
}

/// Ingests from a small server with these lines of `.npmrc`.
fn ingest(server: &SmallServer, folder: &Path, token: &str, arguments: &[&str]) -> Output {
    let line = format!("{}/:_authToken={token}\n", server.url.trim_start_matches("http:"));
    std::fs::write(folder.join(".npmrc"), if token.is_empty() { String::new() } else { line }).unwrap();
    let mut command = all_docs(folder);
    command.env("HOME", folder).args(arguments).args(["--origin", &format!("{ORIGIN}={}", server.url)]);
    command.output().unwrap()
}

fn outcomes(folder: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    if folder.join("lake").join(ORIGIN).join("outcomes").exists() {
        let rows = crate::support::read_table(&folder.join("lake"), TableKind::Outcomes);
        for outcome in crate::support::texts(&rows, "outcome").into_iter().flatten() {
            *counts.entry(outcome).or_default() += 1;
        }
    }
    counts
}

fn counts(list: &[(&str, usize)]) -> BTreeMap<String, usize> {
    list.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect()
}

fn is_of(asked: &Asked, token: &str) -> bool {
    asked.authorization.as_deref() == Some(&format!("Bearer {token}"))
}

#[test]
fn other_credentials_cause_a_request_and_the_same_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let all = [names("p", 20), vec!["@corp/x".to_owned(), "@corp/y".to_owned()]].concat();
    let server = SmallServer::start(&all, |asked, _| {
        let is_private = asked.path.starts_with("/@corp%2F") && !is_of(asked, "good");
        is_private.then(|| (403, r#"{"error":"unregistered users are not allowed"}"#.to_owned()))
    });
    let corp = ["/@corp%2Fx", "/@corp%2Fy"];
    for (token, asked, code) in [
        ("", None, 6),
        ("", Some(0), 6),
        ("expired", Some(2), 6),
        ("expired", Some(0), 6),
        ("good", Some(2), 0),
        ("", Some(0), 0),
    ] {
        let output = ingest(&server, folder.path(), token, &["ingest"]);
        assert_eq!(output.status.code(), Some(code), "{token:?}: {}", stderr(&output));
        let documents = server.take_documents();
        match asked {
            None => assert_eq!(documents.len(), 22),
            Some(0) => assert_eq!(documents, Vec::<String>::new(), "{token:?}"),
            Some(_) => {
                assert_eq!(documents.iter().filter(|path| corp.contains(&path.as_str())).count(), 2, "{token:?}")
            }
        }
        let text = std::fs::read(folder.path().join("lake/all-docs.json")).unwrap();
        assert!(!String::from_utf8(text).unwrap().contains("expired"));
    }
    assert_eq!(outcomes(folder.path()), counts(&[("present", 22)]));
}

#[test]
fn one_package_that_is_refused_concerns_that_package() {
    for (code, words) in [(403, SORRY), (401, SORRY), (403, "forbidden by policy"), (401, "<html>no</html>"), (451, "")]
    {
        let folder = tempfile::tempdir().unwrap();
        let server = SmallServer::start(&[names("p", 40), vec!["evil".to_owned()]].concat(), move |asked, _| {
            let reply = |code: u16, words: &str| Some((code, words.to_owned()));
            match asked.path.as_str() {
                "/evil" => reply(code, words),
                path if is_document(path) && !is_of(asked, "good") => reply(401, SORRY),
                _ => None,
            }
        });
        for arguments in [&["ingest", "--partition-rows", "1"][..], &["ingest"], &["packument", "fetch", "evil"]] {
            let output = ingest(&server, folder.path(), "good", arguments);
            assert_eq!(output.status.code(), Some(6), "{code} {arguments:?}: {}", stderr(&output));
            assert_eq!(outcomes(folder.path()), counts(&[("blocked", 1), ("present", 40)]), "{code} {words}");
        }
        let asked = server.take_asked();
        assert_eq!(asked.iter().filter(|asked| asked.path == "/evil").count(), 2, "by the first run, and by name");
    }
}

#[test]
fn a_token_that_expires_in_the_middle_makes_no_facts_and_a_renewed_one_completes_the_lake() {
    for code in [401, 403, 404] {
        let folder = tempfile::tempdir().unwrap();
        let server = SmallServer::start(&names("p", 300), move |asked, number| {
            let is_refused =
                is_document(&asked.path) && !(is_of(asked, "first") && number <= 120 || is_of(asked, "second"));
            is_refused.then(|| (code, SORRY.to_owned()))
        });
        let output = ingest(&server, folder.path(), "first", &["ingest", "--partition-rows", "50"]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{code}: {told}");
        assert!(told.contains(".npmrc") && told.contains("no such luck") && told.contains("hint:"), "{code}: {told}");
        assert!(outcomes(folder.path()).keys().all(|outcome| outcome == "present"), "{:?}", outcomes(folder.path()));
        let output = ingest(&server, folder.path(), "second", &["ingest"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(outcomes(folder.path()), counts(&[("present", 300)]));
    }
}

/// The listing is npm's, and the documents are asked for elsewhere.
#[test]
fn a_registry_that_serves_none_of_its_documents_is_not_believed() {
    let portal = "<!doctype html><title>Accept the terms of this network</title>";
    for (code, body, cause) in [
        (404, SORRY, "--registry"),
        (410, SORRY, "--registry"),
        (451, SORRY, "--registry"),
        (401, SORRY, ".npmrc"),
        (403, SORRY, ".npmrc"),
        (200, portal, "proxy"),
        (200, SORRY, "proxy"),
        (404, portal, "--registry"),
    ] {
        for count in [15, 150] {
            let folder = tempfile::tempdir().unwrap();
            let server = SmallServer::start(&names("p", count), move |asked, _| {
                is_document(&asked.path).then(|| (code, body.to_owned()))
            });
            let output = ingest(&server, folder.path(), "", &["ingest"]);
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{code} {count}: {told}");
            assert!(told.contains(cause) && told.contains("hint:"), "{code}: {told}");
            assert!(
                told.contains(if body == SORRY && code != 200 { "no such luck" } else { "status" }),
                "{code}: {told}"
            );
            assert_eq!(outcomes(folder.path()), counts(&[]), "{code} {body}");
            // Nor is anything believed that was staged.
            server.play(|_, _| None);
            let output = ingest(&server, folder.path(), "", &["ingest"]);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            assert_eq!(outcomes(folder.path()), counts(&[("present", count)]));
        }
    }
}

#[test]
fn a_registry_is_believed_about_many_names_in_a_row_if_it_serves_others() {
    let folder = tempfile::tempdir().unwrap();
    let all = [names("a", 150), names("b", 200), names("c", 100)].concat();
    let server = SmallServer::start(&all, |asked, _| asked.path.starts_with("/b").then(|| (404, SORRY.to_owned())));
    let output = ingest(&server, folder.path(), "", &["ingest", "--partition-rows", "50"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert_eq!(outcomes(folder.path()), counts(&[("not_found", 200), ("present", 250)]));
    let extra = server.take_documents().len() - 450;
    assert!(extra <= 4 * 32, "{extra} requests to make sure");
    // A handful of names that the user gives may all be gone.
    std::fs::write(folder.path().join("list.txt"), names("b", 5).join("\n")).unwrap();
    let output = ingest(&server, folder.path(), "", &["packument", "fetch-list", "list.txt"]);
    assert_eq!((output.status.code(), server.take_documents().len()), (Some(6), 5), "{}", stderr(&output));
}

#[test]
fn the_user_can_insist_that_all_documents_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        SmallServer::start(&names("p", 60), |asked, _| is_document(&asked.path).then(|| (404, SORRY.to_owned())));
    let output = ingest(&server, folder.path(), "", &["ingest", "--accept-removals"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert_eq!(outcomes(folder.path()), counts(&[("not_found", 60)]));
}

/// A document that may not be read now is not gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_document_outlives_the_right_to_read_it() {
    let env = env_of(["a", "b", "c"]);
    ingest_after(&env, 0).await;
    let documents = env.names(TableKind::Packuments);
    env.server.world().publish("b", "2.0.0");
    env.server.set_faults(FaultScript::of([Fault::packument("b", status(401))]));
    let summary = ingest_after(&env, 0).await;
    assert_eq!((summary.counts.packuments_gone, env.names(TableKind::Packuments)), (1, documents));
    assert_eq!(next_request(&env, "b").0, "blocked");
    env.server.set_faults(FaultScript::default());
    ingest_after(&env, 6).await;
    assert_eq!(next_request(&env, "b").0, "present");
    let fresh = env.folder.path().join("fresh");
    let mut options = env.options(&["m"]);
    options.store = all_docs::store::Store::open(fresh.to_str().unwrap()).unwrap();
    run(options).await.unwrap();
    assert_same_lake(&env.lake(), &fresh);
}

fn documents(folder: &Path) -> usize {
    let batches = crate::support::read_table(&folder.join("lake"), TableKind::Packuments);
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Even a small lake loses nothing to a token that has expired, whatever the registry says then.
#[test]
fn an_expired_token_takes_nothing_from_a_lake() {
    for (code, count) in [(404, 1), (404, 5), (404, 12), (404, 90), (410, 40), (451, 40), (401, 40), (403, 40)] {
        let folder = tempfile::tempdir().unwrap();
        let hides = move |asked: &Asked, is_valid: bool| {
            (is_document(&asked.path) && !is_valid).then(|| (code, SORRY.to_owned()))
        };
        let server = SmallServer::start(&names("p", count), move |asked, _| hides(asked, is_of(asked, "good")));
        assert_eq!(ingest(&server, folder.path(), "good", &["ingest"]).status.code(), Some(0));
        // The registry says the same at any time, also to a token that only the registry knows to have expired.
        server.play(move |asked, _| hides(asked, false));
        for _ in 0..2 {
            let output = ingest(&server, folder.path(), "good", &["ingest", "--refresh"]);
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{code} {count}: {told}");
            assert!(told.contains(".npmrc") && told.contains("the lake keeps its documents"), "{told}");
            assert_eq!((outcomes(folder.path()), documents(folder.path())), (counts(&[("present", count)]), count));
        }
        server.play(|_, _| None);
        server.take_documents();
        let output = ingest(&server, folder.path(), "good", &["ingest", "--refresh"]);
        assert_eq!((output.status.code(), server.take_documents().len()), (Some(0), count), "{}", stderr(&output));
    }
}

/// The token concerns a few names only, and the registry serves all others.
#[test]
fn a_document_of_the_lake_stays_while_its_name_is_listed_and_is_requested_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let all = [names("p", 37), names("secret", 3)].concat();
    let server = SmallServer::start(&all, |_, _| None);
    assert_eq!(ingest(&server, folder.path(), "good", &["ingest"]).status.code(), Some(0));
    let hides =
        |code: u16| move |asked: &Asked, _: usize| asked.path.starts_with("/secret").then(|| (code, SORRY.to_owned()));
    for (code, outcome) in [(404, "stale"), (410, "stale"), (403, "blocked"), (451, "blocked")] {
        server.play(hides(code));
        for arguments in [&["ingest", "--refresh"][..], &["ingest"], &["ingest"]] {
            let output = ingest(&server, folder.path(), "good", arguments);
            assert_eq!(output.status.code(), Some(6), "{code}: {}", stderr(&output));
            assert_eq!(outcomes(folder.path()), counts(&[("present", 37), (outcome, 3)]), "{code}");
            assert_eq!(documents(folder.path()), 40, "{code}");
        }
        let verified = all_docs(folder.path()).arg("verify").output().unwrap();
        assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
        server.play(|_, _| None);
        server.take_documents();
        let output = ingest(&server, folder.path(), "good", &["ingest"]);
        assert_eq!(output.status.code(), Some(0), "{code}: {}", stderr(&output));
        assert_eq!(server.take_documents(), ["/secret000", "/secret001", "/secret002"]);
        assert_eq!(outcomes(folder.path()), counts(&[("present", 40)]));
    }
    // The user decides otherwise.
    server.play(hides(404));
    let output = ingest(&server, folder.path(), "good", &["ingest", "--refresh", "--accept-removals"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    assert_eq!(outcomes(folder.path()), counts(&[("present", 37), ("not_found", 3)]));
    assert_eq!(documents(folder.path()), 37);
}

/// Documents that lead nowhere are no documents, and the error says where they lead.
#[test]
fn a_registry_that_fails_for_all_documents_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let server = SmallServer::start(&names("p", 25), |asked, _| {
        is_document(&asked.path).then(|| (500, r#"{"error":"no such luck"}"#.to_owned()))
    });
    let output = ingest(&server, folder.path(), "", &["ingest"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("fails for") && told.contains("no such luck") && told.contains("in trouble"), "{told}");
}

#[test]
fn a_server_that_is_no_registry_leaves_no_lake() {
    for (path, code, body) in [
        ("/", 404, SORRY),
        ("/", 200, SORRY),
        ("/", 401, SORRY),
        ("/_all_docs", 404, SORRY),
        ("/_all_docs", 403, SORRY),
        ("/_all_docs", 401, SORRY),
        ("/_all_docs", 418, SORRY),
        ("/_all_docs", 501, SORRY),
        ("/_all_docs", 200, SORRY),
        ("/_all_docs", 200, "<title>no such luck</title>"),
    ] {
        for arguments in [&["ingest"][..], &["ingest", "--pivots", "pivots.json"], &["packument", "fetch", "p001"]] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("pivots.json"), r#"["b", "c", "d"]"#).unwrap();
            let server = SmallServer::start(&names("p", 3), move |asked, _| {
                (asked.path == path).then(|| (code, body.to_owned()))
            });
            let output = ingest(&server, folder.path(), "", arguments);
            let told = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{path} {code}: {told}");
            assert!(told.contains("no such luck") && told.contains("hint:"), "{path} {code}: {told}");
            assert!(server.take_asked().len() <= 4, "{path} {code}");
            assert!(!folder.path().join("lake").exists(), "{path} {code}");
        }
    }
    // A lake that was there before loses nothing, and gains nothing.
    let folder = tempfile::tempdir().unwrap();
    let server = SmallServer::start(&names("p", 3), |_, _| None);
    assert_eq!(ingest(&server, folder.path(), "", &["ingest"]).status.code(), Some(0));
    let files = || {
        let mut files = crate::support::lake_bytes(&folder.path().join("lake"));
        files.retain(|path, _| !path.contains("/leases/"));
        files
    };
    let (before, page) = (files(), std::fs::read(folder.path().join("lake/all-docs.json")).unwrap());
    let stranger = SmallServer::start(&[], |asked, _| (asked.path != "/").then(|| (404, SORRY.to_owned())));
    let mut command = all_docs(folder.path());
    let output = command.args(["ingest", "--origin", &format!("other={}", stranger.url)]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}{}", stdout(&output), stderr(&output));
    assert_eq!((files(), std::fs::read(folder.path().join("lake/all-docs.json")).unwrap()), (before, page));
    assert_eq!(origin_folder(&folder.path().join("lake")).file_name().unwrap(), ORIGIN);
}

/// The words of a server are kept without the secrets that it repeats.
#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_a_server_are_kept_without_secrets() {
    let all = names("p", 30);
    let server = SmallServer::start(&all, |asked, _| {
        let sent = asked.authorization.clone().unwrap_or_default();
        (asked.path == "/p003").then(|| (404, format!("no p003 for {sent} at https://me:sesame-2@a.example/")))
    });
    let folder = tempfile::tempdir().unwrap();
    let output = ingest(&server, folder.path(), "sesame-1", &["ingest"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let rows = crate::support::read_table(&folder.path().join("lake"), TableKind::Outcomes);
    let detail = crate::support::texts(&rows, "detail").into_iter().flatten().next().unwrap();
    assert!(detail.starts_with("status 404 Not Found (no p003 for Bearer [secret]"), "{detail}");
    assert!(!detail.contains("sesame"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_nothing_accepts_are_refused() {
    let env = env_of(["a", "b"]);
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, status(403))]));
    let mut origin = Origin::parse(env.server.url(), None).unwrap();
    origin.name = ORIGIN.to_owned();
    let line = format!("{}/:_authToken=old", env.server.url().trim_start_matches("http:"));
    let credentials = Credentials::from_npmrc([line.as_str()], |_| None);
    let mut options = env.options(&["m"]);
    options.registry = Registry::new(origin.clone(), RegistryConfig::for_origin(&origin), credentials).unwrap();
    let error = run(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.report());
    assert!(error.hint_text().is_some_and(|hint| hint.contains(".npmrc")));
}
