//! The traits that all versions of a package share: its licence, its people, its habits, its dependencies.
//!
//! Not here: JSON (`packument.rs`, `version.rs`).

use super::super::random::Random;
use super::Ecosystem;
use super::words::TOPICS;

const LABEL: u64 = 0x7472_6169;

/// The character of a package, drawn from its rank.
#[derive(Debug, Clone)]
pub(super) struct Traits {
    pub(super) maintainers: Vec<String>,
    pub(super) license: Option<&'static str>,
    pub(super) description: String,
    pub(super) keywords: Vec<String>,
    pub(super) has_repository: bool,
    pub(super) is_monorepo: bool,
    pub(super) has_homepage: bool,
    pub(super) has_types: bool,
    pub(super) is_module: bool,
    pub(super) has_bin: bool,
    pub(super) funding: bool,
    pub(super) install_script: Option<(&'static str, &'static str)>,
    pub(super) engines: Option<&'static str>,
    pub(super) platform: Option<(&'static str, &'static str, &'static str)>,
    pub(super) deprecated: Option<Deprecated>,
    /// Whether newer versions are published from continuous integration, with provenance.
    pub(super) provenance: bool,
    /// Old packages in old styles: readers of the registry call them quirks.
    pub(super) style: Style,
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deprecated {
    All(&'static str),
    /// All but the newest fifth.
    Old(&'static str),
}

/// The style of a package's fields that allow several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Usual,
    LicenseObject,
    LicensesArray,
    EnginesArray,
    AuthorString,
    RepositoryString,
    KeywordsString,
    NoMaintainers,
    BundleTrue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DependencyKind {
    Prod,
    Dev,
    Peer,
    OptionalPeer,
    Optional,
    Bundled,
}

/// A dependency on the package of a rank, in a stretch of the versions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dependency {
    pub(super) rank: usize,
    pub(super) kind: DependencyKind,
    /// `^`, `~`, nothing, `>=`; `*` stands alone.
    pub(super) operator: &'static str,
    /// Shares of the history in thousandths.
    pub(super) from: u64,
    pub(super) until: u64,
}

const OLD_STYLES: [Style; 7] = [
    Style::LicenseObject,
    Style::LicensesArray,
    Style::EnginesArray,
    Style::AuthorString,
    Style::RepositoryString,
    Style::KeywordsString,
    Style::BundleTrue,
];

pub(super) fn traits(ecosystem: &Ecosystem, rank: usize, name: &str, created_year: i16) -> Traits {
    let mut random = Random::new(ecosystem.seed, LABEL ^ ((rank as u64) << 32));
    let popular = rank < 60;
    let license = match random.below(1000) {
        0..580 => Some("MIT"),
        580..760 => Some("ISC"),
        760..860 => Some("Apache-2.0"),
        860..890 => Some("BSD-3-Clause"),
        890..905 => Some("GPL-3.0"),
        905..915 => Some("BSD-2-Clause"),
        915..925 => Some("UNLICENSED"),
        925..932 => Some("MPL-2.0"),
        932..939 => Some("SEE LICENSE IN LICENSE"),
        939..945 => Some("(MIT OR Apache-2.0)"),
        945..950 => Some("WTFPL"),
        _ => None,
    };
    let style = match random.below(1000) {
        drawn if created_year < 2015 && drawn < 400 => OLD_STYLES[(drawn % 7) as usize],
        995.. => Style::NoMaintainers,
        _ => Style::Usual,
    };
    let install_script = match random.below(1000) {
        0..7 => Some(("postinstall", "node scripts/postinstall.js")),
        7..12 => Some(("install", "node-gyp rebuild")),
        12..15 => Some(("preinstall", "node scripts/check.js")),
        _ => None,
    };
    let deprecated = match random.below(1000) {
        _ if popular => None,
        0..20 => Some(Deprecated::All("This package is no longer maintained.")),
        20..28 => Some(Deprecated::Old("Old versions are no longer supported, please update.")),
        28..31 => Some(Deprecated::All("Renamed; see the repository for its successor.")),
        _ => None,
    };
    let engines = match random.below(10) {
        0 => Some(">=0.10.0"),
        1 => Some(">= 6"),
        2 => Some(">=14"),
        3 => Some("^18.0.0 || >=20.0.0"),
        _ => None,
    };
    let platform = match random.below(1000) {
        0..3 => Some(("linux", "x64", "glibc")),
        3..5 => Some(("darwin", "arm64", "")),
        5 => Some(("win32", "x64", "")),
        _ => None,
    };
    let words: Vec<&str> =
        name.split(['/', '-', '@', '.']).filter(|word| word.len() > 2 && !word.starts_with(char::is_numeric)).collect();
    let mut keywords: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    keywords.extend((0..random.below(4)).map(|_| random.pick(&TOPICS).to_owned()));
    if random.per_mille(300) {
        keywords.clear();
    }
    let purpose = random.pick(&["Node.js", "the browser", "your next project", "teams", "the command line", "servers"]);
    Traits {
        maintainers: ecosystem.people.maintainers(name, if popular { 8 } else { 3 }),
        license,
        description: match random.below(12) {
            0 => String::new(),
            1..4 => format!("{} made simple", words.join(" ")),
            _ => format!("A {} for {purpose}", words.join(" ")),
        },
        keywords,
        has_repository: random.per_mille(620) || popular,
        is_monorepo: name.starts_with('@') && random.per_mille(500),
        has_homepage: random.per_mille(550),
        has_types: random.per_mille(450),
        is_module: created_year >= 2020 && random.per_mille(400),
        has_bin: random.per_mille(90),
        funding: random.per_mille(if popular { 400 } else { 30 }),
        install_script: install_script.filter(|_| !popular),
        engines,
        platform: platform.filter(|_| !popular),
        deprecated,
        provenance: random.per_mille(if popular { 500 } else { 120 }),
        style,
        dependencies: dependencies(ecosystem, rank, &mut random),
    }
}

/// Draws dependencies on more popular packages, the most popular most of all: a graph without cycles.
fn dependencies(ecosystem: &Ecosystem, rank: usize, random: &mut Random) -> Vec<Dependency> {
    let mut chosen: Vec<Dependency> = Vec::new();
    let tool_count = (ecosystem.names.len() / 5).max(1) as u64;
    let prod_count = if random.per_mille(280) { 0 } else { random.between(1, 4) + random.long_tail(24) };
    let dev_count = if random.per_mille(350) { 0 } else { random.between(1, 5) + random.long_tail(16) };
    for number in 0..prod_count + dev_count {
        let is_tool = number >= prod_count;
        let drawn = if is_tool { random.long_tail(tool_count) * 5 + 4 } else { random.long_tail(rank as u64) } as usize;
        let kind = match random.below(1000) {
            _ if is_tool => DependencyKind::Dev,
            0..60 => DependencyKind::Peer,
            60..80 => DependencyKind::OptionalPeer,
            80..100 => DependencyKind::Optional,
            100..105 => DependencyKind::Bundled,
            _ => DependencyKind::Prod,
        };
        let operator = match random.below(100) {
            0..82 => "^",
            82..89 => "~",
            89..95 => "",
            95..98 => ">=",
            _ => "*",
        };
        let from = if random.per_mille(700) { 0 } else { random.below(900) };
        let until = if random.per_mille(850) { u64::MAX } else { from + random.below(1000) };
        let known = ecosystem.names.get(drawn).is_some() && !chosen.iter().any(|dependency| dependency.rank == drawn);
        if known && drawn != rank && !(is_tool && rank < 60 && drawn > rank) {
            chosen.push(Dependency { rank: drawn, kind, operator, from, until });
        }
    }
    chosen
}
