//! One version of a seeded package, with the members that were usual when it was published.
//!
//! Not here: members of the package alone (`packument.rs`).

use super::super::json::{Object, quoted};
use super::super::random::Random;
use super::super::small::tarball_url;
use super::Ecosystem;
use super::history::{Release, latest, newest_at};
use super::people::{People, people, person};
use super::traits::{DependencyKind, Deprecated, Style, Traits};

const LABEL: u64 = 0x7665_7273;

// The times at which the registry began to add members to `dist`, in milliseconds.
const INTEGRITY_SINCE_MS: i64 = 1_492_646_400_000;
const SIZES_SINCE_MS: i64 = 1_517_788_800_000;
const PROVENANCE_SINCE_MS: i64 = 1_681_862_400_000;
const TRUSTED_PUBLISHERS_SINCE_MS: i64 = 1_753_920_000_000;

const KEY_ID: &str = "SHA256:sampleSampleSampleSampleSampleSampleSampleA";

/// Returns the version's object.
pub(super) fn version(ecosystem: &Ecosystem, rank: usize, index: usize, traits: &Traits) -> Object<'static> {
    let name = ecosystem.names.get(rank).map_or("", |name| name);
    let releases = ecosystem.releases(rank);
    let Some(release) = releases.get(index) else { return Object::default() };
    let number = release.to_string();
    let mut random = Random::new(ecosystem.seed, LABEL ^ ((rank as u64) << 32) ^ index as u64);
    let mut entry = Object::default();
    entry.set_string("name", name);
    entry.set_string("version", &number);
    if !traits.description.is_empty() {
        entry.set_string("description", &traits.description);
    }
    package_json(&mut entry, traits, name);
    dependencies(&mut entry, ecosystem, release, index * 1000 / releases.len().max(1), traits);
    entry.set_string("_id", &format!("{name}@{number}"));
    if traits.has_repository {
        entry.set_string("gitHead", &random.hex(20));
    }
    let (node, npm) = tools(release.published_ms, &mut random);
    entry.set_string("_nodeVersion", &node);
    entry.set_string("_npmVersion", &npm);
    entry.set("dist", dist(name, release, traits, index, &mut random));
    let publisher = traits.maintainers.get(random.long_tail(traits.maintainers.len() as u64) as usize);
    if let Some(publisher) = publisher {
        entry.set("_npmUser", npm_user(publisher, release, traits));
    }
    if traits.style != Style::NoMaintainers {
        entry.set("maintainers", people(&traits.maintainers));
    }
    entry.set("directories", "{}");
    entry.set("_hasShrinkwrap", "false");
    if let Some(message) = deprecation(traits, index, releases) {
        entry.set_string("deprecated", message);
    }
    entry
}

