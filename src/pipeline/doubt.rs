//! Doubt: whether a registry that gives no document for many names in a row serves documents at all.
//!
//! A wrong address, a proxy or an expired token make a registry say of every name that it does not exist or is
//! forbidden. Names that are really gone do the same, since they often stand beside each other. So a run in doubt asks
//! for some names from all over the listing: a registry that works serves most of them.

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
/// A registry that serves fewer than one of so many names of the sample is not believed about the others.
const SERVED_ONE_IN: usize = 5;
/// So many names without a document, beyond those with one, begin the doubt. It doubles each time that the registry is
/// believed, so that thousands of names that are really gone cost some hundred requests.
const FIRST_LIMIT: u64 = 2 * LEAST_SAMPLE as u64;
const LAST_LIMIT: u64 = 1_280;

/// Some names of a listing, drawn evenly: those with the least hashes.
#[derive(Debug, Default)]
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

/// What a response says about the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sign {
    /// It serves documents.
    Served,
    /// It gave none, with this status, in these words.
    Unserved { status: u16, said: String },
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
    limit: u64,
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
            limit: FIRST_LIMIT,
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
                    is_refusal(*status) && (*status == 401 || item.credentials != Fingerprint::NONE);
                let is_known = is_repeated && item.last.is_some_and(|last| last.is_comparable);
                if is_of_credentials && !is_known && !state.has_served {
                    state.refused = Some(said.clone());
                }
                if state.sample.contains(&item.name) {
                    let name = item.name.clone();
                    state.unserved_of_sample.push((name, sign));
                }
                // The loss of documents that the lake holds is judged by stricter rules.
                if !is_repeated && !item.is_held {
                    state.unserved += 1;
                }
                if state.unserved >= state.limit {
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
                state.unserved >= state.limit || state.verdict.is_some()
            };
            if is_in_doubt {
                return;
            }
            begun.await;
        }
    }

    /// Fails if the registry serves no documents. Asks it if there is a doubt: any at all before a commit, by
    /// `is_before_commit`, and a strong one otherwise.
    pub(super) async fn examine(&self, registry: &Registry, is_before_commit: bool) -> Result<()> {
        let Ok(_alone) = self.examinations.acquire().await else { return Ok(()) };
        let (names, mut signs, is_refused, is_in_doubt) = {
            let state = self.state();
            if let Some((kind, why, hint)) = &state.verdict {
                return Err(Error::new(*kind, why.clone()).hint(*hint));
            }
            let limit = if is_before_commit { state.limit / 2 } else { state.limit };
            let is_refused = is_before_commit && state.refused.is_some() && !state.has_served;
            let is_in_doubt = state.unserved >= limit;
            if !is_in_doubt && !is_refused {
                return Ok(());
            }
            let known: Vec<Sign> = state.unserved_of_sample.iter().map(|(_, sign)| sign.clone()).collect();
            let is_known = |name: &&PackageName| state.unserved_of_sample.iter().any(|(known, _)| known == *name);
            let names: Vec<PackageName> = state.sample.iter().filter(|name| !is_known(name)).cloned().collect();
            (names, known, is_refused, is_in_doubt)
        };
        tracing::warn!(known = signs.len(), asked = names.len(), "the registry serves few documents and is examined");
        let (mut left, asked) = (names.len(), names.len() + signs.len());
        let ask = |name: &PackageName| {
            let request = PackumentRequest {
                representation: Representation::Abbreviated,
                ..PackumentRequest::full(name.clone())
            };
            async move { registry.packument(&request, &()).await }
        };
        let mut responses = std::pin::pin!(stream::iter(&names).map(ask).buffer_unordered(ASKED_AT_ONCE));
        let mut served = 0;
        while let Some(response) = responses.next().await {
            left -= 1;
            match response {
                Err(RequestFailure { outcome: None, error, .. }) => return Err(error),
                response => match sign_of(&response) {
                    Sign::Served => served += 1,
                    sign @ Sign::Unserved { .. } => signs.push(sign),
                    Sign::Unclear => {}
                },
            }
            // One that hangs does not decide it.
            let is_served = served * SERVED_ONE_IN >= asked || (served > 0 && !is_in_doubt);
            let is_unserved = (served + left) * SERVED_ONE_IN < asked && signs.len() >= LEAST_SAMPLE;
            if is_served || is_unserved {
                break;
            }
        }
        let is_unserved = is_in_doubt && signs.len() >= LEAST_SAMPLE && served * SERVED_ONE_IN < served + signs.len();
        let mut state = self.state();
        if is_unserved || (is_refused && served == 0) {
            let verdict = disbelief(registry, &signs, served, state.refused.as_deref());
            tracing::warn!(served, unserved = signs.len(), "the registry is not believed");
            let (kind, why, hint) = state.verdict.insert(verdict);
            return Err(Error::new(*kind, why.clone()).hint(*hint));
        }
        tracing::info!(served, unserved = signs.len(), "the registry is believed");
        if is_in_doubt {
            (state.unserved, state.limit) = (0, (state.limit * 2).min(LAST_LIMIT));
            state.unserved_of_sample.clear();
        }
        if served > 0 {
            state.served();
        }
        Ok(())
    }
}

