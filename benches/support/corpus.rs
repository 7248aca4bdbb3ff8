//! Documents and names to work on: real ones from files that the environment names, else generated ones.

use std::collections::BTreeMap;

use all_docs::npm::MAX_PAGE_ROWS;
use bytes::Bytes;

/// A document, and the name under which it is requested.
pub struct Document {
    pub name: String,
    pub bytes: Bytes,
}

/// Returns the documents of the file that `ALL_DOCS_CORPUS` names, one a line, sorted by name. Without it, returns
/// generated ones, whose figures compare with nothing.
pub fn documents() -> Vec<Document> {
    let text = match std::env::var_os("ALL_DOCS_CORPUS") {
        Some(path) => std::fs::read(path).unwrap(),
        None => generated(),
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut documents: Vec<Document> =
        lines.map(|line| Document { name: name_of(line), bytes: Bytes::copy_from_slice(line) }).collect();
    documents.sort_by(|one, other| one.name.cmp(&other.name));
    documents
}

/// Returns the name in a document.
pub fn name_of(line: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    serde_json::from_slice::<Named>(line).unwrap().name
}

/// Returns the names of the file that `ALL_DOCS_NAMES` names, a JSON string a line, sorted. Without it, returns two
/// pages of generated ones of the lengths of npm's (17 bytes in the mean, half of them scoped).
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = match std::env::var_os("ALL_DOCS_NAMES") {
        Some(path) => {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
        None => (0..2 * MAX_PAGE_ROWS)
            .map(|number| match number % 2 {
                0 => format!("@scope-{:03}/package-{number:05}", number / 100),
                _ => format!("package-{number:06}"),
            })
            .collect(),
    };
    names.sort();
    names
}

/// Returns a revision as long as npm's are.
pub fn revision(number: usize) -> String {
    format!("{}-{:032x}", number % 90 + 1, (number as u128).pow(5))
}

/// Returns 200 packages of 20 versions each.
fn generated() -> Vec<u8> {
    let mut text = String::new();
    for package in 0..200 {
        let mut versions = serde_json::Map::new();
        let mut time = serde_json::Map::new();
        for patch in 0..20 {
            let version = format!("1.{package}.{patch}");
            let dependencies: BTreeMap<_, _> =
                (0..15).map(|index| (format!("dependency-{index}"), format!("^{}.0.{package}", patch / 5))).collect();
            versions.insert(version.clone(), serde_json::json!({
                "name": format!("package-{package}"), "version": version, "description": "A package of the bench.",
                "scripts": {"test": "node test.js", "build": "tsc -p ."}, "dependencies": dependencies,
                "license": "MIT", "dist": {"shasum": format!("{package:020x}{patch:020x}"),
                    "tarball": format!("https://registry.example/package-{package}/-/package-{package}-{patch}.tgz")},
                "_npmUser": {"name": "someone", "email": "someone@example.org"},
            }));
            time.insert(version, format!("2021-03-04T05:{patch:02}:07.089Z").into());
        }
        let document = serde_json::json!({"_id": format!("package-{package}"), "_rev": "1-0",
            "name": format!("package-{package}"), "dist-tags": {"latest": format!("1.{package}.19")},
            "versions": versions, "time": time});
        text.push_str(&document.to_string());
        text.push('\n');
    }
    text.into_bytes()
}
