//! Doubt: whether a registry that gives no document for many names in a row serves documents at all.
//!
//! A wrong address, a proxy or an expired token make a registry say of every name that it does not exist or is
//! forbidden, also of names whose documents the lake holds. Names that are really gone do the same, since they often
//! stand beside each other. So a run in doubt asks for some names from all over the listing: a registry that works
//! serves most of them. A single document of the lake that is not served any more is reason enough to ask.

use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, stream};
use tokio::sync::{Notify, Semaphore};

use crate::error::{Error, ErrorKind, Result};
use crate::fetch::Fetched;
use crate::npm::{Answer, Fingerprint, Outcome, PackageName, Representation};
use crate::registry::{PackumentRequest, Registry, RequestFailure, Response};

/// The number of names of a listing that a run in doubt asks for. Of a registry in which one name in a hundred is gone,
/// the chance that most of so many are is nil.
const SAMPLE: usize = 32;
/// Fewer names than this say nothing: a user may ask for a handful that are gone.
const LEAST_SAMPLE: usize = 10;
/// Names that are asked for at once. A few of them often decide it.
const ASKED_AT_ONCE: usize = 8;
/// Of so many names of the sample, a registry must serve at least [`LEAST_SERVED`] to be believed about the others. That
/// is somewhat less than half: the share in a sample of 32 is off by nine hundredths, and a registry that serves half of
/// its names must not fail by chance.
const OF_SAMPLE: usize = 5;
const LEAST_SERVED: usize = 2;
/// So many names without a document, beyond those with one, begin the doubt. It doubles each time that the registry is
/// believed, so that thousands of names that are really gone cost some hundred requests.
const FIRST_LIMIT: u64 = 2 * LEAST_SAMPLE as u64;
const LAST_LIMIT: u64 = 1_280;

/// Some names of a listing, drawn evenly: those with the least hashes.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    names: BinaryHeap<(u64, PackageName)>,
}

impl Sample {
    /// Considers a name of the listing.
    pub(super) fn add(&mut self, name: &PackageName) {
        let mut hasher = DefaultHasher::new();
        name.as_str().hash(&mut hasher);
        let hash = hasher.finish();
        if self.names.len() < SAMPLE || self.names.peek().is_some_and(|(greatest, _)| hash < *greatest) {
            self.names.push((hash, name.clone()));
            if self.names.len() > SAMPLE {
                self.names.pop();
            }
        }
    }

    fn into_names(self) -> Vec<PackageName> {
        self.names.into_iter().map(|(_, name)| name).collect()
    }
}

/// The meaning of a response for the judgement of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sign {
    /// It serves documents.
    Served,
    /// It gave none, with this status if there was a response, in these words.
    Unserved { status: Option<u16>, said: String },
    /// Nothing.
    Unclear,
}

/// The doubts of one run.
#[derive(Debug)]
pub(super) struct Doubt {
    state: Mutex<State>,
    /// Told when the doubt begins.
    begun: Notify,
    /// Admits one examination at a time.
    examinations: Semaphore,
}

#[derive(Debug)]
struct State {
    sample: Vec<PackageName>,
    /// Names of the sample that were not served since the doubt began to grow.
    unserved_of_sample: Vec<(PackageName, Sign)>,
    /// Names without a document, beyond those with one.
    unserved: u64,
    /// Names without a document since the registry was believed. Responses come in any order, and those of the last
    /// names must not be outweighed by others that were sent before them.
    unserved_in_all: u64,
    limit: u64,
    /// Whether a document of the lake was not served any more, since the last examination.
    has_lost: bool,
    /// Names in a row that were refused with credentials that no document has been served for yet.
    refused: Option<String>,
    /// Whether a document has been served.
    has_served: bool,
    /// Why the registry is not believed.
    verdict: Option<(ErrorKind, String, &'static str)>,
}

impl Default for Doubt {
    fn default() -> Self {
        let state = State {
            sample: Vec::new(),
            unserved_of_sample: Vec::new(),
            unserved: 0,
            unserved_in_all: 0,
            limit: FIRST_LIMIT,
            has_lost: false,
            refused: None,
            has_served: false,
            verdict: None,
        };
        Doubt { state: Mutex::new(state), begun: Notify::new(), examinations: Semaphore::new(1) }
    }
}

impl Doubt {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the names to ask for when in doubt.
    pub(super) fn set_sample(&self, sample: Sample) {
        self.state().sample = sample.into_names();
    }

