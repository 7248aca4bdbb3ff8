//! Odd bodies: those that are no packument, no JSON, or JSON that libraries refuse.
//!
//! Not here: packuments with odd members (`fields.rs`, `version_fields.rs`).

use super::super::small::small_revision;
use super::OddDocument;
use super::large::document_with_versions;
use super::ordinary_document;

/// Deeper than any recursive parser can go.
const DEEP_LEVELS: usize = 100_000;

struct Bodies(Vec<OddDocument>);

impl Bodies {
    fn add(&mut self, catalogue_row: u8, name: &str, bytes: impl Into<Vec<u8>>) {
        let revision = small_revision(name);
        self.0.push(OddDocument { name: name.to_owned(), catalogue_row, revision, bytes: bytes.into() });
    }

    /// Adds the ordinary document with one piece of text replaced by bytes.
    fn patch(&mut self, catalogue_row: u8, name: &str, from: &str, to: impl AsRef<[u8]>) {
        let ordinary = ordinary_document(name, &small_revision(name));
        let (before, after) = ordinary.split_once(from).unwrap_or((&ordinary, ""));
        self.add(catalogue_row, name, [before.as_bytes(), to.as_ref(), after.as_bytes()].concat());
    }
}

pub(super) fn documents() -> Vec<OddDocument> {
    let mut bodies = Bodies(Vec::new());
    not_a_packument(&mut bodies);
    strings(&mut bodies);
    keys_and_numbers(&mut bodies);
    bodies.add(12, "quirk-version-count-300", document_with_versions("quirk-version-count-300", 300));
    bodies.patch(54, "quirk-large", "Reads well", "Reads well and very long. ".repeat(40_000));
    let stars: Vec<String> = (0..5_000).map(|user| format!("\"user-{user}\":true")).collect();
    bodies.patch(56, "quirk-users-many", r#""readme":"#, format!(r#""users":{{{}}},"readme":"#, stars.join(",")));
    // Published again after it was unpublished: only the revision shows it.
    let name = "quirk-published-again";
    let revision = "9-00000000000000000000000000000000".to_owned();
    let again = ordinary_document(name, &revision).into_bytes();
    bodies.0.push(OddDocument { name: name.to_owned(), catalogue_row: 55, revision, bytes: again });
    let name = "quirk-rev-older-than-announced";
    let older = ordinary_document(name, "2-00000000000000000000000000000000").into_bytes();
    let revision = "5-00000000000000000000000000000000".to_owned();
    bodies.0.push(OddDocument { name: name.to_owned(), catalogue_row: 0, revision, bytes: older });
    bodies.0
}

fn not_a_packument(bodies: &mut Bodies) {
    bodies.add(1, "quirk-body-string", r#""Not Found""#);
    bodies.add(1, "quirk-body-null", "null");
    bodies.add(1, "quirk-body-number", "0");
    bodies.add(1, "quirk-body-array", "[]");
    bodies.add(1, "quirk-body-empty", "");
    bodies.add(1, "quirk-body-empty-object", "{}");
    bodies.add(1, "quirk-body-html", "<!doctype html>\n<title>npm</title>\n");
    bodies.add(1, "quirk-body-error-object", r#"{"error":"internal","reason":"timeout"}"#);
    bodies.patch(2, "quirk-body-cut", r#""readme""#, "");
    bodies.patch(2, "quirk-body-followed-by-more", r#""license":"MIT"}"#, r#""license":"MIT"}{"#);
    bodies.patch(2, "quirk-raw-control-character", "An ordinary", "An \n\u{1} ordinary");
    bodies.add(
        2,
        "quirk-deep",
        format!(r#"{{"name":"quirk-deep","readme":{}1{}}}"#, "[".repeat(DEEP_LEVELS), "]".repeat(DEEP_LEVELS)),
    );
}

fn strings(bodies: &mut Bodies) {
    bodies.patch(3, "quirk-lone-surrogate", "An ordinary package", r"lone \ud800 and \udc00 reversed");
    bodies.patch(3, "quirk-lone-surrogate-at-the-end", "An ordinary package", r"cut \ud83d");
    bodies.patch(3, "quirk-lone-surrogate-in-key", r#""ordinary":"#, r#""ordinary\ud800":"#);
    bodies.patch(
        3,
        "quirk-lone-surrogate-in-version",
        r#"{"1.0.0":{"#,
        r#"{"1.0.0\udfff":{"version":"1.0.0\udfff"},"1.0.0":{"#,
    );
    bodies.patch(4, "quirk-nul", "An ordinary package", r"before\u0000after");
    bodies.patch(4, "quirk-nul-in-key", r#""ordinary":"#, r#""ord\u0000inary":"#);
    bodies.patch(5, "quirk-byte-order-mark", r#"{"_id""#, "\u{feff}{\"_id\"");
    bodies.patch(5, "quirk-byte-order-mark-in-string", "Reads well", "\u{feff}Reads well");
    bodies.patch(5, "quirk-invalid-utf-8", "An ordinary package", b"caf\xe9 \xff\xc0\x80");
    bodies.patch(5, "quirk-invalid-utf-8-in-key", "ordinary\":", b"ordin\xe4ry\":");
    bodies.patch(5, "quirk-invalid-utf-8-surrogate", "An ordinary package", b"\xed\xa0\x80");
}

fn keys_and_numbers(bodies: &mut Bodies) {
    bodies.patch(6, "quirk-duplicate-key", r#""readme":"#, r#""license":"ISC","license":"BSD","readme":"#);
    bodies.patch(
        6,
        "quirk-duplicate-version",
        r#"{"1.0.0":{"#,
        r#"{"1.0.0":{"version":"1.0.0","license":"first"},"1.0.0":{"#,
    );
    bodies.patch(
        6,
        "quirk-duplicate-versions",
        r#""versions":"#,
        r#""versions":{"0.0.1":{"version":"0.0.1"}},"versions":"#,
    );
    bodies.patch(
        6,
        "quirk-duplicate-dependency",
        r#""ordinary":"^1.0.0""#,
        r#""ordinary":"^1.0.0","ordinary":"^2.0.0""#,
    );
    bodies.patch(6, "quirk-duplicate-key-escaped", r#""readme":"#, r#""lic\u0065nse":"ISC","readme":"#);
    bodies.patch(6, "quirk-key-case", r#""license":"#, r#""License":"#);
    bodies.patch(
        6,
        "quirk-key-misspelt",
        r#""dependencies":"#,
        r#""dependancies":{"a":"1"},"devdependencies":{"b":"1"},"dependencies":"#,
    );
    bodies.patch(10, "quirk-number-huge", r#""fileCount":3"#, format!(r#""fileCount":1{}"#, "0".repeat(400)));
    bodies.patch(10, "quirk-number-huge-exponent", r#""unpackedSize":2048"#, r#""unpackedSize":1e400"#);
    bodies.patch(
        10,
        "quirk-number-long-fraction",
        r#""unpackedSize":2048"#,
        format!(r#""unpackedSize":2048.{}"#, "0".repeat(400)),
    );
    bodies.patch(31, "quirk-description-long", "An ordinary package", "A long story. ".repeat(5000));
    bodies.patch(32, "quirk-readme-long", "Reads well", "Reads well and long. ".repeat(20_000));
    bodies.patch(0, "quirk-white-space", r#"{"_id":"#, "\r\n\t {\n  \"_id\" :\t");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_found_its_place() {
        for document in documents() {
            let ordinary = ordinary_document(&document.name, &document.revision);
            if document.name == "quirk-published-again" {
                continue;
            }
            assert_ne!(document.bytes, ordinary.as_bytes(), "{}", document.name);
            let cut_on_purpose = document.name == "quirk-body-cut";
            let begins_alike = document.bytes.starts_with(b"{\"_id\":\"quirk");
            assert!(!begins_alike || cut_on_purpose || document.bytes.contains(&b'}'), "{}", document.name);
        }
    }
}
