//! The parts of a version by the strict rules of node's `semver`. Not here: ranges, and the order of versions.

/// The greatest number that a part may be: 2^53 - 1, JavaScript's greatest safe integer, as in node's `semver`.
const MAX_PART: i64 = 9_007_199_254_740_991;

/// The longest version that node's `semver` takes, in characters.
const MAX_LENGTH: usize = 256;

/// `1.2.3-beta.4+build.5` in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Semver<'a> {
    /// The first number.
    pub major: i64,
    /// The second number.
    pub minor: i64,
    /// The third number.
    pub patch: i64,
    /// What stands between `-` and `+`.
    pub prerelease: Option<&'a str>,
    /// What stands behind `+`.
    pub build: Option<&'a str>,
}

impl<'a> Semver<'a> {
    /// The parts of `version`; `None` if it is not strictly one. A leading `v` is allowed, as node allows it.
    pub fn parse(version: &'a str) -> Option<Self> {
        if version.len() > MAX_LENGTH {
            return None;
        }
        let version = version.strip_prefix('v').unwrap_or(version);
        let (version, build) = match version.split_once('+') {
            Some((version, build)) => (version, Some(build)),
            None => (version, None),
        };
        let (core, prerelease) = match version.split_once('-') {
            Some((core, prerelease)) => (core, Some(prerelease)),
            None => (version, None),
        };
        let (major, rest) = core.split_once('.')?;
        let (minor, patch) = rest.split_once('.')?;
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return None;
        }
        if prerelease.is_some_and(|prerelease| !prerelease.split('.').all(is_prerelease_identifier)) {
            return None;
        }
        Some(Semver { major: number(major)?, minor: number(minor)?, patch: number(patch)?, prerelease, build })
    }
}

/// A number without leading zeros, at most [`MAX_PART`].
fn number(digits: &str) -> Option<i64> {
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

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_prerelease_identifier(part: &str) -> bool {
    let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
    is_identifier(part) && !(is_number && part.len() > 1 && part.starts_with('0'))
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
    fn what_is_not_strictly_a_version_has_none() {
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
