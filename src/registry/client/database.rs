//! The requests about the database of a registry: its information, and pages of its names and changes.
//!
//! Not here: when to give up a server that is no database (`introduction`).

use url::Url;

use super::Registry;
use crate::error::{Error, Result};
use crate::npm::{ChangesPage, ChangesQuery, Page, PageQuery, RowsDecoder, RowsPage};
use crate::registry::body::Body;
use crate::registry::classify::{Evidence, Fault, Verdict, classify, quoted};
use crate::registry::database_info::DatabaseInfo;
use crate::registry::exchange::{Question, Reply, Subject};
use crate::registry::introduction::{Introduction, final_failure};
use crate::registry::limiter::permit::Permit;
use crate::registry::retry::{Attempts, Failed};
use crate::registry::urls::{changes_url, page_url};

/// The largest root document that is read. npm's has 100 bytes.
const MAX_INFO_BYTES: usize = 1 << 20;

/// The largest page that is read. A full page of npm's has some 1.5 MB, and one with the longest names and revisions 6
/// MB.
const MAX_PAGE_BYTES: usize = 16 << 20;
/// The most of a page that is kept to quote it in an error.
const MAX_QUOTED_BYTES: usize = 16 << 10;

const JSON: &str = "application/json";

impl Registry {
    /// Requests the registry's information about itself. This comes first, since it also shows whether the origin is a
    /// registry at all.
    ///
    /// Fails, of kind Network or Denied with a hint, where there is no registry; else as [`Registry::page`] does.
    pub async fn info(&self) -> Result<DatabaseInfo> {
        let url = &self.inner.origin.replicate_url;
        let doing = || format!("requesting the information of {url}");
        let mut attempts = Attempts::new(&self.inner.config);
        let has_listed_before = self.inner.hosts.replicate.standing().has_listed_before;
        let mut introduction = Introduction::new(url, None, has_listed_before);
        loop {
            let permit =
                self.enter(&self.inner.hosts.replicate, &mut attempts).await.map_err(|f| f.doing(doing).error)?;
            let failed = match self.info_once(url, &attempts, permit).await {
                Ok(info) => return Ok(self.inner.hosts.replicate.useful(info)),
                Err(failed) => introduction.judged(failed, attempts.made()),
            };
            let host = &self.inner.hosts.replicate;
            self.pause(host, host.standing(), url.path(), &mut attempts, failed)
                .await
                .map_err(|failure| introduction.error(failure).doing(doing()))?;
        }
    }

    /// Tells the client that the lake holds names of this origin: it is a registry, and whatever trouble it is in may
    /// pass.
    pub fn has_listed_before(&self) {
        self.inner.hosts.replicate.listed_before();
    }

    /// Returns whether the server has listed names, so that it is a registry.
    pub fn has_listed(&self) -> bool {
        self.inner.hosts.replicate.has_listed()
    }

    /// Requests one page of `_all_docs`.
    ///
    /// Fails when all attempts are used up or another would not help (kind Network), when the host refused for too long
    /// or the month's budget is spent (RateLimit), or when credentials were refused (Denied).
    pub async fn page(&self, query: &PageQuery) -> Result<Page> {
        let attempts = Attempts::new(&self.inner.config);
        self.rows(page_url(&self.inner.origin.replicate_url, query)?, query.limit, attempts).await
    }

    /// Requests one page of `_changes`. Fails as [`Registry::page`] does.
    pub async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let attempts = Attempts::new(&self.inner.config);
        self.rows(changes_url(&self.inner.origin.replicate_url, query)?, query.limit, attempts).await
    }

    /// Requests the same from the server itself: a cache between it and us may keep a page for hours.
    pub async fn changes_past_caches(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let attempts = Attempts::past(&self.inner.config);
        self.rows(changes_url(&self.inner.origin.replicate_url, query)?, query.limit, attempts).await
    }

    async fn rows<P: RowsPage>(&self, url: Url, limit: u32, mut attempts: Attempts) -> Result<P> {
        let doing = || format!("asking for {url}");
        let host = &self.inner.hosts.replicate;
        let mut introduction =
            Introduction::new(&self.inner.origin.replicate_url, Some(P::RESOURCE), host.standing().has_listed_before);
        let _first = host.first_page().await?;
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
            let paused = self.pause(host, host.standing(), url.path(), &mut attempts, failed).await;
            paused.map_err(|failure| match host.has_listed() {
                true => failure.doing(doing).error,
                false => {
                    let error = introduction.error(failure).doing(doing());
                    host.has_no_pages(&error);
                    error
                }
            })?;
        }
    }

    async fn info_once(&self, url: &Url, attempts: &Attempts, permit: Permit) -> Result<DatabaseInfo, Failed> {
        let (mut body, _permit) = self.of_database(url, attempts, permit).await?;
        let mut whole = Vec::new();
        while whole.len() <= MAX_INFO_BYTES {
            match body.next().await.map_err(super::faulty)? {
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
        let question = Question { url, accept: JSON, validators: None, past_caches, subject: Subject::Database };
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
        while let Some(piece) = body.next().await.map_err(super::faulty)? {
            if page_bytes < MAX_QUOTED_BYTES {
                beginning.extend_from_slice(piece.get(..MAX_QUOTED_BYTES).unwrap_or(piece));
            }
            page_bytes += piece.len();
            if page_bytes > MAX_PAGE_BYTES {
                return Err(self.other_kind(&format!("a page is larger than {MAX_PAGE_BYTES} bytes"), b""));
            }
            decoder.feed(piece).map_err(|error| no_page(error, &beginning))?;
        }
        decoder.finish().map_err(|error| no_page(error, &beginning))
    }
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
