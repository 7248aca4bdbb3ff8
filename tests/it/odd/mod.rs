//! Every odd document of the sample's odd world after a real ingest: its outcome, its quirks, and every column that
//! differs from an ordinary document. The test reads them from the lake's Parquet and compares them with
//! `expected.txt`.
//!
//! After an intended change, run with `ALL_DOCS_UPDATE_EXPECTED=1` and read the difference.

mod rows;

use std::path::Path;

use all_docs::sample::{OddDocument, World, odd_documents};
use all_docs::table::TableKind;
use percent_encoding::percent_decode_str;

use crate::support::Env;
use rows::{Rows, describe};

/// The ordinary document that the odd ones are compared with.
const ORDINARY: &str = "quirk.js";

async fn odd_lake() -> Env {
    let env = Env::new(World::odd());
    env.ingest(&["@", "a", "quirk-d", "quirk-r"]).await;
    env
}

fn is_reachable(name: &str) -> bool {
    !name.split('/').any(|part| matches!(part, "" | "." | ".."))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_odd_document_has_the_rows_quirks_and_outcome_that_are_expected() {
    let env = odd_lake().await;
    let rows = Rows::read(&env);
    let ordinary = odd_documents().into_iter().find(|document| document.name == ORDINARY).unwrap();
    let mut told = String::new();
    for document in odd_documents() {
        told.push_str(&describe(&rows, &document, &ordinary));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/odd/expected.txt");
    if std::env::var_os("ALL_DOCS_UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (told, expected) in told.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_accounted_for_and_every_document_is_kept_byte_for_byte() {
    let env = odd_lake().await;
    let rows = Rows::read(&env);
    let mut documents = odd_documents();
    documents.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<&str> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(env.names(TableKind::Docs), names);
    assert_eq!(env.names(TableKind::Outcomes), names);
    for OddDocument { name, bytes, .. } in &documents {
        match rows.document(name) {
            Some(kept) => assert_eq!(&kept, bytes, "{name}"),
            None => assert!(matches!(rows.outcome(name).as_str(), "blocked" | "failed"), "{name}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_to_another_address() {
    let env = odd_lake().await;
    for request in env.server.requests() {
        let clear = percent_decode_str(&request.path).decode_utf8().unwrap();
        let package = clear.strip_prefix('/').unwrap();
        assert!(package.is_empty() || package == "_all_docs" || is_reachable(package), "{}", request.path);
        if let Some(asked) = request.package {
            assert_eq!(asked, package, "{}", request.path);
        }
    }
    let rows = Rows::read(&env);
    let names = env.names(TableKind::Docs);
    let blocked: Vec<_> = names.iter().filter(|name| rows.outcome(name) == "blocked").collect();
    assert_eq!(blocked, names.iter().filter(|name| !is_reachable(name)).collect::<Vec<_>>());
    assert!(blocked.len() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_equal_but_for_case_are_packages_of_their_own() {
    let env = odd_lake().await;
    let packages = env.names(TableKind::Packages);
    for name in ["QUIRK-CASE", "Quirk-Case", "quirk-case", "@Quirk/Upper", "@quirk/upper", "__proto__", "constructor"] {
        assert_eq!(packages.iter().filter(|package| *package == name).count(), 1, "{name}");
    }
}
