//! The outcome of the last request for a name, kept as data instead of a line in a log.

/// The `outcome` column of the `outcomes` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A document with versions, or one without versions that is no tombstone.
    Present,
    /// A document that says that the whole package was unpublished.
    Tombstone,
    /// 404: the package never existed, or was purged; npm responds to both alike.
    NotFound,
    /// 451, or a name whose URL would reach another resource.
    Blocked,
    /// Larger than the cap on a document's size.
    Oversize,
    /// Not JSON, or JSON that is no packument. The bytes are kept.
    Malformed,
    /// Older than the revision that was announced for it. It is kept, and requested again.
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

    /// Returns whether the same revision need not be requested again.
    pub fn is_settled(self) -> bool {
        !matches!(self, Outcome::Stale | Outcome::Failed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_round_trips() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::parse(outcome.as_str()), Some(outcome));
        }
        assert_eq!(Outcome::parse("lost"), None);
    }
}
