//! The outcome of the last request for a name, kept as data instead of a line in a log, and what it depends on.

use std::fmt;
use std::time::Duration;

/// How long an outcome that time can change is believed, by how often it was seen in a row. A registry's cache keeps a
/// false 404 for some minutes. The last wait applies to each further repetition: 28,000 names that are really gone then
/// cost 28,000 requests a month, of 4 million.
const BELIEVED_FOR: [Duration; 6] =
    [minutes(5), minutes(60), minutes(6 * 60), minutes(24 * 60), minutes(7 * 24 * 60), minutes(30 * 24 * 60)];

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// The `outcome` column of the `outcomes` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A document with versions, or one without versions that is no tombstone.
    Present,
    /// A document that says that the whole package was unpublished.
    Tombstone,
    /// 404 or 410: the package never existed, or was purged; npm responds to both alike.
    NotFound,
    /// 401, 403 or 451, or a name whose URL would reach another resource.
    Blocked,
    /// Larger than the cap on a document's size.
    Oversize,
    /// Not JSON, or JSON that is no packument. The bytes are kept.
    Malformed,
    /// Older than the revision that was announced for it, also because the registry gives no other though it lists the
    /// name. It is kept, and requested again.
    Stale,
    /// No response within the bound on attempts.
    Failed,
}

impl Outcome {
    /// All of them, in the order of their declaration.
    pub const ALL: [Outcome; 8] = [
        Outcome::Present,
        Outcome::Tombstone,
        Outcome::NotFound,
        Outcome::Blocked,
        Outcome::Oversize,
        Outcome::Malformed,
        Outcome::Stale,
        Outcome::Failed,
    ];

    /// Returns the outcome as the table spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Present => "present",
            Outcome::Tombstone => "tombstone",
            Outcome::NotFound => "not_found",
            Outcome::Blocked => "blocked",
            Outcome::Oversize => "oversize",
            Outcome::Malformed => "malformed",
            Outcome::Stale => "stale",
            Outcome::Failed => "failed",
        }
    }

    /// Returns the outcome of that spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }

    /// Returns whether the next run requests the same revision again, whatever the time: nothing is known yet.
    pub fn is_open(self) -> bool {
        matches!(self, Outcome::Stale | Outcome::Failed)
    }

    /// Returns whether time and other credentials can change the outcome of the same revision.
    pub fn can_change(self) -> bool {
        matches!(self, Outcome::NotFound | Outcome::Blocked | Outcome::Malformed)
    }

    /// Returns the time from which on the same revision is requested again, in microseconds since 1970, if the outcome
    /// came at `fetched_at_us` and was seen `repetitions` times in a row. `None` if only another revision, other
    /// credentials or another limit cause a request.
    pub fn next_request_us(self, fetched_at_us: i64, repetitions: u32) -> Option<i64> {
        if self.is_open() {
            return Some(fetched_at_us);
        }
        let last = BELIEVED_FOR.len() - 1;
        let place = usize::try_from(repetitions.saturating_sub(1)).unwrap_or(last).min(last);
        let wait = BELIEVED_FOR.get(place).filter(|_| self.can_change())?;
        Some(fetched_at_us.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns whether nothing is left to learn: the lake has a document at its announced revision, or the tombstone of
    /// one.
    pub fn is_whole(self) -> bool {
        matches!(self, Outcome::Present | Outcome::Tombstone)
    }

    /// Returns whether the lake holds the bytes of a document for such a name.
    pub fn has_document(self) -> bool {
        matches!(self, Outcome::Present | Outcome::Tombstone | Outcome::Malformed | Outcome::Stale)
    }
}

/// A mark of the credentials that a request carried: equal for equal ones. It has 16 bits, so that it tells a renewed
/// token from an expired one and is of no use for finding either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(Option<u16>);

impl Fingerprint {
    /// No credentials.
    pub const NONE: Fingerprint = Fingerprint(None);

    /// Makes the fingerprint of credentials from bits of their digest.
    pub fn new(bits: u16) -> Self {
        Fingerprint(Some(bits))
    }

    /// Parses a fingerprint as the table spells it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Fingerprint::NONE),
            digits if digits.len() == 4 => u16::from_str_radix(digits, 16).ok().map(Fingerprint::new),
            _ => None,
        }
    }
}

impl fmt::Display for Fingerprint {
    /// Writes `none`, or four hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(bits) => write!(f, "{bits:04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_round_trips() {
        for (fingerprint, text) in [(Fingerprint::NONE, "none"), (Fingerprint::new(0x0a3), "00a3")] {
            assert_eq!((fingerprint.to_string().as_str(), Fingerprint::parse(text)), (text, Some(fingerprint)));
        }
        assert_eq!(Fingerprint::parse("secret"), None);
    }

    #[test]
    fn an_outcome_that_repeats_is_believed_for_longer_each_time() {
        let minutes_until = |outcome: Outcome, repetitions| {
            outcome.next_request_us(7, repetitions).map(|at_us| (at_us - 7) / 60_000_000)
        };
        for outcome in [Outcome::NotFound, Outcome::Blocked, Outcome::Malformed] {
            let waits: Vec<_> = (0..9).filter_map(|repetitions| minutes_until(outcome, repetitions)).collect();
            assert_eq!(waits, [5, 5, 60, 360, 1_440, 10_080, 43_200, 43_200, 43_200]);
        }
        for outcome in [Outcome::Present, Outcome::Tombstone, Outcome::Oversize] {
            assert_eq!(minutes_until(outcome, 1), None);
        }
        assert_eq!((minutes_until(Outcome::Failed, 9), minutes_until(Outcome::Stale, 1)), (Some(0), Some(0)));
    }

    #[test]
    fn spelling_round_trips() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!(Outcome::parse("lost"), None);
    }
}
