//! The odd world: a document for each oddity that was found in the registry, named after it.
//!
//! The rows are those of the project's catalogue of quirks: 1 to 6 the body and its strings, 7 to 16 versions and tags,
//! 17 to 21 times and tombstones, 22 to 49 the fields of a package and of a version, 50 to 53 names, 54 to 60 size,
//! history and the rest; 0 is an oddity without a row. Not here: a reader's expected results.

mod bodies;
mod fields;
mod large;
mod names;
mod version_fields;

use super::document::Document;
use super::json::{Object, quoted};
use super::small::{small_revision, tarball_url};
use super::world::{Package, World};

/// A document of the odd world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddDocument {
    /// Its package's name, which describes the oddity: `quirk-license-array`.
    pub name: String,
    /// Its row in the catalogue of quirks; 0 if the catalogue does not list it.
    pub catalogue_row: u8,
    /// Its announced revision.
    pub revision: String,
    /// The bytes of its full form.
    pub bytes: Vec<u8>,
}

/// Returns all odd documents. It has small ones in place of those that are large on purpose; see
/// [`World::add_package_with_versions`] and [`World::add_package_of_size`].
pub fn odd_documents() -> Vec<OddDocument> {
    let edited = fields::FIELDS.iter().chain(version_fields::FIELDS).map(Oddity::document);
    edited.chain(bodies::documents()).chain(names::documents()).collect()
}

impl World {
    /// Makes a world of odd documents alone.
    pub fn odd() -> Self {
        let mut world = World::new();
        world.add_odd_documents();
        world
    }

    /// Adds all of [`odd_documents`].
    pub fn add_odd_documents(&mut self) {
        let odd = odd_documents().into_iter();
        self.extend(
            odd.map(|odd| Package::stored(&odd.name, &odd.revision, Document::from_bytes(odd.bytes.into()))).collect(),
        );
    }
}

/// An ordinary document with members changed.
struct Oddity {
    name: &'static str,
    catalogue_row: u8,
    edits: &'static [Edit],
}

/// A member and its raw JSON.
enum Edit {
    /// Of the package.
    Top(&'static str, &'static str),
    /// Of its only version, 1.0.0.
    Version(&'static str, &'static str),
    /// Of both, like the members that the registry takes over from the latest version.
    Both(&'static str, &'static str),
    /// Removed from both.
    Without(&'static str),
}

impl Oddity {
    fn document(&self) -> OddDocument {
        let revision = small_revision(self.name);
        let ordinary = ordinary_document(self.name, &revision);
        let mut document = Object::parse(ordinary.as_bytes()).unwrap_or_default();
        let mut entry = ordinary_version(self.name);
        for edit in self.edits {
            match edit {
                Edit::Top(member, raw) => document.set(member, *raw),
                Edit::Version(member, raw) => entry.set(member, *raw),
                Edit::Both(member, raw) => {
                    document.set(member, *raw);
                    entry.set(member, *raw);
                }
                Edit::Without(member) => {
                    document.remove(member);
                    entry.remove(member);
                }
            }
        }
        let replaces_versions = self.edits.iter().any(|edit| matches!(edit, Edit::Top("versions", _)));
        if document.get("versions").is_some() && !replaces_versions {
            document.set("versions", format!("{{\"1.0.0\":{entry}}}"));
        }
        let bytes = document.to_string().into_bytes();
        OddDocument { name: self.name.to_owned(), catalogue_row: self.catalogue_row, revision, bytes }
    }
}

/// Returns a package without oddities: one version, all the usual members.
fn ordinary_document(name: &str, revision: &str) -> String {
    format!(
        concat!(
            r#"{{"_id":{id},"_rev":{revision},"name":{id},"description":"An ordinary package","#,
            r#""dist-tags":{{"latest":"1.0.0"}},"versions":{{"1.0.0":{entry}}},"#,
            r#""time":{{"created":"2019-05-05T05:05:05.050Z","modified":"2020-06-06T06:06:06.060Z","#,
            r#""1.0.0":"2019-05-05T05:05:06.060Z"}},"maintainers":[{{"name":"odd","email":"odd@example.com"}}],"#,
            r#""readme":"Reads well","readmeFilename":"README.md","license":"MIT"}}"#
        ),
        id = quoted(name),
        revision = quoted(revision),
        entry = ordinary_version(name),
    )
}

fn ordinary_version(name: &str) -> Object<'static> {
    let mut entry = Object::default();
    entry.set_string("name", name);
    entry.set_string("version", "1.0.0");
    for (member, raw) in [
        ("description", r#""An ordinary package""#),
        ("main", r#""index.js""#),
        ("license", r#""MIT""#),
        ("scripts", r#"{"test":"node test.js"}"#),
        ("dependencies", r#"{"ordinary":"^1.0.0"}"#),
        ("engines", r#"{"node":">=10"}"#),
        ("_nodeVersion", r#""12.0.0""#),
        ("_npmVersion", r#""6.9.0""#),
        ("_npmUser", r#"{"name":"odd","email":"odd@example.com"}"#),
        ("maintainers", r#"[{"name":"odd","email":"odd@example.com"}]"#),
    ] {
        entry.set(member, raw);
    }
    let tarball = quoted(&tarball_url(name, "1.0.0"));
    entry.set(
        "dist",
        format!(
            concat!(
                r#"{{"integrity":"sha512-{zeros}A==","shasum":"{digest:040}","tarball":{tarball},"#,
                r#""fileCount":3,"unpackedSize":2048,"signatures":[{{"keyid":"SHA256:odd","sig":"MEQ"}}]}}"#
            ),
            zeros = "A".repeat(85),
            digest = name.len(),
            tarball = tarball
        ),
    );
    entry
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_of_the_catalogue_has_documents_with_names_of_their_own() {
        let documents = odd_documents();
        let rows: BTreeSet<u8> = documents.iter().map(|document| document.catalogue_row).collect();
        assert_eq!(rows, (0..=60).collect());
        let names: BTreeSet<&str> = documents.iter().map(|document| document.name.as_str()).collect();
        assert_eq!(names.len(), documents.len());
        assert_eq!(World::odd().counts().packages, documents.len());
    }

    #[test]
    fn edited_documents_are_json_and_differ_from_the_ordinary_one() {
        for document in fields::FIELDS.iter().chain(version_fields::FIELDS).map(Oddity::document) {
            let parsed: serde_json::Value = serde_json::from_slice(&document.bytes).unwrap();
            assert_eq!(parsed["_id"], document.name.as_str());
            let ordinary = ordinary_document(&document.name, &document.revision);
            assert_ne!(document.bytes, ordinary.as_bytes(), "{}", document.name);
        }
    }

    #[test]
    fn large_documents_have_the_wanted_size() {
        let mut world = World::new();
        world.add_package_with_versions("many", 40_000);
        world.add_package_of_size("large", 1_000_000);
        let many: serde_json::Value = serde_json::from_slice(&world.document("many").unwrap()).unwrap();
        assert_eq!(many["versions"].as_object().unwrap().len(), 40_000);
        assert_eq!(many["time"].as_object().unwrap().len(), 40_002);
        assert!(many["versions"].get(many["dist-tags"]["latest"].as_str().unwrap()).is_some());
        let large = world.document("large").unwrap();
        assert_eq!(large.len(), 1_000_000);
        assert!(serde_json::from_slice::<serde_json::Value>(&large).is_ok());
    }
}
