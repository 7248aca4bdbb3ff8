//! The first requests to a server, which show whether it is a registry database: when to give up, and the error.
//!
//! A server that has listed names is a database, and whatever it responds later may pass. Before that, a response that
//! no database gives is believed soon: the URL is wrong, a proxy responds in its place, or it lists nothing.

use url::Url;

use super::classify::{Pressure, UnknownServer, Verdict};
use super::failure::RequestFailure;
use super::origin::host_of;
use super::retry::Failed;
use crate::error::{Error, ErrorKind};

/// The replies in a row that ended the attempts, if any proxy on the way may have sent them: one can be chance.
const MAX_STRANGE_REPLIES: u32 = 3;

/// The failures of the server itself that end the attempts. One that names a time is waited for.
const MAX_TROUBLED_REPLIES: u32 = 8;

const OTHER_ORIGIN: &str =
    "for a mirror, list npm's names and fetch the documents from the mirror: --origin npm --registry";
const TOKEN: &str =
    "put a valid token for this server into .npmrc, as //host/path/:_authToken=…; one that is there may have expired";

/// The attempts at one resource that a database has.
#[derive(Debug)]
pub(super) struct Introduction<'a> {
    /// The URL of the database.
    url: &'a Url,
    /// `_all_docs` or `_changes`; `None` for the database's information, at the URL itself.
    resource: Option<&'static str>,
    /// Whether the server has listed names in an earlier run.
    has_listed_before: bool,
    strange: u32,
}

impl<'a> Introduction<'a> {
    pub(super) fn new(url: &'a Url, resource: Option<&'static str>, has_listed_before: bool) -> Self {
        Introduction { url, resource, has_listed_before, strange: 0 }
    }

    /// Decides whether the attempt after the `made`-th failed one can help.
    pub(super) fn judged(&mut self, failed: Failed, made: u32) -> Failed {
        let Failed::NoAnswer { verdict, http_status } = failed else { return failed };
        let verdict = match (verdict, http_status) {
            // A server that names a time has more to say later.
            (Verdict::Retry { reason, retry_after: None, unknown_server, pressure, past_caches }, status) => {
                let may_be_of_a_proxy = status == Some(403) || unknown_server == UnknownServer::Answers;
                self.strange += u32::from(may_be_of_a_proxy);
                let is_final = match status {
                    Some(404 | 410) => self.resource.is_none() || made > 1,
                    Some(501) => true,
                    // Then patience decides.
                    Some(500..=599) => made >= MAX_TROUBLED_REPLIES && !self.has_listed_before,
                    _ => may_be_of_a_proxy && self.strange >= MAX_STRANGE_REPLIES,
                };
                match is_final {
                    true => Verdict::Fatal { oversize: false, reason },
                    false => Verdict::Retry { reason, retry_after: None, unknown_server, pressure, past_caches },
                }
            }
            // One of several servers behind a name may lag behind.
            (Verdict::Fatal { reason, .. }, Some(403 | 404 | 410)) if self.resource.is_some() && made == 1 => {
                Verdict::Retry {
                    pressure: Pressure::None,
                    retry_after: None,
                    unknown_server: UnknownServer::No,
                    past_caches: true,
                    reason,
                }
            }
            (verdict, _) => verdict,
        };
        Failed::NoAnswer { verdict, http_status }
    }

    /// Returns the error of a run that cannot go on without the resource.
    pub(super) fn error(&self, failure: RequestFailure) -> Error {
        let RequestFailure { error, http_status, outcome, .. } = failure;
        let (Some(status), Some(_)) = (http_status, outcome) else { return error };
        let (url, why) = (self.url, error.message());
        let (kind, what) = match (status, self.resource) {
            (401 | 403, None) => (ErrorKind::Denied, format!("the server at {url} refuses access")),
            (401 | 403, Some(resource)) => {
                (ErrorKind::Denied, format!("the server at {url} refuses access to {resource}"))
            }
            (408 | 421 | 425 | 429 | 500 | 502..=599, _) => {
                return error.hint("the server is in trouble: run the same command again later");
            }
            (_, None) => (ErrorKind::Network, format!("there is no registry database at {url}")),
            (_, Some(resource)) => (ErrorKind::Network, format!("the registry at {url} has no {resource}")),
        };
        let hint = match (kind, self.resource) {
            (ErrorKind::Denied, _) => TOKEN.to_owned(),
            (_, None) => format!(
                "an origin must serve its information at this URL and _all_docs below it, as npm's replication host and CouchDB do; \
                check the URL, and that no proxy or login page responds in its place;\n{OTHER_ORIGIN} {url}"
            ),
            (_, Some(_)) => format!("a server without it cannot be listed; {OTHER_ORIGIN} {url}"),
        };
        Error::new(kind, format!("{what}: {why}")).hint(hint)
    }
}

/// Returns a failure that another attempt does not help.
pub(super) fn final_failure(reason: String, http_status: u16) -> Failed {
    Failed::NoAnswer { verdict: Verdict::Fatal { oversize: false, reason }, http_status: Some(http_status) }
}

/// Returns the failure of a request that a redirect has led to a page for people: that is no passing fault.
pub(super) fn at_a_login(failed: Failed, url: &Url) -> Failed {
    match failed {
        Failed::NoAnswer {
            verdict: Verdict::Retry { unknown_server: UnknownServer::Answers, reason, .. },
            http_status: Some(status),
        } => final_failure(format!("it redirects to {}, which returns {reason}", host_of(url)), status),
        failed => failed,
    }
}
