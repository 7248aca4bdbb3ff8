//! A package's name, its order and its form in a URL. Not here: npm's present rules for names; old names break every
//! rule.

use std::borrow::Borrow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// The characters that may be unescaped in a path segment: unreserved characters and `@` (npm-facts A.5).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

/// The name of a package as the registry spells it. Names sort by their UTF-8 bytes, here and everywhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(Box<str>);

impl PackageName {
    /// Accepts any text: the registry holds names that no present rule allows.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        PackageName(name.into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the scope without its `@`: `types` of `@types/node`.
    pub fn scope(&self) -> Option<&str> {
        scope(&self.0)
    }

    /// Returns the name as one path segment of a URL: `@types%2Fnode`.
    ///
    /// Returns `None` for a name that a URL parser would resolve to another resource: `.`, `..`, a scope followed by
    /// either (`@x/..`; a server may decode `%2F` before it resolves dots), and the empty name.
    pub fn path_segment(&self) -> Option<String> {
        if self.0.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return None;
        }
        Some(percent_encode(self.0.as_bytes(), SEGMENT).to_string())
    }

    /// Returns the name part of `name` or `name@version`, as lists of packages write them.
    pub fn from_spec(spec: &str) -> Self {
        let from = usize::from(spec.starts_with('@'));
        match spec[from..].find('@') {
            Some(at) => PackageName::new(&spec[..from + at]),
            None => PackageName::new(spec),
        }
    }
}

/// Returns the scope of a name without its `@`, if it has one.
pub fn scope(name: &str) -> Option<&str> {
    let (scope, _) = name.strip_prefix('@')?.split_once('/')?;
    Some(scope)
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl Borrow<str> for PackageName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PackageName {
    fn from(name: &str) -> Self {
        PackageName::new(name)
    }
}

impl From<String> for PackageName {
    fn from(name: String) -> Self {
        PackageName::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scoped_name_is_one_segment() {
        assert_eq!(PackageName::from("@types/node").path_segment().as_deref(), Some("@types%2Fnode"));
        assert_eq!(PackageName::from("a b?#%").path_segment().as_deref(), Some("a%20b%3F%23%25"));
        assert_eq!(PackageName::from("~x!*'()").path_segment().as_deref(), Some("~x%21%2A%27%28%29"));
    }

    #[test]
    fn a_name_that_would_reach_another_resource_has_no_segment() {
        for name in ["", ".", "..", "@x/..", "@x/.", "../y", "@x/"] {
            assert_eq!(PackageName::from(name).path_segment(), None, "{name:?}");
        }
        assert!(PackageName::from("...").path_segment().is_some());
    }

    #[test]
    fn a_spec_loses_its_version_only() {
        assert_eq!(PackageName::from_spec("lodash@4.17.21").as_str(), "lodash");
        assert_eq!(PackageName::from_spec("@a/b@1").as_str(), "@a/b");
        assert_eq!(PackageName::from_spec("@a/b").as_str(), "@a/b");
        assert_eq!(PackageName::from_spec("@").as_str(), "@");
        assert_eq!(PackageName::from_spec("").as_str(), "");
    }

    #[test]
    fn order_is_by_bytes() {
        let mut names = ["a", "Z", "@a/b", "_", "-", "\u{ffff}", "\u{10000}", "9"].map(PackageName::from);
        names.sort();
        assert_eq!(
            names.each_ref().map(PackageName::as_str),
            ["-", "9", "@a/b", "Z", "_", "a", "\u{ffff}", "\u{10000}"]
        );
    }
}
