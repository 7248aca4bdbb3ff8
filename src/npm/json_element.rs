//! Finds the end of one JSON element without decoding it, and without starting over when more bytes arrive.
//!
//! It is not a validator: it counts brackets and respects strings. The element still has to be decoded.

use memchr::memchr2;

/// The state of the search for the end of one element.
#[derive(Debug, Default)]
pub(crate) struct ElementEnd {
    seen_bytes: usize,
    depth: usize,
    in_string: bool,
}

impl ElementEnd {
    /// Returns the length of the element that `bytes` begins with, or `None` while its end has not arrived.
    ///
    /// After `None`, call it again with the same bytes and more after them: it does not look at the seen bytes again.
    /// After a length, the search is ready for the next element. A number or a bare word ends before the byte that
    /// follows it, so its end is known only when that byte has arrived.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.seen_bytes;
        while let Some(&byte) = bytes.get(at) {
            if self.in_string {
                let rest = bytes.get(at..).unwrap_or_default();
                let Some(stop) = memchr2(b'"', b'\\', rest) else {
                    at = bytes.len();
                    break;
                };
                at += stop;
                if rest.get(stop) == Some(&b'\\') {
                    // The escaped character may not have arrived yet. The search then resumes at the backslash.
                    if at + 1 >= bytes.len() {
                        break;
                    }
                    at += 2;
                    continue;
                }
                self.in_string = false;
                at += 1;
                if self.depth == 0 {
                    return self.ended(at);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 1 => self.depth -= 1,
                b'}' | b']' if self.depth == 1 => return self.ended(at + 1),
                b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return self.ended(at),
                _ => {}
            }
            at += 1;
        }
        self.seen_bytes = at;
        None
    }

    /// Returns whether a search is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.seen_bytes > 0
    }

    fn ended(&mut self, length: usize) -> Option<usize> {
        *self = ElementEnd::default();
        Some(length)
    }
}

/// Returns the number of bytes of white space that `bytes` begins with.
pub(crate) fn white_space(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_ends_where_its_bracket_quote_or_word_does() {
        for (text, length) in [
            (r#"{"a":[1,{"b":"}"}]} ,"#, Some(19)),
            (r#""a\"b\\" "#, Some(8)),
            ("12.5e3,", Some(6)),
            ("null]", Some(4)),
            ("12", None),
            (r#"{"a":1"#, None),
            (r#""a\"#, None),
            ("[]", Some(2)),
        ] {
            assert_eq!(ElementEnd::default().find(text.as_bytes()), length, "{text}");
        }
    }

    #[test]
    fn a_search_that_resumes_finds_the_same_end() {
        let text = r#"{"a\\\"":[1,{"b":"}\\"}],"c":"\u0041"} tail"#.as_bytes();
        let whole = ElementEnd::default().find(text);
        assert_eq!(whole, Some(text.len() - 5));
        let mut search = ElementEnd::default();
        for end in 0..whole.unwrap_or_default() {
            assert_eq!(search.find(&text[..end]), None, "at {end}");
        }
        assert_eq!(search.find(text), whole);
        assert!(!search.is_under_way());
    }
}
