//! CouchDB's own responses, replayed: the sample returns the same for a known listing and a known history.
//!
//! The files are read from `ALL_DOCS_SHARED`, or `../shared` beside the project; without them the tests report that
//! they are skipped.
#![allow(clippy::print_stderr)]

use std::io::BufRead;
use std::path::PathBuf;

use serde_json::Value;

use super::super::feed_faults::FeedPlay;
use super::super::{all_docs, changes};
use super::*;

/// Returns a shared file's path, or `None` when it does not exist.
fn shared_path(path: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let path = std::env::var_os("ALL_DOCS_SHARED").map_or(beside, PathBuf::from).join(path);
    if !path.is_file() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn shared_lines(path: &str) -> Option<Vec<Value>> {
    let mut decoder = zstd::Decoder::new(std::fs::File::open(shared_path(path)?).unwrap()).unwrap();
    decoder.window_log_max(31).unwrap();
    let lines = std::io::BufReader::new(decoder).lines();
    Some(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect())
}

/// Returns the part after `?` when npm knows all its parameters, each with a value that CouchDB accepted.
fn query_that_npm_accepts<'a>(request: &'a Value, path: &str, known: &[&str]) -> Option<&'a str> {
    if request["method"] != "GET" || request["status"] != 200 {
        return None;
    }
    let (asked, query) = request["path"].as_str()?.split_once('?')?;
    let accepted = query.split(['&', ';']).all(|pair| {
        let name = pair.split('=').next().unwrap();
        known.contains(&name)
            && pair != "since=now"
            && pair != "since=-1"
            && !pair.starts_with("limit=-")
            && !pair.starts_with("limit=999999")
    });
    (asked.ends_with(path) && accepted).then_some(query)
}

#[test]
fn all_docs_answers_as_couchdb_does() {
    let (Some(names), Some(requests)) =
        (shared_lines("corpus/names.ndjson.zst"), shared_lines("oracle/all_docs.ndjson.zst"))
    else {
        return;
    };
    let mut world = World::new();
    world.add_names(names.iter().map(|name| name.as_str().unwrap()));
    assert_eq!(world.counts().packages, names.len());

    let known = [
        "startkey",
        "start_key",
        "endkey",
        "end_key",
        "key",
        "keys",
        "startkey_docid",
        "inclusive_end",
        "descending",
        "limit",
    ];
    let mut replayed = 0;
    for request in &requests {
        let Some(query) = query_that_npm_accepts(request, "/_all_docs", &known) else { continue };
        let unlimited = !query.contains("limit=") && !query.contains("key=");
        if unlimited {
            continue; // CouchDB has no default limit
        }
        let answered: Value = serde_json::from_str(&all_docs::page(&world, query).unwrap()).unwrap();
        let rows = answered["rows"].as_array().unwrap();
        let part = |row: &Value| [row["id"].clone(), row["key"].clone(), row["error"].clone()];
        let expected = match request["body"].as_str() {
            None => {
                let ids: Vec<_> = rows.iter().map(|row| row["id"].clone()).collect();
                assert_eq!(Value::Array(ids), request["ids"], "{query}");
                request.clone()
            }
            Some(body) => {
                // One row a line; bodies are kept to a length, so the last line may be cut.
                let (head, kept) = body.split_once("\r\n").unwrap();
                let kept: Vec<_> =
                    kept.lines().map_while(|row| serde_json::from_str(row.trim_end_matches(',')).ok()).collect();
                assert!(body.ends_with("]}\n") || kept.len() > 100, "{query}");
                assert!(rows.len() == kept.len() || !body.ends_with("]}\n"), "{query}");
                assert_eq!(
                    rows.iter().take(kept.len()).map(part).collect::<Vec<_>>(),
                    kept.iter().map(part).collect::<Vec<_>>(),
                    "{query}"
                );
                serde_json::from_str(&format!("{head}]}}")).unwrap()
            }
        };
        assert_eq!(answered["total_rows"], expected["total_rows"], "{query}");
        assert_eq!(answered["offset"], expected["offset"], "{query}");
        replayed += 1;
    }
    assert!(replayed > 120, "only {replayed} requests were replayed");
}