/// Adds the publisher's members.
fn package_json(entry: &mut Object<'_>, traits: &Traits, name: &str) {
    entry.set_string("main", if traits.has_types { "dist/index.js" } else { "index.js" });
    if traits.has_types {
        entry.set_string("types", "dist/index.d.ts");
    }
    if traits.is_module {
        entry.set_string("type", "module");
        entry.set("exports", r#"{".":{"types":"./dist/index.d.ts","import":"./dist/index.js"}}"#);
    }
    if traits.has_bin {
        let command = name.rsplit('/').next().unwrap_or(name);
        entry.set("bin", format!("{{{}:\"bin/cli.js\"}}", quoted(command)));
    }
    let mut scripts = Object::default();
    scripts.set_string("test", if traits.has_types { "npm run build && probe-runner" } else { "node test.js" });
    if traits.has_types {
        scripts.set_string("build", "typefold -p .");
    }
    if let Some((script, command)) = traits.install_script {
        scripts.set_string(script, command);
    }
    entry.set("scripts", scripts.to_string());
    let members = [("keywords", keywords(traits)), ("author", author(traits))];
    for (member, raw) in members {
        if let Some(raw) = raw {
            entry.set(member, raw);
        }
    }
    if let Some((member, raw)) = license(traits) {
        entry.set(member, raw);
    }
    if traits.has_repository {
        entry.set("repository", repository(traits, name));
    }
    for (member, raw) in addresses(traits, name) {
        entry.set(member, raw);
    }
    if let Some(engines) = traits.engines {
        entry.set(
            "engines",
            match traits.style {
                Style::EnginesArray => format!("[{}]", quoted(&format!("node {engines}"))),
                _ => format!("{{\"node\":{}}}", quoted(engines)),
            },
        );
    }
    if let Some((os, cpu, libc)) = traits.platform {
        entry.set("os", format!("[\"{os}\"]"));
        entry.set("cpu", format!("[\"{cpu}\"]"));
        if !libc.is_empty() {
            entry.set("libc", format!("[\"{libc}\"]"));
        }
    }
    if traits.funding {
        entry.set("funding", r#"{"type":"collective","url":"https://fund.example"}"#);
    }
}

fn dependencies(
    entry: &mut Object<'_>,
    ecosystem: &Ecosystem,
    release: &Release,
    passed_per_mille: usize,
    traits: &Traits,
) {
    let mut kinds: [(&str, Object<'_>); 4] = [
        ("dependencies", Object::default()),
        ("devDependencies", Object::default()),
        ("peerDependencies", Object::default()),
        ("optionalDependencies", Object::default()),
    ];
    let (mut optional_peers, mut bundled) = (Object::default(), Vec::new());
    let passed = passed_per_mille as u64;
    for dependency in traits.dependencies.iter().filter(|edge| (edge.from..edge.until).contains(&passed)) {
        let Some(name) = ecosystem.names.get(dependency.rank) else { continue };
        // A package cannot depend on one that does not exist yet, or no longer exists.
        let target = newest_at(ecosystem.releases(dependency.rank), release.published_ms);
        let Some(target) = target.filter(|_| !ecosystem.is_tombstone(dependency.rank)) else { continue };
        let requirement = match dependency.operator {
            "*" => "*".to_owned(),
            operator => format!("{operator}{target}"),
        };
        let column = match dependency.kind {
            DependencyKind::Prod | DependencyKind::Bundled => 0,
            DependencyKind::Dev => 1,
            DependencyKind::Peer | DependencyKind::OptionalPeer => 2,
            DependencyKind::Optional => 3,
        };
        kinds[column].1.set_string(name, &requirement);
        if dependency.kind == DependencyKind::OptionalPeer {
            optional_peers.push(name, r#"{"optional":true}"#);
        }
        if dependency.kind == DependencyKind::Bundled {
            bundled.push(quoted(name));
        }
    }
    for (kind, edges) in kinds.iter().filter(|(_, edges)| !edges.is_empty()) {
        entry.set(kind, edges.to_string());
    }
    if !optional_peers.is_empty() {
        entry.set("peerDependenciesMeta", optional_peers.to_string());
    }
    if traits.style == Style::BundleTrue {
        entry.set("bundleDependencies", "true");
    } else if !bundled.is_empty() {
        entry.set("bundleDependencies", format!("[{}]", bundled.join(",")));
    }
}

fn dist(name: &str, release: &Release, traits: &Traits, index: usize, random: &mut Random) -> String {
    let number = release.to_string();
    let mut dist = Object::default();
    let shasum = random.hex(20);
    if release.published_ms >= INTEGRITY_SINCE_MS {
        dist.set_string("integrity", &format!("sha512-{}", random.base64(88, 2)));
    }
    dist.set_string("shasum", &shasum);
    dist.set_string("tarball", &tarball_url(name, &number));
    if release.published_ms >= SIZES_SINCE_MS {
        let file_count = 3 + random.long_tail(200) + index as u64 / 8;
        dist.set("fileCount", file_count.to_string());
        dist.set("unpackedSize", (file_count * (900 + random.below(9000))).to_string());
    }
    // Signatures were added to all versions in 2022.
    let signature = random.base64(96, 1);
    dist.set("signatures", format!("[{{\"keyid\":\"{KEY_ID}\",\"sig\":\"{signature}\"}}]"));
    if traits.provenance && release.published_ms >= PROVENANCE_SINCE_MS {
        let url = format!("https://registry.example/-/npm/v1/attestations/{name}@{number}");
        let provenance = r#"{"predicateType":"https://slsa.dev/provenance/v1"}"#;
        dist.set("attestations", format!("{{\"url\":{},\"provenance\":{provenance}}}", quoted(&url)));
    }
    dist.to_string()
}

fn npm_user(publisher: &str, release: &Release, traits: &Traits) -> String {
    if traits.provenance && release.published_ms >= TRUSTED_PUBLISHERS_SINCE_MS {
        let trusted = r#""trustedPublisher":{"id":"github","oidcConfigId":"oidc:sample"}"#;
        return format!(r#"{{"name":"GitHub Actions","email":"actions@example.com",{trusted}}}"#);
    }
    person(publisher)
}

fn deprecation(traits: &Traits, index: usize, releases: &[Release]) -> Option<&'static str> {
    match traits.deprecated? {
        Deprecated::All(message) => Some(message),
        Deprecated::Old(message) => {
            let newest = latest(releases).and_then(|latest| releases.iter().position(|release| release == latest))?;
            (index * 5 < releases.len() * 4 && index != newest).then_some(message)
        }
    }
}

/// Returns the versions of Node.js and npm: Node.js has had an even major version a year since 2015, and npm followed
/// more slowly.
fn tools(published_ms: i64, random: &mut Random) -> (String, String) {
    const YEAR_MS: i64 = 31_557_600_000;
    let years_since_2015 = (published_ms - 1_420_070_400_000).div_euclid(YEAR_MS);
    let patch = random.below(12);
    match u64::try_from(years_since_2015) {
        Err(_) => (format!("0.10.{}", patch + 20), format!("1.4.{patch}")),
        Ok(years) => (format!("{}.{patch}.0", 4 + years * 2), format!("{}.{patch}.1", 3 + years * 2 / 3)),
    }
}

/// Returns the member and its value, or `None` for a package without a licence.
pub(super) fn license(traits: &Traits) -> Option<(&'static str, String)> {
    let name = quoted(traits.license?);
    Some(match traits.style {
        Style::LicenseObject => ("license", format!(r#"{{"type":{name},"url":"https://license.example"}}"#)),
        Style::LicensesArray => ("licenses", format!(r#"[{{"type":{name},"url":"https://license.example"}}]"#)),
        _ => ("license", name),
    })
}

pub(super) fn author(traits: &Traits) -> Option<String> {
    let user = traits.maintainers.first()?;
    Some(match traits.style {
        Style::AuthorString => quoted(&format!("{user} <{}>", People::email(user))),
        _ => person(user),
    })
}

pub(super) fn keywords(traits: &Traits) -> Option<String> {
    if traits.style == Style::KeywordsString {
        return Some(quoted(&traits.keywords.join(", ")));
    }
    let words: Vec<String> = traits.keywords.iter().map(|word| quoted(word)).collect();
    (!words.is_empty()).then(|| format!("[{}]", words.join(",")))
}

pub(super) fn repository(traits: &Traits, name: &str) -> String {
    let plain = name.trim_start_matches('@');
    if traits.style == Style::RepositoryString {
        return quoted(&format!("git://git.example/{plain}.git"));
    }
    match plain.split_once('/').filter(|_| traits.is_monorepo) {
        Some((scope, part)) => format!(
            r#"{{"type":"git","url":{},"directory":{}}}"#,
            quoted(&format!("git+https://git.example/{scope}/{scope}.git")),
            quoted(&format!("packages/{part}"))
        ),
        None => format!(r#"{{"type":"git","url":{}}}"#, quoted(&format!("git+https://git.example/{plain}.git"))),
    }
}

/// Returns the homepage and the bug tracker.
pub(super) fn addresses(traits: &Traits, name: &str) -> Vec<(&'static str, String)> {
    let base = format!("https://git.example/{}", name.trim_start_matches('@'));
    let mut members = Vec::new();
    if traits.has_homepage {
        members.push(("homepage", quoted(&format!("{base}#readme"))));
    }
    if traits.has_repository {
        members.push(("bugs", format!("{{\"url\":{}}}", quoted(&format!("{base}/issues")))));
    }
    members
}
