//! Requests for download counts.
//!
//! Not here: which names are asked for together, and halving a bulk that is refused for one of its names (`pipeline/`).

use url::Url;

use super::{Registry, faulty};
use crate::error::{Error, ErrorKind};
use crate::npm::{DownloadsQuery, NamedCounts};
use crate::registry::body::Body;
use crate::registry::classify::{Fault, Verdict, refuses_names};
use crate::registry::exchange::{Question, Reply, Subject};
use crate::registry::failure::RequestFailure;
use crate::registry::limiter::permit::Permit;
use crate::registry::retry::{Attempts, Failed};
use crate::registry::urls::downloads_url;

/// The largest response that is read. One for 128 names and 365 days has some 2 MB.
const MAX_COUNTS_BYTES: usize = 16 << 20;

const JSON: &str = "application/json";

/// A response to a request for download counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadsAnswer {
    /// The counts of each name, in the order of the request. A request without names has one entry.
    Counts(Vec<NamedCounts>),
    /// The server does not respond to these names together. It may to some of them.
    Refused {
        /// The status and the server's words.
        said: String,
    },
}

/// The result of one attempt.
enum Attempted {
    Counts(Vec<NamedCounts>),
    Refused(String),
}

impl Registry {
    /// Requests the downloads of each day.
    ///
    /// Fails with an outcome if all attempts are used up; the failure then concerns these names only. Fails without an
    /// outcome, which stops the run, as [`Registry::packument`] does, and if credentials were refused.
    pub async fn downloads(&self, query: &DownloadsQuery) -> Result<DownloadsAnswer, RequestFailure> {
        let host = &self.inner.hosts.downloads;
        let answer = match self.counts(query).await? {
            Attempted::Counts(counts) => {
                host.took_names();
                DownloadsAnswer::Counts(counts)
            }
            Attempted::Refused(said) => {
                if let Some(_doubt) = host.refused_names().await {
                    // If the host refuses this as well, it refuses everything, and its gate closes.
                    self.counts(&DownloadsQuery { names: Vec::new(), ..query.clone() }).await?;
                    host.took_names();
                }
                DownloadsAnswer::Refused { said }
            }
        };
        Ok(answer)
    }

    async fn counts(&self, query: &DownloadsQuery) -> Result<Attempted, RequestFailure> {
        let host = &self.inner.hosts.downloads;
        let doing = || match query.names.as_slice() {
            [] => format!("asking {} for the downloads of all packages", host.gate.host()),
            [name] => format!("asking {} for the downloads of {:?}", host.gate.host(), name.as_str()),
            names => format!("asking {} for the downloads of {} packages", host.gate.host(), names.len()),
        };
        let url = downloads_url(&self.inner.origin.downloads_url, query).map_err(|failure| failure.doing(doing))?;
        let mut attempts = Attempts::of_counts(&self.inner.config);
        loop {
            let permit = self.enter(host, &mut attempts).await.map_err(|failure| failure.doing(doing))?;
            let failed = match self.counts_once(&url, query, &attempts, permit).await {
                Ok(counts) => return Ok(host.useful(Attempted::Counts(counts))),
                Err(failed) => failed,
            };
            let failed = self.inner.wire.cleaned(failed);
            match failed {
                Failed::NoAnswer { verdict: Verdict::Fatal { reason, .. }, http_status: Some(status) }
                    if refuses_names(status) && !query.names.is_empty() =>
                {
                    return Ok(Attempted::Refused(reason));
                }
                Failed::NoAnswer { verdict: Verdict::Fatal { reason, .. }, http_status: Some(401) } => {
                    let error = Error::new(ErrorKind::Denied, reason);
                    return Err(RequestFailure::stops_the_run(error, attempts.made()).doing(doing));
                }
                failed => self
                    .pause(host, host.standing(), url.path(), &mut attempts, failed)
                    .await
                    .map_err(|failure| failure.doing(doing))?,
            }
        }
    }

    async fn counts_once(
        &self,
        url: &Url,
        query: &DownloadsQuery,
        attempts: &Attempts,
        permit: Permit,
    ) -> Result<Vec<NamedCounts>, Failed> {
        let subject = if query.names.is_empty() { Subject::Resource } else { Subject::CountsOfNames };
        let past_caches = attempts.past_caches();
        let question = Question { url, accept: JSON, validators: None, past_caches, subject };
        let (status, said) = match self.ask(question, permit).await? {
            (Reply::Document { mut body, .. }, _permit) => {
                let whole = read(&mut body).await?;
                return query.decode(&whole).map_err(|error| faulty(Fault::OtherKind(error.message().to_owned())));
            }
            (Reply::Absent { status, said }, _) => (status, said),
            (Reply::NotModified { .. }, _) => (304, "status 304 to a request without conditions".to_owned()),
        };
        match (status, query.names.len()) {
            (404 | 410 | 451, 1) => Ok(vec![NamedCounts::Unknown]),
            _ => Err(Failed::NoAnswer {
                verdict: Verdict::Fatal { oversize: false, reason: said },
                http_status: Some(status),
            }),
        }
    }
}

async fn read(body: &mut Body<'_>) -> Result<Vec<u8>, Failed> {
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await.map_err(faulty)? {
        whole.extend_from_slice(piece);
        if whole.len() > MAX_COUNTS_BYTES {
            return Err(faulty(Fault::OtherKind(format!("download counts of more than {MAX_COUNTS_BYTES} bytes"))));
        }
    }
    Ok(whole)
}
