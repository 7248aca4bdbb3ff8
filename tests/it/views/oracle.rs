//! Every view against the rows that Apache CouchDB itself emitted for the same 878 documents.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use all_docs::lake::OriginInfo;
use all_docs::pipeline::read_lake;
use all_docs::query::{Format, Session, SessionOptions, TableOptions, write};
use all_docs::registry::Origin;
use all_docs::sample::World;
use serde_json::{Value, json};

use crate::support::{Env, ORIGIN, run, shared_corpus};

/// Each view, and the views of CouchDB that it replaces. `norevs` and `conflicts` need data that the registry no longer
/// serves.
const VIEWS: [(&str, &[&str]); 29] = [
    ("all_versions", &["allVersions"]),
    ("analytics", &["analytics"]),
    ("browse_all", &["browseAll"]),
    ("browse_authors", &["browseAuthors", "npmTop"]),
    ("browse_authors_recent", &["browseAuthorsRecent"]),
    ("browse_star_package", &["browseStarPackage"]),
    ("browse_star_user", &["browseStarUser"]),
    ("browse_updated", &["browseUpdated"]),
    ("by_engine", &["byEngine"]),
    ("by_field", &["byField"]),
    ("by_keyword", &["byKeyword"]),
    ("by_user", &["byUser"]),
    ("count_versions", &["countVersions"]),
    ("depended_upon", &["dependedUpon"]),
    ("dependent_versions", &["dependentVersions"]),
    ("fields_in_use", &["fieldsInUse"]),
    ("list_all", &["listAll"]),
    ("mixed_case", &["mixedcase"]),
    ("modified_package", &["modified", "modifiedPackage"]),
    ("need_build", &["needBuild"]),
    ("no_attachment", &["noAttachment"]),
    ("no_shasum", &["noShasum"]),
    ("node_waf_install", &["nodeWafInstall"]),
    ("odd_host", &["oddhost"]),
    ("orphan_attachments", &["orphanAttachments"]),
    ("scripts_of_latest", &["scripts"]),
    ("starred_by_package", &["starredByPackage"]),
    ("starred_by_user", &["starredByUser"]),
    ("updated", &["updated"]),
];

/// A row as CouchDB returns it: the key and the value, as JSON with sorted members.
type Row = (String, String);

#[tokio::test(flavor = "multi_thread")]
async fn every_view_has_the_rows_that_couchdb_emitted() {
    let Some(corpus) = shared_corpus() else { return };
    let emitted = emitted(&corpus.with_file_name("oracle").join("views.ndjson.zst"));
    let env = Env::new(World::from_ndjson([&corpus.join("packuments.ndjson.zst")]).unwrap());
    let mut options = env.options(&["c", "g", "p"]);
    // The documents came from npm, and so do the addresses of their archives.
    let npm = Origin::npm().unwrap();
    options.origin_info =
        OriginInfo { replicate_url: npm.replicate_url.to_string(), registry_url: npm.registry_url.to_string() };
    run(options).await.unwrap();
    let store = env.store();
    let info = read_lake(&store).await.unwrap().unwrap();
    let session = Session::open(&store, &info, &SessionOptions::default()).unwrap();
    let documents = documents(&session).await;

    let mut table = String::from("view                     couchdb                ours  theirs\n");
    let mut differing = Vec::new();
    let mut seconds = 0.0;
    for (view, theirs) in VIEWS {
        let started = Instant::now();
        let rows = ask(&session, &format!("select * from {ORIGIN}.{view}")).await;
        seconds += started.elapsed().as_secs_f64();
        for couchdb in theirs {
            // The map function of browseAuthors emitted the rows of npmTop, and was recorded once.
            let expected = emitted.get(*couchdb).cloned().unwrap_or_default();
            if expected.is_empty() && *couchdb == "browseAuthors" {
                continue;
            }
            let ours = counted(rows.iter().map(|row| row_of(couchdb, row, &documents)));
            table.push_str(&format!(
                "{view:<24} {couchdb:<20} {:>6}  {:>6}{}\n",
                ours.values().sum::<usize>(),
                expected.values().sum::<usize>(),
                if ours == expected { "" } else { "  differ" }
            ));
            if ours != expected {
                let missing = expected.iter().find(|(row, count)| ours.get(row) != Some(count));
                let surplus = ours.iter().find(|(row, count)| expected.get(row) != Some(count));
                differing.push(format!("{couchdb}: CouchDB has {missing:?}, {view} has {surplus:?}"));
            }
        }
    }
    eprintln!("{table}all views in {seconds:.2} s");
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(session.queries().views().count(), VIEWS.len());
}

/// Returns the rows that CouchDB emitted, by view, each with its count.
fn emitted(path: &Path) -> HashMap<String, HashMap<Row, usize>> {
    let file = std::fs::File::open(path).unwrap();
    let mut decoder = zstd::Decoder::new(file).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut views: HashMap<String, HashMap<Row, usize>> = HashMap::new();
    for line in BufReader::new(decoder).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let row = (sorted(&line["key"]), sorted(&line["value"]));
        *views.entry(line["view"].as_str().unwrap().to_owned()).or_default().entry(row).or_default() += 1;
    }
    views
}