#[test]
fn requests_that_couchdb_refuses_are_refused() {
    let Some(requests) = shared_lines("oracle/all_docs.ndjson.zst") else { return };
    let world = small_world();
    for request in requests.iter().filter(|request| request["method"] == "GET" && request["status"] == 400) {
        let query = request["path"].as_str().unwrap().split_once('?').unwrap().1;
        if query.contains("keys=") && query.contains("startkey=") {
            continue; // incompatible in CouchDB; what npm says of the two is not known
        }
        assert!(all_docs::page(&world, query).is_err(), "{query}");
    }
}

#[test]
fn changes_answers_as_couchdb_does() {
    let Some(requests) = shared_lines("oracle/changes.ndjson.zst") else { return };
    let history: Value = serde_json::from_str(requests[0]["body"].as_str().unwrap()).unwrap();
    let mut world = World::new();
    for row in history["results"].as_array().unwrap() {
        let (name, revision) = (row["id"].as_str().unwrap(), row["changes"][0]["rev"].as_str().unwrap());
        world.put_raw(name, revision, "{}");
        if row["deleted"] == true {
            world.delete(name);
            world.departed.get_mut(name).unwrap().revision = revision.to_owned();
        }
    }
    // Moves first to a free range, so no number is taken.
    for offset in [1000, 0] {
        for row in history["results"].as_array().unwrap() {
            assert!(world.place_change_at(row["id"].as_str().unwrap(), row["seq"].as_u64().unwrap() + offset));
        }
    }
    world.set_update_seq(history["last_seq"].as_u64().unwrap());

    let mut replayed = 0;
    for request in &requests {
        let Some(query) = query_that_npm_accepts(request, "/_changes", &["since", "limit", "descending"]) else {
            continue;
        };
        let expected: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
        let answered: Value =
            serde_json::from_str(&changes::page(&world, query, &mut FeedPlay::default()).unwrap()).unwrap();
        assert_eq!(answered, expected, "{query}");
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} requests were replayed");
}

#[test]
fn real_packuments_are_abbreviated_as_npm_does() {
    let (Some(full), Some(abbreviated)) =
        (shared_path("corpus/packuments.ndjson.zst"), shared_lines("corpus/abbreviated.ndjson.zst"))
    else {
        return;
    };
    let world = World::from_ndjson([&full]).unwrap();
    assert_eq!(world.counts().packages, 878);
    let mut compared = 0;
    // The two files were not taken at the same moment: the test compares what both have.
    for real in abbreviated.iter().take(200) {
        let Some(derived) = world.abbreviated_document(real["name"].as_str().unwrap()) else { continue };
        let derived: Value = serde_json::from_slice(&derived).unwrap();
        for (number, version) in derived["versions"].as_object().unwrap() {
            if let Some(expected) = real["versions"].get(number) {
                assert_eq!(version, expected, "{}@{number}", real["name"]);
                compared += 1;
            }
        }
    }
    assert!(compared > 3000, "only {compared} versions were compared");
}

#[test]
fn real_packuments_are_served_byte_for_byte() {
    let Some(path) = shared_path("corpus/packuments.ndjson.zst") else { return };
    let world = World::from_ndjson([&path]).unwrap();
    let mut decoder = zstd::Decoder::new(std::fs::File::open(&path).unwrap()).unwrap();
    decoder.window_log_max(31).unwrap();
    for line in std::io::BufReader::new(decoder).lines() {
        let line = line.unwrap();
        let head: Value = serde_json::from_str(&line).unwrap();
        let name = head["name"].as_str().unwrap();
        assert_eq!(world.document(name).unwrap(), line.as_bytes());
        if let Some(revision) = head["_rev"].as_str() {
            assert_eq!(world.revision(name).unwrap(), revision);
        }
    }
}
