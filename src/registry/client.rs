//! The registry client: the registry's information, its pages, its packuments.
//!
//! Each request is a loop of attempts: wait at the gate, take from the budget, send, then return the response or
//! compute the next pause. `classify` decides what a response means; `exchange` sends one request over the wire.

mod database;
mod downloads;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::budget::{RequestBudget, RequestLedger, month_of};
use super::classify::{Evidence, Fault, classify, looks_like_json, not_json};
use super::config::RegistryConfig;
use super::credentials::Credentials;
use super::exchange::{ExchangeOutcome, Question, Reply, Subject, Wire};
use super::failure::RequestFailure;
use super::hosts::{Host, Hosts};
use super::identity::{End, claimed_name};
use super::introduction::at_a_login;
use super::limiter::gate::GateStatus;
use super::limiter::permit::Permit;
use super::origin::Origin;
use super::packument::{BodyGate, Grown, PackumentRequest, Response, accept};
use super::retry::{Attempts, Failed, Standing};
use super::statistics::{Statistics, add};
use super::urls::packument_url;
use super::webhook::Webhook;
use super::whole::{Whole, read_whole};
use super::worker_client::WorkerClient;
use crate::error::Result;
use crate::npm::{Answer, Document, Fingerprint, PackageName, Representation, Validators};
pub use downloads::DownloadsAnswer;

/// The largest error message that a server serves as a document.
const LARGEST_MESSAGE_BYTES: usize = 64 << 10;

/// A registry. Clones share connections, limits, budget and counters.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    origin: Origin,
    config: RegistryConfig,
    wire: Wire,
    hosts: Hosts,
    budget: RequestBudget,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("origin", &self.inner.origin).finish_non_exhaustive()
    }
}

impl Registry {
    /// Creates a client for `origin`. Sends nothing. Requests need a tokio runtime with time and I/O.
    ///
    /// Fails, of kind Input, for a user agent that is not valid in a header.
    pub fn new(origin: Origin, config: RegistryConfig, credentials: Credentials) -> Result<Registry> {
        let wire =
            Wire::new(&config, [&origin.replicate_url, &origin.registry_url, &origin.downloads_url], credentials)?;
        let hosts = Hosts::new(&origin, &config);
        let budget = RequestBudget::new(config.monthly_budget);
        Ok(Registry { inner: Arc::new(Inner { origin, config, wire, hosts, budget }) })
    }

    /// Returns the origin that this client reads.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// Makes a webhook that is reached like the registry: by the same proxies, and with the same trust.
    ///
    /// Fails, of kind Input, if `url` is no address of HTTP.
    pub fn webhook(&self, url: &str, secret: Option<String>) -> Result<Webhook> {
        Webhook::new(&self.inner.config, url, secret)
    }

    /// Makes the client of a worker that is reached like the registry.
    ///
    /// Fails, of kind Input, if `url` is no address of HTTP.
    pub fn worker(&self, url: &str, token: Option<String>) -> Result<WorkerClient> {
        WorkerClient::new(&self.inner.config, url, token)
    }

    /// Returns how long a host may refuse or be away.
    pub fn patience(&self) -> Duration {
        self.inner.config.registry.patience
    }

    /// Returns the size limit of a decoded document, in bytes.
    pub fn max_document_bytes(&self) -> u64 {
        self.inner.config.max_document_bytes
    }

    /// Returns the counters of all exchanges so far.
    pub fn statistics(&self) -> Statistics {
        self.inner.wire.counters.read()
    }

    /// Returns the state of the gates: that of `_all_docs`, that of packuments, and that of download counts. They are
    /// the same if one host serves all.
    pub fn gates(&self) -> [GateStatus; 3] {
        let hosts = &self.inner.hosts;
        [&hosts.replicate, &hosts.registry, &hosts.downloads].map(|host| host.gate.status())
    }

    /// Limits every host from now on to one part in `share` of its limits, for `share` machines in all. If processes of
    /// this machine share a gate, the largest `share` of any of them applies.
    pub fn set_share(&self, share: NonZeroU32) {
        self.inner.hosts.set_share(share);
    }

    /// Joins the processes that share the limits of the origin's hosts: those of this process hold for all from now on. The
    /// first request does it otherwise. Must be called within a runtime.
    pub fn join(&self) {
        self.inner.hosts.join();
    }

    /// Returns the number of machines that share the limits.
    #[cfg(test)]
    pub(crate) fn share(&self) -> NonZeroU32 {
        self.inner.hosts.share()
    }

    /// Counts requests in `ledger` from now on, each before it is sent. Moves the requests sent earlier there too.
    /// Fails as the ledger does.
    pub async fn count_in(&self, ledger: Arc<dyn RequestLedger>) -> Result<()> {
        let ledger = match &self.inner.config.fleet {
            Some(fleet) => fleet.ledger(ledger),
            None => ledger,
        };
        self.inner.budget.count_in(ledger).await
    }

