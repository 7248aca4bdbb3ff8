//! The headers in which a session tells each worker of a statement: its version, the overlays that it
//! sees, and its token.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use url::Url;

use crate::error::{Error, ErrorKind};
use crate::query::overlay::View;
use crate::version::TOOL_VERSION;

const VERSION: HeaderName = HeaderName::from_static("x-all-docs-version");
const OVERLAYS: HeaderName = HeaderName::from_static("x-all-docs-overlays");

/// The facts of a statement that a worker needs.
#[derive(Debug, Default, PartialEq)]
pub(in crate::query) struct Wanted {
    /// By the origin, the digest of its overlay as the statement sees it.
    pub(in crate::query) overlays: BTreeMap<String, String>,
    token: Option<String>,
}

impl Wanted {
    pub(super) fn new(overlays: Vec<(String, Arc<View>)>, token: Option<String>) -> Wanted {
        Wanted { overlays: overlays.into_iter().map(|(origin, view)| (origin, view.digest())).collect(), token }
    }

    pub(super) fn headers(&self) -> Result<HeaderMap> {
        let value = |text: String| HeaderValue::try_from(text).map_err(|error| DataFusionError::External(error.into()));
        let mut headers = HeaderMap::new();
        headers.insert(VERSION, value(TOOL_VERSION.to_owned())?);
        let overlays = serde_json::to_string(&self.overlays);
        headers.insert(OVERLAYS, value(overlays.map_err(|error| DataFusionError::External(error.into()))?)?);
        if let Some(token) = &self.token {
            let mut token = value(format!("Bearer {token}"))?;
            token.set_sensitive(true);
            headers.insert(AUTHORIZATION, token);
        }
        Ok(headers)
    }

    /// Reads what a session tells. Fails if it lacks the worker's `token`, or is of another version.
    pub(in crate::query) fn read(headers: &HeaderMap, token: Option<&str>) -> Result<Wanted> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let given = text(&AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        // Digests of one length take the same time to compare, however much of a token was guessed.
        if token.is_some_and(|token| Sha256::digest(token) != Sha256::digest(given)) {
            return Err(refused(Error::new(ErrorKind::Denied, "the token is not the worker's")));
        }
        let (ours, theirs) = (TOOL_VERSION, text(&VERSION).unwrap_or("unknown"));
        if ours != theirs {
            return Err(refused(Error::input(format!("it has version {ours}, and the session {theirs}"))));
        }
        let overlays = serde_json::from_str(text(&OVERLAYS).unwrap_or("{}"));
        let overlays = overlays.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Wanted { overlays, token: None })
    }
}

/// The words before why a worker refuses a session. A worker's errors come as texts.
const REFUSED: &str = "the session is refused: ";

/// Returns the error of a worker that refuses a session.
pub(in crate::query) fn refused(error: Error) -> DataFusionError {
    let kind = error.kind();
    DataFusionError::External(Box::new(Error::new(kind, format!("{REFUSED}{error}"))))
}

/// Finds in the text of an error why the worker at `url` refuses the session.
pub(super) fn refusal(url: &Url, text: &str) -> Option<Error> {
    let why = text.split_once(REFUSED)?.1.lines().next()?;
    let (kind, hint) = match why.contains("token") {
        true => (
            ErrorKind::Denied,
            "give the token that the worker was started with: --worker-token, or ALL_DOCS_WORKER_TOKEN",
        ),
        false => (ErrorKind::Input, "start the same version of all-docs with the same --lake on all machines"),
    };
    Some(Error::new(kind, format!("the worker {url} refuses the session: {why}")).hint(hint))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_reads_what_a_session_tells_and_refuses_others() {
        let overlays = BTreeMap::from([("npm".to_owned(), "ab12".to_owned())]);
        let told = Wanted { overlays: overlays.clone(), token: Some("secret".to_owned()) };
        let mut headers = told.headers().unwrap();
        assert_eq!(Wanted::read(&headers, Some("secret")).unwrap().overlays, overlays);
        assert_eq!(Wanted::read(&headers, None).unwrap().overlays, overlays);
        assert!(Wanted::read(&headers, Some("other")).unwrap_err().to_string().contains("not the worker's"));
        headers.insert(VERSION, HeaderValue::from_static("0.0.1"));
        assert!(Wanted::read(&headers, Some("secret")).unwrap_err().to_string().contains("and the session 0.0.1"));
        assert!(Wanted::read(&HeaderMap::new(), Some("secret")).is_err());
    }
}
