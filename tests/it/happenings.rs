//! Things that happened to packages: the table `events`, through the library and the binary.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use all_docs::diff::Selection;
use all_docs::npm::PackageName;
use all_docs::pipeline::IngestOptions;
use all_docs::sample::{Action, Fault, FaultScript, World};
use all_docs::table::events::{Event, EventKind, events_of};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Env, ORIGIN, all_docs, origin_folder, python, run, run_binary, run_python, stderr, stdout};
use crate::survival::{documents_asked, wait_for_documents};

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Returns the events of an origin by a plain reading of its days. Nothing waits in the feed.
pub(crate) fn events(origin: &Path) -> Vec<Event> {
    assert!(files(&origin.join("feed")).is_empty());
    let mut events = Vec::new();
    for path in files(&origin.join("events")) {
        let file = std::fs::File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        reader.for_each(|batch| events.extend(events_of(&batch.unwrap()).unwrap()));
    }
    let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), events.len(), "an event is there twice");
    events
}

/// Writes each event on a line, sorted: `name: event version subject before > after`.
fn told(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
        let Event { name, event: kind, version, subject, before, after, .. } = event;
        format!("{name}: {kind} {} {} {} > {}", word(version), word(subject), word(before), word(after))
    };
    let mut told: Vec<String> = events.iter().map(line).collect();
    told.sort();
    told
}

/// The names of the packages to which things happen.
const NAMES: [&str; 10] = ["back", "code", "fresh", "gone", "legal", "people", "short", "still", "tomb", "twice"];