    /// Returns unsent requests to the ledger that counted them. Fails as the ledger does.
    pub async fn settle_budget(&self) -> Result<()> {
        self.inner.budget.settle().await
    }

    /// Returns the fingerprint of the credentials that a request for a name's packument carries.
    pub fn credentials_for(&self, name: &PackageName) -> Fingerprint {
        match packument_url(&self.inner.origin.registry_url, name) {
            Ok(url) => self.inner.wire.fingerprint(&url),
            Err(_) => Fingerprint::NONE,
        }
    }

    /// Requests one packument. Calls `gate` with the size of the body's decoded bytes before they are kept.
    ///
    /// A name that no URL can express is never sent: the failure has the outcome Blocked.
    pub async fn packument<G: BodyGate>(
        &self,
        request: &PackumentRequest,
        gate: &G,
    ) -> Result<Response, RequestFailure> {
        let doing = || {
            format!("asking {} for the packument of {:?}", self.inner.hosts.registry.gate.host(), request.name.as_str())
        };
        let url =
            packument_url(&self.inner.origin.registry_url, &request.name).map_err(|failure| failure.doing(doing))?;
        let mut attempts = Attempts::of_a_name(&self.inner.config);
        loop {
            let host = &self.inner.hosts.registry;
            let mut permit = self.enter(host, &mut attempts).await.map_err(|failure| failure.doing(doing))?;
            permit.longest_refusal = host.serves_others().then(|| host.gate.patience());
            let longest_refusal = permit.longest_refusal;
            let failed = match self.packument_once(&url, request, gate, &attempts, permit).await {
                Ok(response) => return Ok(host.useful(response)),
                Err(failed) => failed,
            };
            if longest_refusal.is_some_and(|longest| failed.is_refused_for() > longest) {
                host.refused_for_long();
                return Err(attempts.given_up(self.inner.wire.cleaned(failed)).doing(doing));
            }
            let mut standing = host.standing();
            if attempts.doubt_host(&failed, standing) {
                standing.is_down = self.is_down(&attempts).await.map_err(|failure| failure.doing(doing))?;
            }
            self.pause(host, standing, url.path(), &mut attempts, failed)
                .await
                .map_err(|failure| failure.doing(doing))?;
        }
    }

    /// Asks the host of packuments for its root. That shows whether it is down for all, or fails for one name.
    async fn is_down(&self, attempts: &Attempts) -> Result<bool, RequestFailure> {
        let admitted = self.admit(&self.inner.hosts.registry).await;
        let mut permit = admitted.map_err(|error| attempts.not_sent(error))?;
        (permit.failures_are_about_host, permit.is_of_known_host) = (true, true);
        let url = &self.inner.origin.registry_url;
        let accept = accept(Representation::Full);
        let question = Question { url, accept, validators: None, past_caches: false, subject: Subject::Resource };
        Ok(self.inner.wire.ask(&question, &permit).await.is_err_and(|failed| failed.is_down()))
    }

    /// Waits for the right to send one request, and takes it from the host's budget.
    async fn admit(&self, host: &Host) -> Result<Permit> {
        let permit = host.gate.enter().await?;
        let month = month_of(jiff::Timestamp::now());
        self.inner.budget.take(host.gate.host(), &month).await?;
        Ok(permit)
    }

    /// Sends one request and follows redirects. Each hop is a request to its host and uses that host's gate and budget.
    /// Returns the permit of the host that responded.
    async fn ask(&self, question: Question<'_>, mut permit: Permit) -> Result<(Reply<'_>, Permit), Failed> {
        let (mut url, mut hops, mut other): (_, _, Option<Arc<Host>>) = (question.url.clone(), 0, None);
        loop {
            let (to, status) = match (self.inner.wire.ask(&Question { url: &url, ..question }, &permit).await, &other) {
                (Ok(ExchangeOutcome::Reply(reply)), None) => return Ok((reply, permit)),
                (Ok(ExchangeOutcome::Reply(reply)), Some(host)) => return Ok((host.useful(reply), permit)),
                (Ok(ExchangeOutcome::Redirect { to, http_status }), _) => (to, http_status),
                (Err(failed), None) => return Err(failed),
                (Err(failed), Some(host)) => {
                    let failed = failed.of_another_host(&url, host.standing());
                    return Err(if question.subject == Subject::Database { at_a_login(failed, &url) } else { failed });
                }
            };
            url = to;
            let misled = |fault| misled(fault, status);
            if hops == self.inner.config.max_redirects {
                return Err(misled(Fault::Redirect(format!("it redirects more than {hops} times"))));
            }
            hops += 1;
            // Its place must be free before the next one is awaited.
            drop(permit);
            let host = self.inner.hosts.of(&url).map_err(misled)?;
            permit = self.admit(&host).await.map_err(Failed::NotSent)?;
            let is_known = host.standing().useful_answers > 0;
            (permit.failures_are_about_host, permit.is_of_known_host) = (is_known, is_known);
            other = Some(host);
        }
    }

