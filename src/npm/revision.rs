//! `_rev`: which edit of a document this is. Not a version of a package.

use std::fmt;

/// CouchDB's revision text, `<generation>-<digest>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(Box<str>);

impl Revision {
    /// Takes any text; one without a numeric prefix has no generation.
    pub fn new(rev: impl Into<Box<str>>) -> Self {
        Revision(rev.into())
    }

    /// The revision as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number before the dash: how often the document was edited.
    pub fn generation(&self) -> Option<u64> {
        generation(&self.0)
    }

    /// Whether this is an older edit than `announced`: its generation is smaller. Unknown generations are never older.
    pub fn is_older_than(&self, announced: &Revision) -> bool {
        matches!((self.generation(), announced.generation()), (Some(own), Some(other)) if own < other)
    }
}

/// The number before the dash of a `_rev`.
pub fn generation(rev: &str) -> Option<u64> {
    rev.split_once('-')?.0.parse().ok()
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl From<&str> for Revision {
    fn from(rev: &str) -> Self {
        Revision::new(rev)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_smaller_number_is_older() {
        let announced = Revision::from("10-a");
        assert!(Revision::from("9-z").is_older_than(&announced));
        assert!(!Revision::from("10-b").is_older_than(&announced));
        assert!(!Revision::from("11-a").is_older_than(&announced));
        assert!(!Revision::from("x").is_older_than(&announced));
    }
}