    /// Considers a response when it arrives.
    pub(super) fn witness(&self, fetched: &Fetched) {
        let sign = sign_of(&fetched.response);
        let mut state = self.state();
        let (item, is_repeated) = (&fetched.item, fetched.item.was_absent());
        match &sign {
            Sign::Served => state.served(),
            Sign::Unserved { status, said } => {
                let is_of_credentials =
                    is_refusal(*status) && (*status == Some(401) || item.credentials != Fingerprint::NONE);
                let is_known = is_repeated && item.last.is_some_and(|last| last.is_comparable);
                if is_of_credentials && !is_known && !state.has_served {
                    state.refused = Some(said.clone());
                }
                if state.sample.contains(&item.name) {
                    let name = item.name.clone();
                    state.unserved_of_sample.push((name, sign));
                }
                if !is_repeated {
                    state.unserved += 1;
                    state.unserved_in_all += 1;
                    state.has_lost |= fetched.says_held_is_gone();
                }
                if state.is_in_doubt(false) {
                    drop(state);
                    self.begun.notify_waiters();
                }
            }
            Sign::Unclear => {}
        }
    }

    /// Waits until the run is in doubt.
    pub(super) async fn begins(&self) {
        loop {
            let begun = self.begun.notified();
            let is_in_doubt = {
                let state = self.state();
                state.is_in_doubt(false) || state.verdict.is_some()
            };
            if is_in_doubt {
                return;
            }
            begun.await;
        }
    }

    /// Fails if the registry serves too few documents. Asks it if there is a doubt: any at all before a commit, by
    /// `is_before_commit`, and a strong one otherwise.
    pub(super) async fn examine(&self, registry: &Registry, is_before_commit: bool) -> Result<()> {
        let Ok(_alone) = self.examinations.acquire().await else { return Ok(()) };
        let (names, mut signs, enough) = {
            let mut state = self.state();
            if let Some((kind, why, hint)) = &state.verdict {
                return Err(Error::new(*kind, why.clone()).hint(*hint));
            }
            let is_refused = is_before_commit && state.refused.is_some() && !state.has_served;
            let is_lost = is_before_commit && state.has_lost;
            let is_in_doubt = is_lost || state.is_in_doubt(is_before_commit);
            if !is_in_doubt && !is_refused {
                return Ok(());
            }
            // Names that are lost from now on begin a new doubt.
            state.has_lost &= !is_lost;
            let asked = state.sample.len();
            let enough = match is_in_doubt && asked >= LEAST_SAMPLE {
                true => (asked * LEAST_SERVED).div_ceil(OF_SAMPLE),
                false => asked.min(1),
            };
            let known: Vec<Sign> = state.unserved_of_sample.iter().map(|(_, sign)| sign.clone()).collect();
            let is_known = |name: &&PackageName| state.unserved_of_sample.iter().any(|(known, _)| known == *name);
            let names: Vec<PackageName> = state.sample.iter().filter(|name| !is_known(name)).cloned().collect();
            (names, known, enough)
        };
        tracing::warn!(known = signs.len(), asked = names.len(), "the registry serves few documents and is examined");
        let ask = |name: &PackageName| {
            let request = PackumentRequest {
                representation: Representation::Abbreviated,
                ..PackumentRequest::full(name.clone())
            };
            async move { registry.packument(&request, &()).await }
        };
        let mut responses = std::pin::pin!(stream::iter(&names).map(ask).buffer_unordered(ASKED_AT_ONCE));
        let (mut left, mut served) = (names.len(), 0);
        // A request that hangs does not decide it.
        while served < enough && served + left >= enough {
            let Some(response) = responses.next().await else { break };
            left -= 1;
            match response {
                Err(RequestFailure { outcome: None, error, .. }) => return Err(error),
                response => match sign_of(&response) {
                    Sign::Served => served += 1,
                    sign @ Sign::Unserved { .. } => signs.push(sign),
                    Sign::Unclear => {}
                },
            }
        }
        let mut state = self.state();
        if served < enough {
            let verdict = disbelief(registry, &signs, served, state.refused.as_deref());
            tracing::warn!(served, unserved = signs.len(), "the registry is not believed");
            let (kind, why, hint) = state.verdict.insert(verdict);
            return Err(Error::new(*kind, why.clone()).hint(*hint));
        }
        tracing::info!(served, unserved = signs.len(), "the registry is believed");
        if state.is_in_doubt(true) {
            (state.unserved, state.unserved_in_all) = (0, 0);
            state.limit = (state.limit * 2).min(LAST_LIMIT);
            state.unserved_of_sample.clear();
        }
        if served > 0 {
            state.served();
        }
        Ok(())
    }
}

impl State {
    fn is_in_doubt(&self, is_before_commit: bool) -> bool {
        match is_before_commit {
            true => self.unserved_in_all >= self.limit / 2,
            false => self.unserved >= self.limit,
        }
    }