impl State {
    fn served(&mut self) {
        self.unserved = self.unserved.saturating_sub(1);
        if self.unserved == 0 {
            self.unserved_of_sample.clear();
        }
        self.has_served = true;
        self.refused = None;
    }
}

fn is_refusal(status: u16) -> bool {
    matches!(status, 401 | 403 | 407)
}

fn sign_of(response: &std::result::Result<Response, RequestFailure>) -> Sign {
    match response {
        Ok(response) => match &response.answer {
            Answer::Fresh(_) if !response.is_packument => {
                let said = "status 200 with JSON that is no packument".to_owned();
                Sign::Unserved { status: response.http_status, said }
            }
            Answer::Fresh(_) | Answer::NotModified => Sign::Served,
            Answer::Gone { status, said } => {
                let said = said.clone().unwrap_or_else(|| format!("status {status}"));
                Sign::Unserved { status: *status, said }
            }
        },
        Err(failure) => match (failure.outcome, failure.http_status) {
            (Some(Outcome::Oversize), _) => Sign::Served,
            (Some(_), Some(status)) => Sign::Unserved { status, said: failure.error.message().to_owned() },
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
    let refusals = unserved().filter(|(status, _)| is_refusal(*status)).count();
    let absences = unserved().filter(|(status, _)| matches!(status, 404 | 410 | 451)).count();
    let url = &registry.origin().registry_url;
    let (count, said) =
        (signs.len().max(1), unserved().next_back().map(|(_, said)| said).or(refused).unwrap_or_default());
    let of =
        if served > 0 { format!("only {served} of {} documents", served + count) } else { "no document".to_owned() };
    let why = |verb: &str| {
        format!("the registry at {url} serves {of} that it lists, and {verb} {count}, at last with {said}")
    };
    if refusals * 2 >= count || signs.is_empty() {
        let hint = "put a valid token for this registry into .npmrc, as //host/path/:_authToken=…; one that is there may have expired. \
            Nothing was recorded of these names; with --accept-removals they are recorded as blocked";
        (ErrorKind::Denied, why("refuses"), hint)
    } else if absences * 2 >= count {
        let hint = "this may not be the registry of this listing (see --registry), it may list names that it does not serve, \
            a proxy may respond in its place, or it hides documents from those without credentials (.npmrc). \
            Nothing was recorded of these names; with --accept-removals they are recorded as gone";
        (ErrorKind::Network, why("does not have"), hint)
    } else {
        let hint = "a proxy or a login page may respond in its place, or this is not the registry of this listing (see --registry); \
            nothing was recorded of these names: run the same command again later";
        (ErrorKind::Network, why("fails over"), hint)
    }
}
