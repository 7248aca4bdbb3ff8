//! Divides the text of a pipe or a prompt into statements. Not here: whether they are SQL (`statement`).

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The statements of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// The statements that end with `;`, without it.
    pub complete: Vec<String>,
    /// The text after the last `;`; empty if it is only white space and comments.
    pub rest: String,
}

impl Script {
    /// Divides `text` at every `;` outside of texts, names and comments.
    pub fn read(text: &str) -> Script {
        let mut tokens: Vec<TokenWithSpan> = Vec::new();
        let dialect = GenericDialect {};
        // An unclosed text, name or comment ends the tokens early. The rest of the text then waits for its end.
        let is_whole = Tokenizer::new(&dialect, text).tokenize_with_location_into_buf(&mut tokens).is_ok();
        let mut script = Script::default();
        let mut offsets = OffsetFinder::new(text);
        let mut start = 0;
        let mut says_something = false;
        for token in &tokens {
            match token.token {
                Token::SemiColon => {
                    let end = offsets.offset(token.span.start);
                    if says_something {
                        script.complete.push(text.get(start..end).unwrap_or_default().trim().to_owned());
                    }
                    start = end + 1;
                    says_something = false;
                }
                Token::Whitespace(_) => {}
                _ => says_something = true,
            }
        }
        if says_something || !is_whole {
            text.get(start..).unwrap_or_default().clone_into(&mut script.rest);
        }
        script
    }
}

/// Finds the byte offsets of locations, which must come in order.
struct OffsetFinder<'t> {
    letters: std::str::CharIndices<'t>,
    size_bytes: usize,
    line: u64,
    column: u64,
}

impl<'t> OffsetFinder<'t> {
    fn new(text: &'t str) -> Self {
        OffsetFinder { letters: text.char_indices(), size_bytes: text.len(), line: 1, column: 1 }
    }

    fn offset(&mut self, place: Location) -> usize {
        while (self.line, self.column) < (place.line, place.column) {
            match self.letters.next() {
                Some((_, '\n')) => (self.line, self.column) = (self.line + 1, 1),
                Some(_) => self.column += 1,
                None => break,
            }
        }
        self.letters.clone().next().map_or(self.size_bytes, |(offset, _)| offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> (Vec<String>, String) {
        let script = Script::read(text);
        (script.complete, script.rest)
    }

    #[test]
    fn statements_end_where_a_semicolon_is_one() {
        let text = "select 'a;b', \"c;d\" -- e;f\n, 'é' /* g;h */;\n\n select 2;; -- nothing\n;select 3";
        let (complete, rest) = script(text);
        assert_eq!(complete, ["select 'a;b', \"c;d\" -- e;f\n, 'é' /* g;h */", "select 2"]);
        assert_eq!(rest, "select 3");
    }

    #[test]
    fn an_unclosed_text_waits() {
        assert_eq!(script("select 1; select 'a;\n"), (vec!["select 1".to_owned()], " select 'a;\n".to_owned()));
        assert_eq!(script("select 1 /* ;").0, Vec::<String>::new());
        assert_eq!(script(" \n-- only a remark\n"), (Vec::new(), String::new()));
        assert_eq!(script(""), (Vec::new(), String::new()));
    }
}