    fn served(&mut self) {
        self.unserved = self.unserved.saturating_sub(1);
        if self.unserved == 0 {
            self.unserved_of_sample.clear();
        }
        self.has_served = true;
        self.refused = None;
    }
}

fn is_refusal(status: Option<u16>) -> bool {
    matches!(status, Some(401 | 403 | 407))
}

fn sign_of(response: &std::result::Result<Response, RequestFailure>) -> Sign {
    let unserved = |status, said: &str| Sign::Unserved { status, said: said.to_owned() };
    match response {
        Ok(response) => match &response.answer {
            Answer::Fresh(_) if !response.is_packument => {
                unserved(Some(response.http_status), "status 200 with JSON that is no packument")
            }
            Answer::Fresh(_) | Answer::NotModified => Sign::Served,
            Answer::Gone { status, said } => {
                unserved(Some(*status), said.as_deref().unwrap_or(&format!("status {status}")))
            }
        },
        Err(failure) => match failure.outcome {
            Some(Outcome::Oversize) => Sign::Served,
            Some(_) if failure.attempts > 0 => unserved(failure.http_status, failure.error.message()),
            _ => Sign::Unclear,
        },
    }
}

/// Returns why a registry is not believed: the error's kind, its message, and its hint.
fn disbelief(
    registry: &Registry,
    signs: &[Sign],
    served: usize,
    refused: Option<&str>,
) -> (ErrorKind, String, &'static str) {
    let unserved = || {
        signs.iter().filter_map(|sign| match sign {
            Sign::Unserved { status, said } => Some((*status, said.as_str())),
            _ => None,
        })
    };
    let are_most =
        |kind: fn(Option<u16>) -> bool| unserved().filter(|(status, _)| kind(*status)).count() * 2 >= signs.len();
    let url = &registry.origin().registry_url;
    let (count, said) =
        (signs.len().max(1), unserved().next_back().map(|(_, said)| said).or(refused).unwrap_or_default());
    let of =
        if served > 0 { format!("only {served} of {} documents", served + count) } else { "no document".to_owned() };
    let why =
        |verb: &str| format!("the registry at {url} serves {of} that it lists, and {verb} {count}; at last: {said}");
    if are_most(is_refusal) {
        let hint = "put a valid token for this registry into .npmrc, as //host/path/:_authToken=…; one that is there may have expired. \
            Nothing was recorded of these names, and the lake keeps its documents; all-docs ingest --accept-removals records them as blocked";
        (ErrorKind::Denied, why("refuses"), hint)
    } else if are_most(|status| matches!(status, Some(404 | 410 | 451))) {
        let hint = "this may not be the registry of this listing (see --registry), it may list names that it does not serve, \
            a proxy may respond in its place, or it hides documents from those without valid credentials (.npmrc). \
            Nothing was recorded of these names, and the lake keeps its documents; all-docs ingest --accept-removals records them as gone";
        (ErrorKind::Network, why("does not have"), hint)
    } else if are_most(|status| status.is_none_or(|status| status >= 500)) {
        let hint = "the registry, or a host that it redirects to, is in trouble or cannot be reached; \
            nothing was recorded of these names: run the same command again later";
        (ErrorKind::Network, why("fails for"), hint)
    } else {
        let hint = "a proxy or a login page may respond in its place, or this is not the registry of this listing (see --registry); \
            nothing was recorded of these names: run the same command again later";
        (ErrorKind::Network, why("fails for"), hint)
    }
}
