//! The history of a package: semantic versions that progress over the years, most packages with few.
//!
//! Not here: the content of a version (`version.rs`).

use std::fmt;

use super::super::random::Random;

/// 2012-01-01 and 2026-09-30, in milliseconds: no seeded package publishes before or after.
const FIRST_MS: i64 = 1_325_376_000_000;
const LAST_MS: i64 = 1_790_726_400_000;

const LABEL: u64 = 0x6869_7374;
const MOST_DOUBLINGS: u32 = 9;
const MINUTE_MS: i64 = 60_000;

/// A version and its publication time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) patch: u32,
    /// The number of a `-beta.N`.
    pub(super) beta: Option<u32>,
    pub(super) published_ms: i64,
    /// Listed only by `time`.
    pub(super) unpublished: bool,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        self.beta.map_or(Ok(()), |beta| write!(f, "-beta.{beta}"))
    }
}

/// Returns the releases of the package of this rank among `count`, oldest first: at least one, and the last is
/// published.
pub(super) fn history(seed: u64, rank: usize, count: usize) -> Vec<Release> {
    let mut random = Random::new(seed, LABEL ^ ((rank as u64) << 32));
    let popular = rank < (count / 40).max(20);
    let span = (LAST_MS - FIRST_MS) as u64;
    // Popular packages are old; the others' publications grow with every year.
    let drawn = [random.below(span), random.below(span)];
    let created_ms = FIRST_MS + if popular { drawn[0].min(drawn[1]) / 2 } else { drawn[0].max(drawn[1]) } as i64;
    let mut doublings = 0;
    while doublings < MOST_DOUBLINGS && random.per_mille(if popular { 780 } else { 560 }) {
        doublings += 1;
    }
    let release_count = (1u64 << doublings) + random.below(1 << doublings);
    let left = (LAST_MS - created_ms) as u64;
    let active_ms = if popular { left } else { random.below(left.max(1)) };
    let pauses: Vec<u64> = (0..release_count).map(|_| 1 + random.long_tail(1000)).collect();
    let all_pauses: u64 = pauses.iter().skip(1).sum::<u64>().max(1);

    let mut releases: Vec<Release> = Vec::with_capacity(pauses.len());
    let mut passed = 0;
    for (index, pause) in pauses.iter().enumerate() {
        if index > 0 {
            passed += pause;
        }
        let due_ms = created_ms + (u128::from(active_ms) * u128::from(passed) / u128::from(all_pauses)) as i64;
        let next = match releases.last() {
            None => first(&mut random),
            Some(last) => after(last, &mut random),
        };
        let earliest_ms = releases.last().map_or(due_ms, |last| last.published_ms + MINUTE_MS);
        releases.push(Release { published_ms: due_ms.max(earliest_ms), ..next });
    }
    if releases.len() > 2 && random.per_mille(25) {
        let gone = random.below(releases.len() as u64 - 1) as usize;
        releases[gone].unpublished = true;
    }
    releases
}

fn first(random: &mut Random) -> Release {
    let (major, minor, patch) = match random.below(10) {
        0..5 => (1, 0, 0),
        5..8 => (0, 1, 0),
        _ => (0, 0, 1),
    };
    Release { major, minor, patch, beta: None, published_ms: 0, unpublished: false }
}

fn after(last: &Release, random: &mut Random) -> Release {
    let step = random.below(1000);
    let mut next = Release { unpublished: false, ..*last };
    if let Some(beta) = last.beta {
        next.beta = (step < 600).then_some(beta + 1);
        return next;
    }
    if step < 35 {
        (next.major, next.minor, next.patch) = (last.major + 1, 0, 0);
        next.beta = random.per_mille(350).then_some(0);
    } else if step < 270 {
        (next.minor, next.patch) = (last.minor + 1, 0);
    } else {
        next.patch = last.patch + 1;
    }
    next
}

/// Returns the release of the tag `latest`: the last stable one, else the last.
pub(super) fn latest(releases: &[Release]) -> Option<&Release> {
    let there = || releases.iter().rev().filter(|release| !release.unpublished);
    there().find(|release| release.beta.is_none()).or_else(|| there().next())
}

/// Returns the stable release that was the newest at a time.
pub(super) fn newest_at(releases: &[Release], time_ms: i64) -> Option<&Release> {
    let published = releases.partition_point(|release| release.published_ms <= time_ms);
    releases.get(..published).and_then(latest)
}
