//! A person as package.json writes one on a line: `Name <email> (url)`.

/// The parts of such a line; each may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Person<'a> {
    /// The text before the brackets.
    pub name: Option<&'a str>,
    /// The text in `<…>`.
    pub email: Option<&'a str>,
    /// The text in `(…)`.
    pub url: Option<&'a str>,
}

impl<'a> Person<'a> {
    /// Reads a line. Trims white space around each part; an empty part is missing.
    pub fn parse(line: &'a str) -> Self {
        let name = line.split(['<', '(']).next();
        Person { name: name.and_then(filled), email: between(line, '<', '>'), url: between(line, '(', ')') }
    }
}

fn filled(part: &str) -> Option<&str> {
    let part = part.trim();
    (!part.is_empty()).then_some(part)
}

/// Returns the text between the first `open` and the next `close`.
fn between(line: &str, open: char, close: char) -> Option<&str> {
    let (_, rest) = line.split_once(open)?;
    filled(rest.split_once(close)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_may_be_missing() {
        let parts = |line| {
            let Person { name, email, url } = Person::parse(line);
            (name, email, url)
        };
        assert_eq!(parts("A B <a@b.c> (http://d)"), (Some("A B"), Some("a@b.c"), Some("http://d")));
        assert_eq!(parts("(http://d) <a@b.c>"), (None, Some("a@b.c"), Some("http://d")));
        assert_eq!(parts(" A "), (Some("A"), None, None));
        assert_eq!(parts("A <broken"), (Some("A"), None, None));
        assert_eq!(parts(""), (None, None, None));
    }
}