fn counted(rows: impl Iterator<Item = Row>) -> HashMap<Row, usize> {
    let mut counts = HashMap::new();
    for row in rows {
        *counts.entry(row).or_default() += 1;
    }
    counts
}

/// Returns the parts of CouchDB's values beside the columns of a view: the maintainers of each package, and the members
/// that one map function wrote into the latest version, because it shared the document with the others.
struct Beside {
    maintainers: Value,
    written: Vec<(String, Value)>,
}

async fn documents(session: &Session) -> HashMap<String, Beside> {
    let sql = "select name, json_get_json(json, 'maintainers') as maintainers,
        json_get_json(latest_version_json(json), 'scripts') as scripts,
        json_get_json(latest_version_json(json), 'directories') as directories from packuments";
    let read = |text: &Value| -> Value { serde_json::from_str(text.as_str().unwrap_or("null")).unwrap() };
    let mut documents = HashMap::new();
    for row in ask(session, sql).await {
        let mut written = Vec::new();
        for member in ["scripts", "directories"] {
            for (key, value) in read(&row[member]).as_object().into_iter().flatten() {
                written.push((format!("{member}.{key}"), value.clone()));
            }
        }
        let beside = Beside { maintainers: read(&row["maintainers"]), written };
        documents.insert(row["name"].as_str().unwrap().to_owned(), beside);
    }
    documents
}

/// Returns a row of ours as the view `couchdb` emitted it.
fn row_of(couchdb: &str, row: &Value, documents: &HashMap<String, Beside>) -> Row {
    let all = |columns: &[&str]| Value::Array(columns.iter().map(|column| row[*column].clone()).collect());
    let beside = || &documents[row["name"].as_str().unwrap()];
    let document = |column: &str| -> Value { serde_json::from_str(row[column].as_str().unwrap()).unwrap() };
    let with_maintainers = |mut value: Value| {
        // A value that JavaScript does not have is not in its JSON.
        if !beside().maintainers.is_null() {
            value["maintainers"] = beside().maintainers.clone();
        }
        value
    };
    let at = time(&row["updated_at"]);
    let name = row["name"].clone();
    let (key, value) = match couchdb {
        "allVersions" => (all(&["version", "name"]), json!(1)),
        "analytics" => (all(&["type", "year", "month", "day", "name"]), json!(1)),
        "browseAll" => (all(&["name", "description"]), json!(1)),
        "npmTop" => (json!([row["maintainer"], name, row["description"], at]), json!(1)),
        "browseAuthorsRecent" => (json!([at, row["publisher"], name, row["description"]]), json!(1)),
        "browseStarPackage" => (all(&["name", "description", "user"]), json!(1)),
        "browseStarUser" => (all(&["user", "name", "description"]), json!(1)),
        "browseUpdated" => (json!([at, name, row["description"]]), json!(1)),
        "byEngine" => (name, json!([document("engines_json"), beside().maintainers])),
        "byField" => {
            let mut value = with_maintainers(document("latest_json"));
            for (member, written) in &beside().written {
                value[member] = written.clone();
            }
            (name, value)
        }
        "byKeyword" => (all(&["keyword", "name", "description"]), json!(1)),
        "byUser" => (row["maintainer"].clone(), name),
        "countVersions" => (all(&["version_count", "name"]), json!(1)),
        "dependedUpon" => (all(&["dependency", "name", "description"]), json!(1)),
        "dependentVersions" => (all(&["dependency", "requirement", "name"]), json!(1)),
        "fieldsInUse" => (row["field"].clone(), json!(1)),
        "listAll" => (name, Value::Null),
        "mixedcase" => (name, json!(1)),
        "modified" => (row["modified_ms"].clone(), Value::Null),
        "modifiedPackage" => (all(&["name", "modified_ms"]), Value::Null),
        "needBuild" => (row["id"].clone(), document("bin_json")),
        "noAttachment" | "oddhost" => (all(&["name", "version", "tarball_url"]), json!(1)),
        "nodeWafInstall" => (name, row["id"].clone()),
        "scripts" => (name, with_maintainers(document("scripts_json"))),
        "starredByPackage" => (name, row["user"].clone()),
        "starredByUser" => (row["user"].clone(), name),
        "updated" => (at, json!(1)),
        // CouchDB emitted nothing for the rest, and neither do we.
        other => (json!(other), row.clone()),
    };
    (sorted(&key), sorted(&value))
}

/// Returns a time as JavaScript writes it.
fn time(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return Value::Null };
    let time: jiff::Timestamp = text.parse().unwrap();
    Value::String(time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

/// Returns JSON with the members of every object in order.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, String> = members.iter().map(|(key, value)| (key, sorted(value))).collect();
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Returns the rows of a statement as JSON.
pub async fn ask(session: &Session, sql: &str) -> Vec<Value> {
    let stream = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let mut text = Vec::new();
    let written = write(stream, Format::Ndjson, &mut text, &TableOptions::default()).await;
    written.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}
