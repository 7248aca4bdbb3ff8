//! The token of a worker.

/// Reads a token: it goes over the network as a part of a header. An empty one is refused, since a worker would be open to
/// everybody where a secret is not set.
pub(super) fn token(text: &str) -> Result<String, String> {
    match text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        true => Err("a token has one or more letters, digits and signs of ASCII; leave it out to have none".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// Reads the token of somebody who asks workers; an empty one is none.
pub(super) fn token_or_none(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { token(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_into_a_header() {
        assert_eq!(token("s3cret-!").as_deref(), Ok("s3cret-!"));
        for text in ["", " ", "s3cr\u{e9}t", "a\nb", "a b"] {
            assert!(token(text).is_err(), "{text:?}");
        }
    }
}