    /// Begins an attempt once it may be sent.
    async fn enter(&self, host: &Host, attempts: &mut Attempts) -> Result<Permit, RequestFailure> {
        let mut permit = self.admit(host).await.map_err(|error| attempts.not_sent(error))?;
        permit.refusals_are_about_name = attempts.is_refused_for_its_name();
        permit.failures_are_about_host = attempts.concern_the_host(host.standing());
        permit.is_of_known_host = true;
        if attempts.made() > 0 {
            add(&self.inner.wire.counters.retries, 1);
        }
        attempts.begin();
        Ok(permit)
    }

    /// Waits before the next attempt, without holding a place among the requests in flight.
    async fn pause(
        &self,
        host: &Host,
        standing: Standing,
        path: &str,
        attempts: &mut Attempts,
        failed: Failed,
    ) -> Result<(), RequestFailure> {
        let (name, attempt) = (host.gate.host(), attempts.made());
        let failed = self.inner.wire.cleaned(failed);
        let (status, reason) = failed.status_and_reason();
        let pause = match attempts.after(failed, fastrand::f64(), standing) {
            Ok(pause) => pause,
            Err(failure) => {
                tracing::debug!(host = name, path, attempt, status, reason, "a request is given up");
                return Err(failure);
            }
        };
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(host = name, path, attempt, status, reason, pause_ms, "a request is retried");
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn packument_once<G: BodyGate>(
        &self,
        url: &Url,
        request: &PackumentRequest,
        gate: &G,
        attempts: &Attempts,
        permit: Permit,
    ) -> Result<Response, Failed> {
        let question = Question {
            url,
            accept: accept(request.representation),
            validators: request.validators.as_ref(),
            past_caches: attempts.past_caches(),
            subject: Subject::Resource,
        };
        let limit_bytes = self.inner.config.max_document_bytes;
        let (reply, permit) = self.ask(question, permit).await?;
        let (mut gzip, mut is_packument) = (None, false);
        let (answer, http_status, validators) = match reply {
            Reply::Document { mut body, validators } => {
                let mut grown = Grown::new(gate, &permit);
                let whole = read_whole(&mut body, &mut grown, limit_bytes).await.map_err(faulty)?;
                let Whole { document: bytes, gzip: as_it_came } = whole;
                if !looks_like_json(&bytes)
                    && let Some(verdict) = not_json(body.headers(), &bytes, self.inner.wire.words(&bytes).as_deref())
                {
                    return Err(Failed::NoAnswer { verdict, http_status: Some(200) });
                }
                let (is_held, is_last) = (request.is_held, attempts.is_last());
                check(&bytes, &request.name, End { is_certain: body.has_certain_end(), is_held, is_last })?;
                // The lake holds a document of this name: only a packument may replace it.
                is_packument = mentions_a_packument(&bytes);
                if request.is_held && !is_packument {
                    return Err(faulty(Fault::OtherKind("it has no _id, name, time or versions".to_owned())));
                }
                grown.keep();
                gzip = as_it_came;
                let representation = request.representation;
                (Answer::Fresh(Document { bytes, representation, validators: validators.clone() }), 200, validators)
            }
            Reply::NotModified { validators } => {
                let asked = request.validators.clone().unwrap_or_default();
                let etag = validators.etag.or(asked.etag);
                let last_modified = validators.last_modified.or(asked.last_modified);
                (Answer::NotModified, 304, Validators { etag, last_modified })
            }
            Reply::Absent { status, said } => {
                (Answer::Gone { status, said: Some(said) }, status, Validators::default())
            }
        };
        Ok(Response { answer, http_status, attempts: attempts.made(), validators, is_packument, gzip })
    }
}

/// Fails unless a packument is complete and has the requested name. Does not check that it is well formed: an
/// unreadable one is kept and recorded as malformed.
fn check(document: &[u8], name: &PackageName, end: End) -> Result<(), Failed> {
    if !end.is_whole(document) {
        return Err(faulty(Fault::Cut("the document stops before its last brace".to_owned())));
    }
    match claimed_name(document) {
        Some(found) if found != name.as_str() => Err(faulty(Fault::OtherName(found.into_owned()))),
        _ => Ok(()),
    }
}

/// Returns whether a document may have any of the members of a packument. A large one always may.
fn mentions_a_packument(document: &[u8]) -> bool {
    let has = |member: &str| memchr::memmem::find(document, member.as_bytes()).is_some();
    document.len() > LARGEST_MESSAGE_BYTES || ["\"_id\"", "\"name\"", "\"time\"", "\"versions\""].into_iter().any(has)
}

/// Returns the failure for a fault of a body.
fn faulty(fault: Fault) -> Failed {
    Failed::NoAnswer { verdict: classify(&Evidence::Failed(&fault)), http_status: Some(200) }
}

/// Returns the failure for a redirect that is not followed.
fn misled(fault: Fault, http_status: u16) -> Failed {
    Failed::NoAnswer { verdict: classify(&Evidence::Failed(&fault)), http_status: Some(http_status) }
}

#[cfg(test)]
mod tests;
