//! The parts of a version by the strict rules of node's `semver`, and the order of versions. Not here: ranges
//! (`semver_range`).

use std::cmp::Ordering;

/// The greatest number of a part: 2^53 - 1, JavaScript's greatest safe integer, as in node's `semver`.
pub(super) const MAX_PART: i64 = 9_007_199_254_740_991;

/// The longest version that node's `semver` accepts, in characters.
const MAX_LENGTH: usize = 256;

/// The parts of a version: `1.2.3-beta.4+build.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Semver<'a> {
    /// The first number.
    pub major: i64,
    /// The second number.
    pub minor: i64,
    /// The third number.
    pub patch: i64,
    /// The text between `-` and `+`.
    pub prerelease: Option<&'a str>,
    /// The text after `+`.
    pub build: Option<&'a str>,
}

impl<'a> Semver<'a> {
    /// Returns the parts of `version`; `None` if it is not strictly one. A leading `v` is allowed, as in node.
    pub fn parse(version: &'a str) -> Option<Self> {
        if version.len() > MAX_LENGTH {
            return None;
        }
        let version = version.strip_prefix('v').unwrap_or(version);
        let (version, build) = match split_once(version, b'+') {
            Some((version, build)) => (version, Some(build)),
            None => (version, None),
        };
        let (core, prerelease) = match split_once(version, b'-') {
            Some((core, prerelease)) => (core, Some(prerelease)),
            None => (version, None),
        };
        let (major, rest) = split_once(core, b'.')?;
        let (minor, patch) = split_once(rest, b'.')?;
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return None;
        }
        if prerelease.is_some_and(|prerelease| !prerelease.split('.').all(is_prerelease_identifier)) {
            return None;
        }
        Some(Semver { major: number(major)?, minor: number(minor)?, patch: number(patch)?, prerelease, build })
    }
}

/// Works as [`str::split_once`], which is made for longer texts.
#[inline]
fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

impl Semver<'_> {
    /// Compares versions: the build does not count, and a prerelease comes before its release.
    pub fn compare(&self, other: &Semver<'_>) -> Ordering {
        let numbers = |version: &Semver<'_>| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| compare_prereleases(self.prerelease, other.prerelease))
    }

    /// Returns a text that sorts, byte by byte, as the version does among versions.
    pub fn sort_key(&self) -> String {
        let mut key = format!("{:016}.{:016}.{:016}", self.major, self.minor, self.patch);
        let Some(prerelease) = self.prerelease else {
            // Sorts after every prerelease, whose keys continue with a space.
            key.push('~');
            return key;
        };
        for identifier in prerelease.split('.') {
            // A number sorts by its length first, and before every word.
            match is_numeric(identifier) {
                true => key.push_str(&format!(" 0{:03}{identifier}", identifier.len())),
                false => key.push_str(&format!(" 1{identifier}")),
            }
        }
        key
    }
}

/// Compares the text between `-` and `+`; a release, which has none, comes last.
pub(super) fn compare_prereleases(one: Option<&str>, other: Option<&str>) -> Ordering {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none().cmp(&other.is_none()) };
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        let order = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => compare_identifiers(one, other),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Compares numbers by value and before words, and words by their bytes.
fn compare_identifiers(one: &str, other: &str) -> Ordering {
    match (is_numeric(one), is_numeric(other)) {
        (true, true) => one.len().cmp(&other.len()).then_with(|| one.cmp(other)),
        (one_is_number, other_is_number) => other_is_number.cmp(&one_is_number).then_with(|| one.cmp(other)),
    }
}

fn is_numeric(identifier: &str) -> bool {
    identifier.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a number without leading zeros, at most [`MAX_PART`].
pub(super) fn number(digits: &str) -> Option<i64> {
    let bytes = digits.as_bytes();
    if bytes.is_empty() || bytes.len() > 16 || (bytes.len() > 1 && bytes.first() == Some(&b'0')) {
        return None;
    }
    let mut value = 0_i64;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    (value <= MAX_PART).then_some(value)
}

pub(super) fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

pub(super) fn is_prerelease_identifier(part: &str) -> bool {
    is_identifier(part) && !(is_numeric(part) && part.len() > 1 && part.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_version() {
        let all =
            Semver::parse("1.20.300-beta.4-x+build.005").map(|v| (v.major, v.minor, v.patch, v.prerelease, v.build));
        assert_eq!(all, Some((1, 20, 300, Some("beta.4-x"), Some("build.005"))));
        let plus_dash = Semver::parse("1.0.0+a-b").map(|v| (v.prerelease, v.build));
        assert_eq!(plus_dash, Some((None, Some("a-b"))));
        assert!(Semver::parse("v1.0.0").is_some());
        assert!(Semver::parse("9007199254740991.0.0").is_some());
    }

    #[test]
    fn versions_and_their_keys_have_one_order() {
        let ascending = [
            "0.0.0-0",
            "0.0.0",
            "0.9.0",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-99999999999999999999",
            "1.0.0-1a",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-alpha-x",
            "1.0.0-alphabet",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.2.0",
            "1.10.0",
            "10.0.0",
            "9007199254740991.0.0",
        ];
        let versions: Vec<_> = ascending.iter().filter_map(|version| Semver::parse(version)).collect();
        assert_eq!(versions.len(), ascending.len());
        for (place, one) in versions.iter().enumerate() {
            for (other_place, other) in versions.iter().enumerate() {
                assert_eq!(one.compare(other), place.cmp(&other_place), "{one:?} {other:?}");
                assert_eq!(one.sort_key().cmp(&other.sort_key()), place.cmp(&other_place), "{one:?} {other:?}");
            }
        }
        let built = [Semver::parse("1.0.0+a"), Semver::parse("1.0.0+b")];
        assert_eq!(built[0].map(|version| version.sort_key()), built[1].map(|version| version.sort_key()));
    }

    #[test]
    fn a_text_that_is_not_strictly_a_version_is_none() {
        for version in [
            "",
            "1",
            "1.0",
            "v1.0",
            "1.0.0.0",
            "01.0.0",
            "1.0.0-01",
            "1.0.0-",
            "1.0.0+",
            "1.0.0-a..b",
            "=1.0.0",
            " 1.0.0",
            "1.0.x",
            "9007199254740992.0.0",
            "1000000000000000000.0.0",
            "-1.0.0",
            "1.0.0-é",
        ] {
            assert_eq!(Semver::parse(version), None, "{version:?}");
        }
    }
}
