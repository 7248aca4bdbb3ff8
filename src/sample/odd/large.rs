//! Documents that are large on purpose: many versions, many bytes.
//!
//! Not here: oddities of content.

use std::fmt::Write;

use super::super::json::quoted;
use super::super::small::{first_document, small_revision, version_entry};
use super::super::world::World;

const TIME: &str = "2022-02-02T02:02:02.020Z";

impl World {
    /// Adds a package with this many versions, 0.0.0, 0.0.1 and so on; the registry's largest have 37,000.
    pub fn add_package_with_versions(&mut self, name: &str, version_count: usize) {
        self.put_raw(name, &small_revision(name), document_with_versions(name, version_count));
    }

    /// Adds a package whose full document has exactly this many bytes, by the length of its readme. It never has fewer
    /// than the document needs without one.
    pub fn add_package_of_size(&mut self, name: &str, size_bytes: usize) {
        let revision = small_revision(name);
        let bare = first_document(name, &revision, "1.0.0", TIME);
        let readme = "r".repeat(size_bytes.saturating_sub(bare.len()));
        let document = bare.replacen(r#""readme":"""#, &format!(r#""readme":"{readme}""#), 1);
        self.put_raw(name, &revision, document);
    }
}

/// Returns a packument with this many small versions, a thousand to each minor number.
pub(super) fn document_with_versions(name: &str, version_count: usize) -> Vec<u8> {
    let number = |index: usize| format!("0.{}.{}", index / 1000, index % 1000);
    let (mut versions, mut times) = (String::new(), String::new());
    for index in 0..version_count {
        let comma = if index == 0 { "" } else { "," };
        let version = number(index);
        // Writing to a string cannot fail.
        let _ = write!(versions, "{comma}{}:{}", quoted(&version), version_entry(name, &version));
        let _ = write!(times, ",{}:\"{TIME}\"", quoted(&version));
    }
    format!(
        r#"{{"_id":{id},"_rev":{revision},"name":{id},"dist-tags":{{"latest":{latest}}},"versions":{{{versions}}},"time":{{"created":"{TIME}","modified":"{TIME}"{times}}}}}"#,
        id = quoted(name),
        revision = quoted(&small_revision(name)),
        latest = quoted(&number(version_count.saturating_sub(1))),
    )
    .into_bytes()
}
