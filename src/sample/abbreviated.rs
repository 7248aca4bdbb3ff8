//! The abbreviated form of a packument, derived from the full one as npm's documentation describes it.
//!
//! Not here: choosing the form of a response (`packument.rs`).

use bytes::Bytes;

use super::json::Object;

/// The members of a version that its abbreviated form keeps (npm/registry, `docs/responses/package-metadata.md`,
/// and `libc`, which is served though undocumented).
const KEPT: [&str; 21] = [
    "name",
    "version",
    "deprecated",
    "dependencies",
    "acceptDependencies",
    "optionalDependencies",
    "devDependencies",
    "bundleDependencies",
    "bundledDependencies",
    "peerDependencies",
    "peerDependenciesMeta",
    "bin",
    "directories",
    "dist",
    "engines",
    "_hasShrinkwrap",
    "hasInstallScript",
    "funding",
    "cpu",
    "os",
    "libc",
];

/// Empty values are left out, as a comparison with real abbreviated packuments shows.
const SAY_NOTHING: [&str; 4] = ["{}", "false", "\"\"", "null"];

const INSTALL_SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// Returns the abbreviated form. A document that cannot be understood is returned unchanged.
pub(super) fn abbreviate(full: &Bytes) -> Bytes {
    let Some(document) = Object::parse(full) else { return full.clone() };
    let mut short = Object::default();
    for name in ["name", "dist-tags"] {
        if let Some(raw) = document.get(name) {
            short.set(name, raw);
        }
    }
    if let Some(raw) = document.get("versions") {
        match Object::parse(raw.as_bytes()) {
            Some(versions) => short.set("versions", abbreviate_versions(&versions)),
            None => short.set("versions", raw),
        }
    }
    let modified = document.get_object("time").and_then(|time| time.get("modified").map(str::to_owned));
    if let Some(modified) = modified {
        short.set("modified", modified);
    }
    Bytes::from(short.to_string())
}

fn abbreviate_versions(versions: &Object<'_>) -> String {
    let mut short = Object::default();
    for (version, raw) in versions.iter() {
        let entry = Object::parse(raw.as_bytes()).map(|entry| abbreviate_version(&entry));
        short.push(version, entry.unwrap_or_else(|| raw.to_owned()));
    }
    short.to_string()
}

fn abbreviate_version(entry: &Object<'_>) -> String {
    let mut short = Object::default();
    for (name, raw) in entry.iter().filter(|(name, raw)| KEPT.contains(name) && !SAY_NOTHING.contains(raw)) {
        short.push(name, raw);
    }
    let scripts = entry.get_object("scripts");
    let installs = scripts.is_some_and(|scripts| INSTALL_SCRIPTS.iter().any(|name| scripts.get(name).is_some()));
    if installs && short.get("hasInstallScript").is_none() {
        short.set("hasInstallScript", "true");
    }
    short.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_installer_needs_remains() {
        let full = Bytes::from_static(
            br#"{"_id":"a","_rev":"1-a","name":"a","dist-tags":{"latest":"1.0.0"},"readme":"x","versions":{"1.0.0":
            {"name":"a","version":"1.0.0","description":"d","scripts":{"install":"x"},"directories":{},"dist":{"shasum":"s"}},
            "0.9.0":null},"time":{"modified":"2020-01-01T00:00:00.000Z","1.0.0":"2019"}}"#,
        );
        let expected = concat!(
            r#"{"name":"a","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"a","version":"1.0.0","#,
            r#""dist":{"shasum":"s"},"hasInstallScript":true},"0.9.0":null},"modified":"2020-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(abbreviate(&full), expected.as_bytes());
    }

    #[test]
    fn a_body_that_is_not_an_object_is_served_unchanged() {
        let body = Bytes::from_static(b"null");
        assert_eq!(abbreviate(&body), body);
    }
}
