//! The registry client: the registry's information, its pages, its packuments.
//!
//! Each request is a loop of attempts: wait at the gate, take from the budget, send, then return the response or
//! compute the next pause. `classify` decides what a response means; `exchange` sends one request over the wire.

use std::num::NonZeroU32;
use std::sync::Arc;

use url::Url;

use super::body::Body;
use super::budget::{RequestBudget, RequestLedger, month_of};
use super::classify::{Evidence, Fault, UnknownServer, Verdict, classify, looks_like_json, not_json, quoted};
use super::config::RegistryConfig;
use super::credentials::Credentials;
use super::database_info::DatabaseInfo;
use super::exchange::{ExchangeOutcome, Question, Reply, Wire};
use super::failure::RequestFailure;
use super::hosts::{Host, Hosts};
use super::identity::{End, claimed_name};
use super::introduction::Introduction;
use super::limiter::gate::GateStatus;
use super::limiter::permit::Permit;
use super::origin::{Origin, host_of};
use super::packument::{BodyGate, Grown, PackumentRequest, Response, accept};
use super::retry::{Attempts, Failed};
use super::statistics::{Statistics, add};
use super::urls::{changes_url, packument_url, page_url};
use super::whole::{Whole, read_whole};
use crate::error::{Error, ErrorKind, Result};
use crate::npm::{
    Answer, ChangesPage, ChangesQuery, Document, Fingerprint, PackageName, Page, PageQuery, RowsDecoder, RowsPage, Validators,
};

/// The largest root document that is read. npm's has 100 bytes.
const MAX_INFO_BYTES: usize = 1 << 20;

/// The largest page that is read. A full page of npm's has some 1.5 MB, and one with the longest names and revisions 6
/// MB.
const MAX_PAGE_BYTES: usize = 16 << 20;
/// The largest error message that a server serves as a document.
const LARGEST_MESSAGE_BYTES: usize = 64 << 10;

