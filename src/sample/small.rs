//! Small documents for names that a range needs and no test inspects: made on demand from the name alone.
//!
//! Not here: realistic packages (`seeded/`).

use super::json::quoted;
use super::random::hash;

/// Returns the revision of a small document.
pub(super) fn small_revision(name: &str) -> String {
    format!("1-{:032x}", hash(name.as_bytes()))
}

/// Returns a packument with one version, without dependencies.
pub(super) fn small_document(name: &str) -> Vec<u8> {
    first_document(name, &small_revision(name), "1.0.0", "2020-02-02T02:02:02.020Z").into_bytes()
}

/// Returns the packument of a package that has just published its first version.
pub(super) fn first_document(name: &str, revision: &str, version: &str, time: &str) -> String {
    let (id, number) = (quoted(name), quoted(version));
    let entry = version_entry(name, version);
    format!(
        concat!(
            r#"{{"_id":{id},"_rev":{revision},"name":{id},"dist-tags":{{"latest":{number}}},"#,
            r#""versions":{{{number}:{entry}}},"#,
            r#""time":{{"created":"{time}","modified":"{time}",{number}:"{time}"}},"#,
            r#""maintainers":[{{"name":"sample","email":"sample@example.com"}}],"license":"MIT","readme":""}}"#
        ),
        id = id,
        revision = quoted(revision),
        number = number,
        entry = entry,
        time = time
    )
}

/// Returns a version's object with the members that every version has.
pub(super) fn version_entry(name: &str, version: &str) -> String {
    let digest = hash(format!("{name}@{version}").as_bytes());
    format!(
        concat!(
            r#"{{"name":{id},"version":{number},"license":"MIT","_id":{full},"#,
            r#""dist":{{"shasum":"{digest:040x}","tarball":{tarball},"fileCount":2,"unpackedSize":1024}},"#,
            r#""_npmUser":{{"name":"sample","email":"sample@example.com"}},"maintainers":[]}}"#
        ),
        id = quoted(name),
        number = quoted(version),
        full = quoted(&format!("{name}@{version}")),
        digest = digest,
        tarball = quoted(&tarball_url(name, version)),
    )
}

/// Returns the address of a version's tarball, on a host that does not exist.
pub(super) fn tarball_url(name: &str, version: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or(name);
    format!("https://registry.example/{name}/-/{base}-{version}.tgz")
}
