//! The outputs of events as processes see them, and what is left when they end; damaged events and records of following.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Output, Stdio};

use all_docs::sample::World;
use all_docs::table::events::events_of;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::happenings::{events, files};
use crate::support::{Env, origin_folder, run_binary, stderr, stdout};

fn filled() -> Env {
    let mut world = World::seeded(93, 30);
    world.publish("ours", "1.0.0");
    let env = Env::new(world);
    let output = env.ingest_command(&["m"]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    env
}

fn once(env: &Env, arguments: &[&str]) -> Output {
    env.follow_command(&[&["--once"], arguments].concat()).output().unwrap()
}

fn command(env: &Env, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run_binary(env.folder.path(), arguments);
    (output.status.code(), stdout(&output) + &stderr(&output))
}

fn publish(env: &Env, version: &str) {
    env.server.world().publish("ours", version);
}

/// Returns the versions that were published, by the files of days alone.
fn published(origin: &Path) -> Vec<String> {
    let mut versions = Vec::new();
    for path in files(&origin.join("events")) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
        for event in reader.build().unwrap().flat_map(|batch| events_of(&batch.unwrap()).unwrap()) {
            versions.extend(event.version.filter(|_| event.event == "version_published"));
        }
    }
    versions
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_follower_and_the_days_have_all_events() {
    let env = filled();
    publish(&env, "9.0.0");
    let mut child = env
        .follow_command(&["--interval", "1s", "--quiet", "--events", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"id\":"), "{line}");
    // The reader has closed the pipe.
    publish(&env, "9.1.0");
    let code = child.wait().unwrap().code();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((code, told.as_str()), (Some(0), ""));
    publish(&env, "9.2.0");
    // A follower without outputs, and an ingest: the days have the events, and nothing waits in the feed.
    let origin = origin_folder(&env.lake());
    assert_eq!(once(&env, &[]).status.code(), Some(0));
    publish(&env, "9.3.0");
    assert!(matches!(env.ingest_command(&["m"]).output().unwrap().status.code(), Some(0 | 6)));
    assert_eq!(published(&origin), ["9.0.0", "9.1.0", "9.2.0", "9.3.0"]);
    assert_eq!(files(&origin.join("feed")), [origin.join("feed/outputs.json")]);
    assert_eq!(command(&env, &["verify"]).0, Some(0));
    // An output that comes back gets what it has not received, in order.
    publish(&env, "9.4.0");
    assert_eq!(once(&env, &["--events-file", "events.ndjson"]).status.code(), Some(0));
    let lines = std::fs::read_to_string(env.folder.path().join("events.ndjson")).unwrap();
    let delivered: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let versions = delivered.iter().filter(|event| event["event"] == "version_published");
    let versions: Vec<&str> = versions.map(|event| event["version"].as_str().unwrap()).collect();
    assert!(versions.ends_with(&["9.1.0", "9.2.0", "9.3.0", "9.4.0"]), "{versions:?}");
    assert_eq!(published(&origin).len(), 5);
    assert!(files(&origin.join("feed")).is_empty());
}

#[test]
fn summaries_say_how_many_events_were_recorded() {
    let env = filled();
    let origin = origin_folder(&env.lake());
    publish(&env, "9.0.0");
    let output = once(&env, &["--json"]);
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let recorded = events(&origin).len();
    assert!(recorded > 0);
    assert_eq!((&lines[0]["events"], &lines[1]["counts"]["events"]), (&json!(recorded), &json!(recorded)));
    publish(&env, "9.1.0");
    let output = env.ingest_command(&["m"]).arg("--json").output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["counts"]["events_recorded"], json!(events(&origin).len() - recorded));
    publish(&env, "9.2.0");
    let told = stderr(&once(&env, &[]));
    assert_eq!(told.matches(&format!(" {recorded} events,")).count(), 2, "{told}");
}

#[test]
fn an_ingest_removes_days_that_are_older_than_it_keeps() {
    let env = filled();
    let origin = origin_folder(&env.lake());
    publish(&env, "9.0.0");
    let ingest = |arguments: &[&str]| env.ingest_command(&["m"]).args(arguments).output().unwrap().status.code();
    assert!(matches!(ingest(&[]), Some(0 | 6)));
    let today = files(&origin.join("events"));
    std::fs::copy(&today[0], origin.join("events/2020-01-01.parquet")).unwrap();
    assert!(matches!(ingest(&[]), Some(0 | 6)));
    assert_eq!(files(&origin.join("events")).len(), 2, "events are kept for ever");
    assert_eq!(ingest(&["--keep-events", "30"]), Some(2));
    assert!(matches!(ingest(&["--keep-events", "30d"]), Some(0 | 6)));
    assert_eq!(files(&origin.join("events")), today);
}

