//! Ranges of versions, such as `^1.2.0 || >=3 <4`, by the rules of node's `semver` as npm uses it: strict, and without
//! unrequested prereleases. Not here: the versions themselves (`semver`).
//!
//! The crates for this task differ from node for a tenth of a percent of the published ranges, and one of them panics
//! on some. This file was compared with node's own results.

use std::cmp::Ordering;

use super::semver::{MAX_PART, Semver, compare_prereleases, is_identifier, is_prerelease_identifier, number};

/// A range: a version is in it if one of its alternatives holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SemverRange {
    /// The bounds of each alternative, all of which must hold; an alternative without bounds is any version.
    alternatives: Vec<Vec<Bound>>,
}

/// One comparison with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    numbers: [i64; 3],
    prerelease: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Equal,
    AtLeast,
    Greater,
}

/// A version whose parts may be missing or `x`, and its prefix.
struct Partial<'a> {
    /// Each number from the left; `None` for `x` and for a missing part.
    numbers: [Option<i64>; 3],
    prerelease: Option<&'a str>,
    /// The prefix of `v` and `=`.
    prefix: &'a str,
}

impl SemverRange {
    /// Reads a range. Returns `None` for a text that node refuses: a tag, a URL, a version with a leading zero.
    pub fn parse(range: &str) -> Option<Self> {
        let alternatives: Option<Vec<_>> = range.trim().split("||").map(|part| alternative(part.trim())).collect();
        let mut alternatives = alternatives?;
        // If one alternative is any version, the others do not count; nor do the prereleases that they name.
        if let Some(any) = alternatives.iter().position(Vec::is_empty) {
            alternatives.swap(0, any);
            alternatives.truncate(1);
        }
        Some(SemverRange { alternatives })
    }

    /// Returns whether `version` is in the range. A prerelease is only if a bound of the alternative names one of the
    /// same three numbers.
    pub fn contains(&self, version: &Semver<'_>) -> bool {
        self.alternatives.iter().any(|bounds| {
            let numbers = [version.major, version.minor, version.patch];
            bounds.iter().all(|bound| bound.holds(version))
                && (version.prerelease.is_none()
                    || bounds.iter().any(|bound| bound.prerelease.is_some() && bound.numbers == numbers))
        })
    }
}

impl Bound {
    fn holds(&self, version: &Semver<'_>) -> bool {
        let order = [version.major, version.minor, version.patch]
            .cmp(&self.numbers)
            .then_with(|| compare_prereleases(version.prerelease, self.prerelease.as_deref()));
        match self.operator {
            Operator::Less => order == Ordering::Less,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::AtLeast => order != Ordering::Less,
            Operator::Greater => order == Ordering::Greater,
        }
    }
}

/// Returns the bounds of one alternative.
fn alternative(text: &str) -> Option<Vec<Bound>> {
    let without_build;
    let text = match text.contains('+') {
        true => {
            without_build = strip_build(text);
            without_build.as_str()
        }
        false => text,
    };
    if let Some(bounds) = hyphen_range(text) {
        return bounds;
    }
    let mut bounds = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        rest = comparator(rest, &mut bounds)?.trim_start();
    }
    Some(bounds)
}

/// Returns the text without every `+build` in it.
fn strip_build(text: &str) -> String {
    let mut parts = text.split('+');
    let mut stripped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_build = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
        let end = part.find(|letter| !is_build(letter)).unwrap_or(part.len());
        let (build, rest) = part.split_at(end);
        if !build.split('.').all(is_identifier) {
            stripped.push('+');
            stripped.push_str(build);
        }
        stripped.push_str(rest);
    }
    stripped
}

/// Reads `1.2 - 2.3`: `None` where the text is no such range, and `Some(None)` where one of its ends is no version.
fn hyphen_range(text: &str) -> Option<Option<Vec<Bound>>> {
    let mut words = text.split_whitespace();
    let (Some(from), Some("-"), Some(to), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return None;
    };
    let (Some(from), Some(to)) = (Partial::parse(from), Partial::parse(to)) else { return Some(None) };
    let bounds = || {
        let mut bounds = Vec::new();
        match from.numbers {
            [None, ..] => {}
            [Some(_), _, _] => {
                from.check_prefix()?;
                bounds.push(from.lowest(Operator::AtLeast)?);
            }
        }
        match to.numbers {
            [None, ..] => {}
            [Some(major), None, _] => bounds.push(below([major.checked_add(1)?, 0, 0])?),
            [Some(major), Some(minor), None] => bounds.push(below([major, minor.checked_add(1)?, 0])?),
            _ => {
                to.check_prefix()?;
                bounds.push(to.lowest(Operator::AtMost)?);
            }
        }
        Some(bounds)
    };
    Some(bounds())
}

/// Reads one comparator, adds its bounds, and returns the rest of the text.
fn comparator<'a>(text: &'a str, bounds: &mut Vec<Bound>) -> Option<&'a str> {
    const SIGNS: [&str; 7] = ["~", "^", ">=", "<=", ">", "<", "="];
    let sign = SIGNS.into_iter().find(|sign| text.starts_with(sign)).unwrap_or_default();
    let mut rest = text.get(sign.len()..)?.trim_start();
    if sign == "~" {
        // `~>` means the same as `~`.
        rest = rest.strip_prefix('>').unwrap_or(rest).trim_start();
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let had_space = rest.len() < text.len() - sign.len();
    let partial = Partial::parse(word)?;
    if had_space && partial.prefix.contains('=') {
        return None;
    }
    match sign {
        "~" => partial.tilde(bounds)?,
        "^" => partial.caret(bounds)?,
        _ => partial.compared(sign, bounds)?,
    }
    Some(after)
}

