//! A seeded package's whole document: tags, times, people, readme, and all its versions or a tombstone.
//!
//! Not here: one version (`version.rs`).

use super::super::json::{Object, quoted};
use super::super::random::Random;
use super::Ecosystem;
use super::history::{Release, latest};
use super::people::people;
use super::traits::{Style, Traits, traits};
use super::version::{addresses, author, keywords, license, repository, version};
use super::words::SENTENCES;

const LABEL: u64 = 0x7061_636b;
/// The longest time between a document's last publication and its last change.
const LATER_MS: u64 = 40 * 24 * 3600 * 1000;

/// Returns the document of the package of this rank.
pub(super) fn packument(ecosystem: &Ecosystem, rank: usize) -> String {
    let name = ecosystem.names.get(rank).map_or("", |name| name);
    let releases = ecosystem.releases(rank);
    let mut random = Random::new(ecosystem.seed, LABEL ^ ((rank as u64) << 32));
    let first_ms = releases.first().map_or(0, |release| release.published_ms);
    let modified_ms = ecosystem.last_published_ms(rank) + random.below(LATER_MS) as i64;
    let traits = traits(ecosystem, rank, name, year(first_ms));

    let mut document = Object::default();
    document.set_string("_id", name);
    document.set_string("_rev", &ecosystem.revision(rank));
    document.set_string("name", name);
    let mut times = Object::default();
    times.set_string("created", &iso(first_ms));
    times.set_string("modified", &iso(modified_ms));
    for release in releases {
        times.set_string(&release.to_string(), &iso(release.published_ms));
    }
    if ecosystem.is_tombstone(rank) {
        times.set("unpublished", unpublished(releases, &traits, modified_ms, &mut random));
        document.set("time", times.to_string());
        document.set("maintainers", people(&traits.maintainers));
        return document.to_string();
    }
    document.set("dist-tags", dist_tags(releases));
    let mut versions = Object::default();
    for (index, release) in releases.iter().enumerate().filter(|(_, release)| !release.unpublished) {
        versions.push(&release.to_string(), version(ecosystem, rank, index, &traits).to_string());
    }
    document.set("versions", versions.to_string());
    document.set("time", times.to_string());
    if traits.style != Style::NoMaintainers {
        document.set("maintainers", people(&traits.maintainers));
    }
    hoist(&mut document, &traits, name);
    let star_count = 400 / (rank as u64 + 1) + u64::from(random.per_mille(50));
    if star_count > 0 {
        let mut users = Object::default();
        for user in ecosystem.people.some(&mut random, star_count) {
            users.push(&user, "true");
        }
        document.set("users", users.to_string());
    }
    document.set_string("readme", &readme(name, &traits, &mut random));
    document.set_string("readmeFilename", "README.md");
    document.to_string()
}

/// Adds the members that the registry takes over from the latest version.
fn hoist(document: &mut Object<'_>, traits: &Traits, name: &str) {
    if !traits.description.is_empty() {
        document.set_string("description", &traits.description);
    }
    if let Some(raw) = keywords(traits) {
        document.set("keywords", raw);
    }
    if let Some(raw) = author(traits) {
        document.set("author", raw);
    }
    if let Some((member, raw)) = license(traits) {
        document.set(member, raw);
    }
    if traits.has_repository {
        document.set("repository", repository(traits, name));
    }
    for (member, raw) in addresses(traits, name) {
        document.set(member, raw);
    }
}

fn dist_tags(releases: &[Release]) -> String {
    let mut tags = Object::default();
    if let Some(latest) = latest(releases) {
        tags.set_string("latest", &latest.to_string());
    }
    if let Some(beta) = releases.iter().rev().find(|release| release.beta.is_some() && !release.unpublished) {
        tags.set_string(if beta.minor.is_multiple_of(2) { "next" } else { "beta" }, &beta.to_string());
    }
    tags.to_string()
}

/// Returns one of the two shapes of `time.unpublished`: npm's own, or the older one with the user and the tags.
fn unpublished(releases: &[Release], traits: &Traits, at_ms: i64, random: &mut Random) -> String {
    let mut versions: Vec<String> = releases.iter().map(|release| quoted(&release.to_string())).collect();
    versions.sort();
    let (time, versions) = (quoted(&iso(at_ms)), versions.join(","));
    if random.per_mille(700) {
        return format!("{{\"time\":{time},\"versions\":[{versions}]}}");
    }
    let user = quoted(traits.maintainers.first().map_or("", |user| user));
    let (tags, maintainers) = (dist_tags(releases), people(&traits.maintainers));
    format!(
        "{{\"name\":{user},\"time\":{time},\"tags\":{tags},\"maintainers\":{maintainers},\"versions\":[{versions}]}}"
    )
}

fn readme(name: &str, traits: &Traits, random: &mut Random) -> String {
    let mut text = format!("# {name}\n\n{}\n\n## Install\n\n```sh\nnpm install {name}\n```\n", traits.description);
    for _ in 0..random.long_tail(60) {
        text.push('\n');
        text.push_str(random.pick(&SENTENCES));
        text.push('\n');
    }
    text
}

/// Returns a time as the registry writes it: `2019-05-05T05:05:05.050Z`.
pub(super) fn iso(time_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(time_ms).unwrap_or_default();
    format!("{}.{:03}Z", time.strftime("%Y-%m-%dT%H:%M:%S"), time_ms.rem_euclid(1000))
}

fn year(time_ms: i64) -> i16 {
    let time = jiff::Timestamp::from_millisecond(time_ms).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::UTC).year()
}