#[test]
fn damaged_events_of_a_day_hold_up_neither_a_round_nor_the_lake() {
    let env = filled();
    let origin = origin_folder(&env.lake());
    publish(&env, "9.0.0");
    assert_eq!(once(&env, &[]).status.code(), Some(0));
    let day = files(&origin.join("events")).remove(0);
    let sound = std::fs::read(&day).unwrap();
    std::fs::write(&day, &sound[..sound.len() - 30]).unwrap();
    publish(&env, "9.1.0");
    let output = once(&env, &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("warning: events wait") && told.contains("verify --repair"), "{told}");
    for arguments in [&["verify", "--quick"][..], &["verify"]] {
        let (code, told) = command(&env, arguments);
        assert!(code == Some(4) && told.contains(day.file_name().unwrap().to_str().unwrap()), "{told}");
    }
    let (code, told) = command(&env, &["verify", "--repair", "--origin", env.server.url()]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(once(&env, &[]).status.code(), Some(0));
    assert_eq!(published(&origin), ["9.1.0"], "the events that waited");
}

#[test]
fn damaged_records_are_found_and_set_aside() {
    let env = filled();
    let origin = origin_folder(&env.lake());
    assert_eq!(once(&env, &[]).status.code(), Some(0));
    std::fs::create_dir_all(origin.join("feed")).unwrap();
    for (record, text) in [("follow.json", "{\"format_ver"), ("feed/outputs.json", "{\"files\":3}")] {
        std::fs::write(origin.join(record), text).unwrap();
        for arguments in [&["verify", "--quick"][..], &["verify"]] {
            let (code, told) = command(&env, arguments);
            assert!(code == Some(4) && told.contains(record), "{told}");
        }
        let output = once(&env, &["--events-file", "events.ndjson"]);
        assert_eq!(output.status.code(), Some(4), "{record}");
        assert!(stderr(&output).contains("verify --repair"), "{}", stderr(&output));
        let (code, told) = command(&env, &["verify", "--repair", "--origin", env.server.url()]);
        assert_eq!(code, Some(0), "{told}");
        assert!(!origin.join(record).exists(), "{record}");
        publish(&env, &format!("9.{}.0", text.len()));
        let output = once(&env, &["--events-file", "events.ndjson"]);
        assert!(matches!(output.status.code(), Some(0 | 6)), "{record}: {}", stderr(&output));
        assert_eq!(command(&env, &["verify"]).0, Some(0));
    }
    // A record of a newer version is no damage that a repair mends.
    std::fs::write(origin.join("follow.json"), "{\"format_version\":999}").unwrap();
    command(&env, &["verify", "--repair", "--origin", env.server.url()]);
    assert!(origin.join("follow.json").exists());
}

#[test]
fn a_single_round_that_fails_promises_no_other() {
    let env = filled();
    let output = once(&env, &["--since", "99999999"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(!told.contains("tries again") && told.contains("beyond the registry's own place"), "{told}");
}

#[test]
fn status_tells_how_far_the_feed_was_followed() {
    let env = filled();
    let follow = || {
        let output = run_binary(env.folder.path(), &["status", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()[0]["follow"].clone()
    };
    let (code, told) = command(&env, &["status"]);
    assert!(code == Some(0) && told.contains("all-docs follow begins after "), "{told}");
    assert_eq!(follow()["read_at"], Value::Null);
    publish(&env, "9.0.0");
    assert_eq!(once(&env, &[]).status.code(), Some(0));
    let seq = env.server.world().counts().update_seq;
    let (code, told) = command(&env, &["status"]);
    assert!(code == Some(0) && told.contains(&format!("  follow        read up to {seq} at ")), "{told}");
    let of = follow();
    assert_eq!((&of["place"], &of["lag_places"], &of["lagging"]), (&json!(seq.to_string()), &json!(0), &json!(0)));
    assert!(of["read_at"].is_string() && of["lag_seconds"].is_u64(), "{of}");
    std::fs::write(origin_folder(&env.lake()).join("follow.json"), "{").unwrap();
    let (code, told) = command(&env, &["status"]);
    assert!(code == Some(0) && told.contains("the record of follow"), "{told}");
}