const JSON: &str = "application/json";

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
        let wire = Wire::new(&config, [&origin.replicate_url, &origin.registry_url], credentials)?;
        let hosts = Hosts::new(&origin, &config);
        let budget = RequestBudget::new(config.monthly_budget);
        Ok(Registry { inner: Arc::new(Inner { origin, config, wire, hosts, budget }) })
    }

    /// Returns the origin that this client reads.
    pub fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// Returns the size limit of a decoded document, in bytes.
    pub fn max_document_bytes(&self) -> u64 {
        self.inner.config.max_document_bytes
    }

    /// Returns the counters of all exchanges so far.
    pub fn statistics(&self) -> Statistics {
        self.inner.wire.counters.read()
    }

    /// Returns the state of the gates: that of `_all_docs`, then that of packuments. Both are the same if one host
    /// serves both.
    pub fn gates(&self) -> [GateStatus; 2] {
        [self.inner.hosts.replicate.gate.status(), self.inner.hosts.registry.gate.status()]
    }

    /// Limits every host from now on to one part in `share` of its limits, for `share` machines in all. If processes of
    /// this machine share a gate, the largest `share` of any of them applies.
    pub fn set_share(&self, share: NonZeroU32) {
        self.inner.hosts.set_share(share);
    }

    /// Counts requests in `ledger` from now on, each before it is sent. Moves the requests sent earlier there too.
    /// Fails as the ledger does.
    pub async fn count_in(&self, ledger: Arc<dyn RequestLedger>) -> Result<()> {
        self.inner.budget.count_in(ledger).await
    }

    /// Returns unsent requests to the ledger that counted them. Fails as the ledger does.
    pub async fn settle_budget(&self) -> Result<()> {
        self.inner.budget.settle().await
    }

    /// Requests the registry's information about itself. This comes first, since it also shows whether the origin is a
    /// registry at all.
    ///
    /// Fails, of kind Network or Denied with a hint, where there is no registry; else as [`Registry::page`] does.
    pub async fn info(&self) -> Result<DatabaseInfo> {
        let url = &self.inner.origin.replicate_url;
        let doing = || format!("requesting the information of {url}");
        let mut attempts = Attempts::new(&self.inner.config);
        let mut introduction = Introduction::new(url, None);
        loop {
            let permit =
                self.enter(&self.inner.hosts.replicate, &mut attempts).await.map_err(|f| f.doing(doing).error)?;
            let failed = match self.info_once(url, &attempts, permit).await {
                Ok(info) => return Ok(self.inner.hosts.replicate.useful(info)),
                Err(failed) => introduction.judged(failed, attempts.made()),
            };
            self.pause(&self.inner.hosts.replicate, &mut attempts, failed)
                .await
                .map_err(|failure| introduction.error(failure).doing(doing()))?;
        }
    }

    /// Returns whether the server has listed names, so that it is a registry.
    pub fn has_listed(&self) -> bool {
        self.inner.hosts.replicate.has_listed()
    }

    /// Returns the fingerprint of the credentials that a request for a name's packument carries.
    pub fn credentials_for(&self, name: &PackageName) -> Fingerprint {
        match packument_url(&self.inner.origin.registry_url, name) {
            Ok(url) => self.inner.wire.fingerprint(&url),
            Err(_) => Fingerprint::NONE,
        }
    }

    /// Requests one page of `_all_docs`.
    ///
    /// Fails when all attempts are used up or another would not help (kind Network), when the host refused for too long
    /// or the month's budget is spent (RateLimit), or when credentials were refused (Denied).
    pub async fn page(&self, query: &PageQuery) -> Result<Page> {
        self.rows(page_url(&self.inner.origin.replicate_url, query)?, query.limit).await
    }

    /// Requests one page of `_changes`. Fails as [`Registry::page`] does.
    pub async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        self.rows(changes_url(&self.inner.origin.replicate_url, query)?, query.limit).await
    }

    async fn rows<P: RowsPage>(&self, url: Url, limit: u32) -> Result<P> {
        let doing = || format!("asking for {url}");
        let host = &self.inner.hosts.replicate;
        let mut attempts = Attempts::new(&self.inner.config);
        let mut introduction = Introduction::new(&self.inner.origin.replicate_url, Some(P::RESOURCE));
        let _first = host.first_page().await;
        loop {
            let permit = self.enter(host, &mut attempts).await.map_err(|f| f.doing(doing).error)?;
            let failed = match self.rows_once(&url, limit, &attempts, permit).await {
                Ok(page) => {
                    host.listed();
                    return Ok(host.useful(page));
                }
                // The host has listed names before, so this is a passing fault of a proxy in front of it.
                Err(failed) if host.has_listed() => passing(failed),
                Err(failed) => introduction.judged(failed, attempts.made()),
            };
            self.pause(host, &mut attempts, failed).await.map_err(|failure| match host.has_listed() {
                true => failure.doing(doing).error,
                false => introduction.error(failure).doing(doing()),
            })?;
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
            let permit =
                self.enter(&self.inner.hosts.registry, &mut attempts).await.map_err(|failure| failure.doing(doing))?;
            let failed = match self.packument_once(&url, request, gate, &attempts, permit).await {
                Ok(response) => return Ok(self.inner.hosts.registry.useful(response)),
                Err(failed) => failed,
            };
            self.pause(&self.inner.hosts.registry, &mut attempts, failed)
                .await
                .map_err(|failure| failure.doing(doing))?;
        }
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
        let (mut url, mut hops) = (question.url.clone(), 0);
        loop {
            let (to, status) = match self.inner.wire.ask(&Question { url: &url, ..question }, &permit).await {
                Ok(ExchangeOutcome::Reply(reply)) => return Ok((reply, permit)),
                Ok(ExchangeOutcome::Redirect { to, http_status }) => (to, http_status),
                Err(failed) if hops > 0 && question.is_about_database => return Err(at_a_login(failed, &url)),
                Err(failed) => return Err(failed),
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
        }
    }

    /// Begins an attempt once it may be sent.
    async fn enter(&self, host: &Host, attempts: &mut Attempts) -> Result<Permit, RequestFailure> {
        let mut permit =
            self.admit(host).await.map_err(|error| RequestFailure::stops_the_run(error, attempts.made()))?;
        permit.refusals_are_about_name = attempts.is_refused_for_its_name();
        if attempts.made() > 0 {
            add(&self.inner.wire.counters.retries, 1);
        }
        attempts.begin();
        Ok(permit)
    }

    /// Waits before the next attempt, without holding a place among the requests in flight.
    async fn pause(&self, host: &Host, attempts: &mut Attempts, failed: Failed) -> Result<(), RequestFailure> {
        let pause = attempts.after(self.inner.wire.cleaned(failed), fastrand::f64(), host.standing())?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn info_once(&self, url: &Url, attempts: &Attempts, permit: Permit) -> Result<DatabaseInfo, Failed> {
        let (mut body, _permit) = self.of_database(url, attempts, permit).await?;
        let mut whole = Vec::new();
        while whole.len() <= MAX_INFO_BYTES {
            match body.next().await.map_err(faulty)? {
                Some(piece) => whole.extend_from_slice(piece),
                None => return DatabaseInfo::decode(&whole).map_err(|why| self.other_kind(&why, &whole)),
            }
        }
        Err(self.other_kind(&format!("its root is larger than {MAX_INFO_BYTES} bytes"), b""))
    }

    /// Requests a resource of the database. A status that gives none is a failure that another attempt does not help.
    async fn of_database(
        &self,
        url: &Url,
        attempts: &Attempts,
        permit: Permit,
    ) -> Result<(Box<Body<'_>>, Permit), Failed> {
        let past_caches = attempts.past_caches();
        let question = Question { url, accept: JSON, validators: None, past_caches, is_about_database: true };
        let (status, said) = match self.ask(question, permit).await? {
            (Reply::Document { body, .. }, permit) => return Ok((body, permit)),
            (Reply::Absent { status, said }, _) => (status, said),
            (Reply::NotModified { .. }, _) => (304, "status 304 to a request without conditions".to_owned()),
        };
        Err(final_failure(said, status))
    }

    /// Returns the failure of a body with status 200 that is no resource of a database.
    fn other_kind(&self, why: &str, body: &[u8]) -> Failed {
        final_failure(format!("status 200, but {why}{}", quoted(self.inner.wire.words(body).as_deref())), 200)
    }

    async fn rows_once<P: RowsPage>(
        &self,
        url: &Url,
        limit: u32,
        attempts: &Attempts,
        permit: Permit,
    ) -> Result<P, Failed> {
        let (mut body, _permit) = self.of_database(url, attempts, permit).await?;
        let mut decoder = RowsDecoder::new(limit);
        let (mut page_bytes, mut beginning) = (0, Vec::new());
        let no_page = |error: Error, beginning: &[u8]| self.other_kind(error.message(), beginning);
        while let Some(piece) = body.next().await.map_err(faulty)? {
            if page_bytes < LARGEST_MESSAGE_BYTES {
                beginning.extend_from_slice(piece.get(..LARGEST_MESSAGE_BYTES).unwrap_or(piece));
            }
            page_bytes += piece.len();
            if page_bytes > MAX_PAGE_BYTES {
                return Err(self.other_kind(&format!("a page is larger than {MAX_PAGE_BYTES} bytes"), b""));
            }
            decoder.feed(piece).map_err(|error| no_page(error, &beginning))?;
        }
        decoder.finish().map_err(|error| no_page(error, &beginning))
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
            is_about_database: false,
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

/// Returns a failure that another attempt does not help.
fn final_failure(reason: String, http_status: u16) -> Failed {
    Failed::NoAnswer { verdict: Verdict::Fatal { oversize: false, reason }, http_status: Some(http_status) }
}

/// Returns a failure of a host that has listed names: whatever it says instead of a page may pass, unless it refuses our
/// credentials.
fn passing(failed: Failed) -> Failed {
    match failed {
        Failed::NoAnswer { verdict: Verdict::Fatal { reason, .. }, http_status }
            if matches!(http_status, Some(200 | 304 | 403 | 404 | 410 | 451)) =>
        {
            let verdict = classify(&Evidence::Failed(&Fault::OtherKind(reason)));
            Failed::NoAnswer { verdict, http_status }
        }
        failed => failed,
    }
}

/// Returns the failure of a request that a redirect has led to a page for people: that is no passing fault.
fn at_a_login(failed: Failed, url: &Url) -> Failed {
    match failed {
        Failed::NoAnswer {
            verdict: Verdict::Retry { unknown_server: UnknownServer::Answers, reason, .. },
            http_status: Some(status),
        } => final_failure(format!("it redirects to {}, which returns {reason}", host_of(url)), status),
        failed => failed,
    }
}

#[cfg(test)]
mod tests;