/// Returns the bound of every version below these numbers, without their prereleases.
fn below(numbers: [i64; 3]) -> Option<Bound> {
    Bound::new(Operator::Less, numbers, Some("0"))
}

impl Bound {
    fn new(operator: Operator, numbers: [i64; 3], prerelease: Option<&str>) -> Option<Self> {
        let is_safe = numbers.iter().all(|number| *number <= MAX_PART);
        is_safe.then(|| Bound { operator, numbers, prerelease: prerelease.map(str::to_owned) })
    }
}

impl<'a> Partial<'a> {
    fn parse(word: &'a str) -> Option<Self> {
        let start = word.find(|letter| !matches!(letter, 'v' | '=')).unwrap_or(word.len());
        let (prefix, version) = word.split_at(start);
        let (core, prerelease) = match version.split_once('-') {
            Some((core, prerelease)) => (core, Some(prerelease)),
            None => (version, None),
        };
        let mut numbers = [None; 3];
        let mut count = 0;
        for part in core.split('.') {
            let slot = numbers.get_mut(count)?;
            *slot = if matches!(part, "x" | "X" | "*") { None } else { Some(number(part)?) };
            count += 1;
        }
        if let Some(prerelease) = prerelease
            && (count < 3 || !prerelease.split('.').all(is_prerelease_identifier))
        {
            return None;
        }
        Some(Partial { numbers, prerelease, prefix })
    }

    /// Returns whether there is an `x` before a number. Only `~` and `^` ignore that.
    fn is_out_of_order(&self) -> bool {
        self.numbers.windows(2).any(|pair| matches!(pair, [None, Some(_)]))
    }

    /// Returns `None` for a whole version with more than a `v` before it.
    fn check_prefix(&self) -> Option<()> {
        let is_whole = self.numbers.iter().all(Option::is_some);
        (!is_whole || matches!(self.prefix, "" | "v")).then_some(())
    }

    /// Returns the bound by the lowest version that this one stands for.
    fn lowest(&self, operator: Operator) -> Option<Bound> {
        let is_whole = self.numbers.iter().all(Option::is_some);
        let mut is_open = false;
        let numbers = self.numbers.map(|number| {
            is_open |= number.is_none();
            if is_open { 0 } else { number.unwrap_or_default() }
        });
        Bound::new(operator, numbers, self.prerelease.filter(|_| is_whole))
    }

    /// Adds the bounds of `~1.2.3`: the same minor version, from here.
    fn tilde(&self, bounds: &mut Vec<Bound>) -> Option<()> {
        let end = match self.numbers {
            [None, ..] => return Some(()),
            [Some(major), None, _] => [major.checked_add(1)?, 0, 0],
            [Some(major), Some(minor), _] => [major, minor.checked_add(1)?, 0],
        };
        bounds.push(self.lowest(Operator::AtLeast)?);
        bounds.push(below(end)?);
        Some(())
    }

    /// Adds the bounds of `^1.2.3`: any change that keeps the leftmost number that is not zero.
    fn caret(&self, bounds: &mut Vec<Bound>) -> Option<()> {
        let end = match self.numbers {
            [None, ..] => return Some(()),
            [Some(0), Some(0), Some(patch)] => [0, 0, patch.checked_add(1)?],
            [Some(0), Some(minor), _] => [0, minor.checked_add(1)?, 0],
            [Some(major), ..] => [major.checked_add(1)?, 0, 0],
        };
        bounds.push(self.lowest(Operator::AtLeast)?);
        bounds.push(below(end)?);
        Some(())
    }

    /// Adds the bounds of `1.2`, `>=1.2` and the like.
    fn compared(&self, sign: &str, bounds: &mut Vec<Bound>) -> Option<()> {
        if self.is_out_of_order() {
            return None;
        }
        // The first version after all that this one stands for.
        let end = match self.numbers {
            [None, ..] => {
                if matches!(sign, ">" | "<") {
                    // No version is before or after every version.
                    bounds.push(below([0, 0, 0])?);
                }
                return Some(());
            }
            [Some(major), None, _] => Some([major.checked_add(1)?, 0, 0]),
            [Some(major), Some(minor), None] => Some([major, minor.checked_add(1)?, 0]),
            _ => None,
        };
        self.check_prefix()?;
        let Some(end) = end else {
            let operator = match sign {
                ">=" => Operator::AtLeast,
                "<=" => Operator::AtMost,
                ">" => Operator::Greater,
                "<" => Operator::Less,
                _ => Operator::Equal,
            };
            bounds.push(self.lowest(operator)?);
            return Some(());
        };
        match sign {
            ">=" => bounds.push(self.lowest(Operator::AtLeast)?),
            "<=" => bounds.push(below(end)?),
            ">" => bounds.push(Bound::new(Operator::AtLeast, end, None)?),
            "<" => {
                let lowest = self.lowest(Operator::Less)?;
                bounds.push(below(lowest.numbers)?);
            }
            _ => {
                bounds.push(self.lowest(Operator::AtLeast)?);
                bounds.push(below(end)?);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