fn world() -> World {
    let mut world = World::new();
    for name in NAMES.into_iter().filter(|name| *name != "fresh") {
        world.publish(name, "1.0.0");
    }
    world.publish("twice", "1.1.0");
    world.unpublish_version("twice", "1.1.0");
    world.publish("short", "1.1.0");
    assert!(world.set("people", Some("1.0.0"), r#"{"deprecated":"old"}"#));
    let released = r#"{"scripts":{"install":"make","preinstall":"x"},"dependencies":{"a":"1","b":"1"}}"#;
    assert!(world.set("code", Some("1.0.0"), released));
    world
}

fn release(world: &mut World, version: &str, members: &str) {
    world.publish("code", version);
    assert!(world.set("code", Some(version), members), "{members}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_event_is_found_by_the_next_ingest() {
    let env = Env::new(world());
    let origin = env.lake().join(ORIGIN);
    env.ingest(&["m"]).await;
    assert!(!origin.join("events").exists() && !origin.join("feed").exists(), "a first ingest writes no events");
    {
        let mut world = env.server.world();
        world.publish("fresh", "1.0.0");
        world.publish("fresh", "2.0.0");
        world.delete("gone");
        world.delete("back");
        world.unpublish("tomb");
        world.publish("twice", "1.1.0");
        world.unpublish_version("short", "1.1.0");
        assert!(world.set("people", Some("1.0.0"), r#"{"deprecated":null}"#));
        assert!(world.set("people", None, r#"{"maintainers":[{"name":"eve"}],"dist-tags":{"next":"1.0.0"}}"#));
        assert!(world.set("legal", None, r#"{"license":"ISC","repository":"git://new"}"#));
        assert!(world.set("legal", Some("1.0.0"), r#"{"deprecated":"use another"}"#));
        let lost = r#""scripts":{"install":"make all","postinstall":"curl"},"dependencies":{"b":"2","c":"1"}"#;
        let trusted = r#""_npmUser":{"name":"bot","trustedPublisher":{"id":"github"}},"dist":{"attestations":{"provenance":{"predicateType":"slsa"}}}"#;
        release(&mut world, "1.0.1", &format!("{{{lost},{trusted}}}"));
        release(&mut world, "1.0.2", &format!("{{{lost}}}"));
    }
    env.ingest(&["m"]).await;
    let expected = [
        "back: package_removed - - - > -",
        "code: dependency_added 1.0.2 c - > 1",
        "code: dependency_removed 1.0.2 a 1 > -",
        "code: dist_tag_moved 1.0.2 latest 1.0.0 > 1.0.2",
        "code: install_script_added 1.0.1 postinstall - > curl",
        "code: install_script_changed 1.0.1 install make > make all",
        "code: install_script_removed 1.0.1 preinstall x > -",
        "code: provenance_gained 1.0.1 - - > slsa",
        "code: provenance_lost 1.0.2 - slsa > -",
        "code: publisher_new 1.0.1 bot sample > bot",
        "code: trusted_publishing_gained 1.0.1 - - > github",
        "code: trusted_publishing_lost 1.0.2 - github > -",
        "code: version_published 1.0.1 - - > -",
        "code: version_published 1.0.2 - - > -",
        "fresh: package_added - - - > -",
        "gone: package_removed - - - > -",
        "legal: deprecated 1.0.0 - - > use another",
        "legal: license_changed - - MIT > ISC",
        "legal: repository_changed - - - > git://new",
        "people: dist_tag_added 1.0.0 next - > 1.0.0",
        "people: dist_tag_removed 1.0.0 latest 1.0.0 > -",
        "people: maintainer_added - eve - > -",
        "people: maintainer_removed - sample sample@example.com > -",
        "people: undeprecated 1.0.0 - old > -",
        "short: dist_tag_moved 1.0.0 latest 1.1.0 > 1.0.0",
        "short: version_unpublished 1.1.0 - - > -",
        "tomb: package_unpublished - - - > -",
        "twice: dist_tag_moved 1.1.0 latest 1.0.0 > 1.1.0",
        "twice: version_republished 1.1.0 - - > -",
    ];
    let first = events(&origin);
    assert_eq!(told(&first), expected);
    assert!(first.iter().all(|event| event.seq.is_none() && event.rev.contains('-')), "{first:?}");
    // Nothing has changed.
    env.ingest(&["m"]).await;
    assert_eq!(events(&origin), first);
    {
        let mut world = env.server.world();
        world.publish("back", "1.0.0");
        world.publish("tomb", "1.0.0");
    }
    env.ingest(&["m"]).await;
    let all = events(&origin);
    assert_eq!(all[..first.len()], first);
    let restored = ["back: package_restored - - - > -", "tomb: package_restored - - - > -"];
    assert_eq!(told(&all[first.len()..]), restored);
    let kinds: BTreeSet<EventKind> = all.iter().filter_map(Event::kind).collect();
    let missing: Vec<EventKind> = EventKind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");

    // Other tools read the days by a plain glob.
    let Some(python) = python() else { return };
    let read = run_python(&python, "read_events.py", &[origin.to_str().unwrap()]);
    assert!(read.contains(&format!("{} events", all.len())), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_filled_in_parts_has_no_events_for_the_parts() {
    let env = Env::new(World::seeded(41, 60));
    let names: BTreeSet<PackageName> = env.server.world().names().step_by(7).map(PackageName::new).collect();
    let part = IngestOptions { selection: Selection::Names(names), ..env.options(&["m"]) };
    run(IngestOptions { selection: Selection::None, ..env.options(&["m"]) }).await.unwrap();
    run(part).await.unwrap();
    env.ingest(&["m"]).await;
    assert!(events(&env.lake().join(ORIGIN)).is_empty());
    // A package that comes after the first listing is new, also if its document is late.
    let refused = Action::Status { code: 500, retry_after: None, body: None };
    env.server.world().publish("new-late", "1.0.0");
    env.server.world().publish("new-soon", "1.0.0");
    env.server.set_faults(FaultScript::of(vec![Fault::packument("new-late", refused); 40]));
    let registry = env.registry_with(|config| config.max_attempts = 1);
    let summary = run(IngestOptions { registry, ..env.options(&["m"]) }).await.unwrap();
    assert_eq!(summary.counts.packuments_failed, 1);
    env.server.set_faults(FaultScript::default());
    env.ingest(&["m"]).await;
    let expected = ["new-late: package_added - - - > -", "new-soon: package_added - - - > -"];
    assert_eq!(told(&events(&env.lake().join(ORIGIN))), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_fill_that_is_killed_has_no_events_when_it_goes_on() {
    let env = Env::new(World::seeded(42, 200));
    let mut child = env.ingest_command(&["g", "p"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_documents(&env, &mut child, 120).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let output = env.ingest_command(&["g", "p"]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    assert!(events(&origin_folder(&env.lake())).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_there_once_however_often_the_process_is_killed() {
    const KILLS: usize = 8;
    let env = Env::new(World::seeded(43, 240));
    let pivots = ["c", "g", "m", "p", "t"];
    let output = env.ingest_command(&pivots).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    for name in &names {
        env.server.world().publish(name, "99.0.0");
    }
    for kill in 0..KILLS {
        let mut child = env.ingest_command(&pivots).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let before = documents_asked(&env);
        wait_for_documents(&env, &mut child, before + 10 + 7 * kill).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = env.ingest_command(&pivots).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let events = events(&origin_folder(&env.lake()));
    let mut published: Vec<&str> =
        events.iter().filter(|event| event.event == "version_published").map(|event| event.name.as_str()).collect();
    published.sort_unstable();
    let expected: Vec<&str> = names.iter().map(String::as_str).filter(|name| published.contains(name)).collect();
    assert_eq!(published, expected);
    let others: Vec<&Event> = events
        .iter()
        .filter(|event| ["package_added", "package_removed", "package_restored"].contains(&event.event.as_str()))
        .collect();
    // A tombstone that publishes again is back.
    assert!(others.iter().all(|event| event.event == "package_restored"), "{others:?}");
    assert!(published.len() + others.len() >= names.len() - 5, "{} of {}", published.len(), names.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_damaged_events_and_repair_sets_them_aside() {
    let env = Env::new(world());
    let ingest = || env.ingest_command(&["m"]).arg("--quiet").output().unwrap();
    assert_eq!(ingest().status.code(), Some(0));
    env.server.world().publish("code", "2.0.0");
    assert_eq!(ingest().status.code(), Some(0));
    let origin = origin_folder(&env.lake());
    let day = files(&origin.join("events")).remove(0);
    let sound = std::fs::read(&day).unwrap();
    let verify = |more: &[&str]| {
        let output = run_binary(env.folder.path(), &[&["verify", "--quiet"], more].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    assert_eq!(verify(&[]).0, Some(0), "{}", verify(&[]).1);
    let mut flipped = sound.clone();
    // Amid the ids, which come first.
    flipped[120] ^= 0x10;
    for damaged in [sound[..sound.len() - 30].to_vec(), flipped] {
        std::fs::write(&day, &damaged).unwrap();
        let (code, text) = verify(&[]);
        assert_eq!(code, Some(4), "{text}");
        assert!(text.contains("events"), "{text}");
        // Events wait, and the error says what to do.
        env.server.world().publish("code", &format!("3.{}.0", damaged.len()));
        let output = ingest();
        let text = stderr(&output);
        if damaged.len() != sound.len() {
            assert!(output.status.code() == Some(4) && text.contains("verify --repair"), "{text}");
        }
        let (code, text) = verify(&["--repair", "--origin", env.server.url()]);
        assert_eq!(code, Some(0), "{text}");
        let output = ingest();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(verify(&[]).0, Some(0));
        if damaged.len() != sound.len() {
            let told = told(&events(&origin));
            assert!(told.iter().any(|line| line.starts_with("code: version_published 3.")), "{told:?}");
        }
    }
    // A foreign file beside them would be read with them.
    std::fs::write(origin.join("events/mine.parquet"), "x").unwrap();
    assert_eq!(verify(&[]).0, Some(4));
    assert_eq!(verify(&["--quick"]).0, Some(4));
    assert_eq!(verify(&["--repair", "--origin", env.server.url()]).0, Some(0));
    assert!(!origin.join("events/mine.parquet").exists());
}

/// A request to a webhook: its headers in lower case, and its body.
struct Posted {
    head: String,
    body: Vec<u8>,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        serde_json::from_slice::<Value>(&self.body).unwrap()["events"].as_array().unwrap().clone()
    }
}

/// Starts a server that refuses the first requests, and accepts all later ones.
fn webhook(refused: usize) -> (String, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?token=x", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for (number, connection) in listener.incoming().flatten().enumerate() {
            let mut lines = BufReader::new(connection.try_clone().unwrap());
            let mut head = String::new();
            while lines.read_line(&mut head).unwrap() > 2 {}
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            let status = if number < refused { 503 } else { 204 };
            let mut connection = connection;
            let response = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            connection.write_all(response.as_bytes()).unwrap();
            if sender.send(Posted { head, body }).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

/// HMAC of SHA-256 for a short key, as docs/events.md says.
fn hmac(key: &str, message: &[u8]) -> String {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key.as_bytes());
    let inner = Sha256::digest([&block.map(|byte: u8| byte ^ 0x36)[..], message].concat());
    let outer = Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_delivers_events_to_each_output_and_then_keeps_them() {
    let env = Env::new(world());
    let output = env.ingest_command(&["m"]).arg("--quiet").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (url, posted) = webhook(1);
    let follow = |arguments: &[&str]| {
        let mut command = all_docs(env.folder.path());
        command.args(["follow", "--once", "--quiet", "--origin", env.server.url()]).args(arguments);
        command.env("ALL_DOCS_WEBHOOK_SECRET", "hush").output().unwrap()
    };
    env.server.world().publish("code", "2.0.0");
    env.server.world().publish("fresh", "1.0.0");
    let output = follow(&["--events", "-", "--events-file", "events.ndjson", "--webhook", &url]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = stdout(&output);
    let printed: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kept = events(&origin_folder(&env.lake()));
    let ids: Vec<&str> = printed.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, kept.iter().map(|event| event.id.as_str()).collect::<Vec<_>>());
    assert!(printed.iter().all(|event| event["seq"].is_string()), "{lines}");
    assert!(told(&kept).contains(&"fresh: package_added - - - > -".to_owned()), "{lines}");
    let file = env.folder.path().join("events.ndjson");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), lines);
    let refused = posted.recv().unwrap();
    let accepted = posted.recv().unwrap();
    assert_eq!(refused.body, accepted.body, "it is sent again");
    assert_eq!(accepted.events(), printed);
    assert!(accepted.head.starts_with("post /hook?token=x "), "{}", accepted.head);
    let time = accepted.header("x-all-docs-timestamp");
    let signed = [time.as_bytes(), b".", &accepted.body].concat();
    assert_eq!(accepted.header("x-all-docs-signature"), format!("sha256={}", hmac("hush", &signed)));

    // The file is appended to, and nothing is delivered twice.
    env.server.world().publish("code", "3.0.0");
    let output = follow(&["--events-file", "events.ndjson"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let kept = events(&origin_folder(&env.lake()));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), kept.len());

    let output = follow(&["--json", "--events", "-"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = follow(&["--webhook", "ftp://x"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
