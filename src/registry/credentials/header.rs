//! Headers of the user's own. They may be secrets, and go to the origin's hosts only.

use reqwest::header::{self, HeaderName, HeaderValue};

use super::Credentials;
use crate::error::{Error, Result};

/// Headers that the client sets by itself, or that belong to one connection.
const CONTROLLED: [HeaderName; 20] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Shorter texts are no secrets, and replacing them would garble a server's words.
const SHORTEST_SECRET: usize = 4;

impl Credentials {
    /// Adds headers for the origin's hosts, each as `Name: value`.
    ///
    /// Fails, of kind Input, for a line that is no header, and for a header that the client sets by itself. The message
    /// never has the value.
    pub fn with_headers<'a>(mut self, lines: impl IntoIterator<Item = &'a str>) -> Result<Credentials> {
        for line in lines {
            self.headers.push(parse(line)?);
        }
        Ok(self)
    }

    /// Returns the user's own headers. They are for the origin's hosts, and marked as sensitive.
    pub(in crate::registry) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Returns the texts of the headers that must never be shown: the values, and the last word of each, as the token
    /// in `Bearer TOKEN`.
    pub(super) fn texts_of_headers(&self) -> impl Iterator<Item = &str> {
        let values = self.headers.iter().filter_map(|(_, value)| value.to_str().ok());
        let texts = values.flat_map(|value| [Some(value), value.split_ascii_whitespace().next_back()]);
        texts.flatten().filter(|text| text.len() >= SHORTEST_SECRET)
    }
}

fn parse(line: &str) -> Result<(HeaderName, HeaderValue)> {
    const FORM: &str = "write it as --header 'Name: value'";
    let Some((name, value)) = line.split_once(':') else {
        return Err(Error::input("a header has no colon").hint(FORM));
    };
    let Ok(header) = HeaderName::from_bytes(name.trim().as_bytes()) else {
        return Err(Error::input("a header has no valid name before its colon").hint(FORM));
    };
    if header == header::USER_AGENT {
        return Err(Error::input("User-Agent is not set by --header")
            .hint("--user-agent-contact TEXT adds a contact to the program's own"));
    }
    if CONTROLLED.contains(&header) || header.as_str() == "keep-alive" || header.as_str() == "proxy-connection" {
        let hint = match header {
            header::PROXY_AUTHORIZATION => {
                "put a proxy's user and password into its URL: http://user:password@host:port"
            }
            _ => "leave it out",
        };
        return Err(Error::input(format!("the header {header} is set by the program itself")).hint(hint));
    }
    let value = value.trim();
    let valid = HeaderValue::from_str(value).ok().filter(|_| value.is_ascii() && !value.is_empty());
    let Some(mut value) = valid else {
        return Err(Error::input(format!("the header {header} has no valid value"))
            .hint("a value is one line of visible ASCII; is the variable that it comes from set?"));
    };
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_header_is_a_name_and_a_value_and_never_shown() {
        let credentials = Credentials::none().with_headers(["X-Gateway:  sesame 1 ", "cookie: a=b"]).unwrap();
        let (name, value) = &credentials.headers()[0];
        assert_eq!((name.as_str(), value.to_str().unwrap(), value.is_sensitive()), ("x-gateway", "sesame 1", true));
        assert!(!format!("{credentials:?}").contains("sesame"));
        let bearer = Credentials::none().with_headers(["Authorization: Bearer sesame"]).unwrap();
        assert_eq!(bearer.without_secrets("no sesame here".to_owned()), "no [secret] here");
    }

    #[test]
    fn an_invalid_header_is_an_input_error_without_its_value() {
        for line in [
            "sesame",
            ": sesame",
            "X Y: sesame",
            "X-Y:",
            "X-Y:  ",
            "X-Y: sesame\r\nHost: evil",
            "X-Y: sésame",
            "Host: sesame",
            "content-length: 6",
            "Accept-Encoding: sesame",
            "Range: sesame",
            "User-Agent: sesame",
            "Proxy-Authorization: sesame",
            "Keep-Alive: sesame",
        ] {
            let error = Credentials::none().with_headers([line]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Input, "{line}");
            assert!(!error.report().contains("same") && error.hint_text().is_some(), "{}", error.report());
        }
    }
}
