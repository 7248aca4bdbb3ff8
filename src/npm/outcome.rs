//! What became of the last request for a name: data, never a lost line in a log.

/// The `outcome` column of the `outcomes` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A document with versions, or in any case not a tombstone.
    Present,
    /// A document that says the whole package was unpublished.
    Tombstone,
    /// 404: it never existed, or was purged; npm answers both alike.
    NotFound,
    /// 451, or a name whose URL would reach another resource.
    Blocked,
    /// Larger than the cap on a document's size.
    Oversize,
    /// Not JSON, or JSON that is no packument. The bytes are kept.
    Malformed,
    /// Older than the revision that was announced for it. Kept, and asked for again.
    Stale,
    /// No answer within the bound on attempts.
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

    /// As it stands in the table.
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

    /// The outcome of that spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }

    /// Whether the same revision need not be asked for again.
    pub fn is_settled(self) -> bool {
        !matches!(self, Outcome::Stale | Outcome::Failed)
    }

    /// Whether all is known that there is: a document at its announced revision, or the tombstone of one.
    pub fn is_whole(self) -> bool {
        matches!(self, Outcome::Present | Outcome::Tombstone)
    }

    /// Whether the lake holds the bytes of a document for such a name.
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
