//! Counts the attempts of one request and decides how long to wait before the next.
//!
//! Not here: whether a response is worth another attempt (`classify`), and when requests to the host as a whole are
//! allowed (`limiter`).

use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::classify::{Pressure, UnknownServer, Verdict};
use super::config::RegistryConfig;
use super::failure::RequestFailure;
use super::origin::host_of;
use crate::error::Error;
use crate::npm::Outcome;

const ADDRESS: &str = "check the network and the URL of the origin: it must be a registry that serves _all_docs";
const COUNTS_ADDRESS: &str =
    "check the network and the URL: the server must have npm's API of download counts; --downloads names another one";
const SCHEME: &str = "check the URL and its port: is it https:// rather than http://?";

/// The number of responses that no registry would give, or of failures to reach the host, that ends the attempts before
/// the first useful response: a mistyped URL, most likely, and the user is waiting.
const MAX_UNKNOWN_SERVER_REPLIES: u32 = 3;

/// The refusals of one request that do not count against its attempts, if the host responds to others meanwhile. If it
/// responds to nobody, none counts: the gate decides how long to wait and when to give up.
const REFUSALS_FORGIVEN: u32 = 32;

/// The same for a name, if hardly any other name is left to request. Then nobody else shows whether the host is closed,
/// and one name must not delay the end of the run.
const REFUSALS_OF_A_NAME_FORGIVEN: u32 = 4;

/// The same for the last names, if the server names a time.
const NAMED_REFUSALS_OF_A_NAME_FORGIVEN: u32 = 16;

/// The refusals of one name, while the host responds for others, that can still concern the pace.
const REFUSALS_OF_PACE: u32 = 2;

/// The most time that a server may spend on failed attempts for one name. Names are taken in order, so one that hangs
/// holds up those fetched after it. It is three times a minute of silence, or twice a response that drips.
const MOST_SPENT_ON_A_NAME: Duration = Duration::from_secs(170);

/// Fewer requests than these waiting at a gate count as hardly any. With this many, each in turn probes a ban. The ban
/// ends, or uses up the gate's patience, before one of them has used up its attempts.
const FEW_WAITING: u32 = 8;

/// The state of a host when an attempt at it has failed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Standing {
    /// Useful responses so far.
    pub(super) useful_answers: u64,
    /// Other requests that wait at its gate.
    pub(super) waiting: u32,
    /// Whether it has listed names in an earlier run.
    pub(super) has_listed_before: bool,
    /// Whether another request has shown meanwhile that it is down for all.
    pub(super) is_down: bool,
}

/// The attempts of one request, counted here and nowhere else.
#[derive(Debug)]
pub(super) struct Attempts {
    made: u32,
    /// Refusals that were forgiven.
    forgiven: u32,
    /// Refusals that came while the host responded for others.
    refused_alone: u32,
    /// Whether this is one of many requests for documents, each of which may fail alone.
    is_of_a_name: bool,
    /// When the current attempt began.
    began: Instant,
    /// How long all earlier attempts took.
    spent: Duration,
    /// The host's useful responses at the last refusal.
    useful_answers: u64,
    max: u32,
    strange: u32,
    pause: Duration,
    pause_cap: Duration,
    past_caches: bool,
    /// The hint if the server is the wrong one.
    address: &'static str,
    /// Why the last attempt failed.
    last_reason: Option<String>,
}

/// A failed attempt.
#[derive(Debug)]
pub(super) enum Failed {
    /// The response is not a valid one.
    NoAnswer {
        /// Its meaning.
        verdict: Verdict,
        /// The HTTP status, if there was a response.
        http_status: Option<u16>,
    },
    /// No connection, for a reason that lies in the settings of the network.
    NoConnection(NoConnection),
    /// No more requests may be sent: the host's budget is spent, or its gate does not open.
    NotSent(Error),
}

impl Failed {
    /// Returns the status of the response, if there was one, and why it is none that counts, for events.
    pub(super) fn status_and_reason(&self) -> (Option<u16>, Option<String>) {
        match self {
            Failed::NoAnswer {
                verdict: Verdict::Retry { reason, .. } | Verdict::Fatal { reason, .. },
                http_status,
            } => (*http_status, Some(reason.clone())),
            Failed::NoAnswer { http_status, .. } => (*http_status, None),
            Failed::NoConnection(NoConnection { reason, .. }) => (None, Some(reason.clone())),
            Failed::NotSent(error) => (None, Some(error.message().to_owned())),
        }
    }

    /// Returns the failure as that of a host that a redirect to `url` leads to. It says nothing about the origin's own
    /// host, so it concerns this request only, and a host that has never responded is not waited for.
    pub(super) fn of_another_host(self, url: &Url, host: Standing) -> Failed {
        let elsewhere = format!("it redirects to {}", host_of(url));
        let (mut verdict, http_status) = match self {
            Failed::NoConnection(NoConnection { reason, hint, is_settled: true }) => {
                let reason = format!("{elsewhere}, and there is {reason} ({hint})");
                return Failed::NoAnswer { verdict: Verdict::Fatal { oversize: false, reason }, http_status: None };
            }
            Failed::NoConnection(NoConnection { reason, .. }) => {
                let (pressure, unknown_server) = (Pressure::Down, UnknownServer::Unreachable);
                let reason = format!("there is {reason}");
                (Verdict::Retry { pressure, retry_after: None, unknown_server, past_caches: false, reason }, None)
            }
            Failed::NoAnswer { verdict, http_status } => (verdict, http_status),
            failed => return failed,
        };
        if let Verdict::Retry { pressure: pressure @ Pressure::Down, unknown_server, reason, .. } = &mut verdict {
            if host.useful_answers == 0 {
                (*pressure, *unknown_server) = (Pressure::None, UnknownServer::No);
            }
            *reason = format!("{elsewhere}, and {reason}");
        }
        Failed::NoAnswer { verdict, http_status }
    }

    /// Returns whether the server seems to be down, or refuses.
    pub(super) fn is_down(&self) -> bool {
        match self {
            Failed::NoAnswer { verdict: Verdict::Retry { pressure, .. }, .. } => {
                matches!(pressure, Pressure::Down | Pressure::Refused)
            }
            Failed::NoConnection(failure) => !failure.is_settled,
            _ => false,
        }
    }

    /// Returns for how long the server refuses by its own word.
    pub(super) fn is_refused_for(&self) -> Duration {
        match self {
            Failed::NoAnswer { verdict: Verdict::Retry { pressure: Pressure::Refused, retry_after, .. }, .. } => {
                retry_after.unwrap_or_default()
            }
            _ => Duration::ZERO,
        }
    }
}

/// A connection that could not be made, with a better hint than that of the origin's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoConnection {
    /// Why, as a clause.
    pub(super) reason: String,
    pub(super) hint: String,
    /// Whether another attempt would end the same, as with a certificate that is not trusted.
    pub(super) is_settled: bool,
}

impl Attempts {
    /// Creates the attempts of a request that a run needs.
    pub(super) fn new(config: &RegistryConfig) -> Self {
        Attempts {
            made: 0,
            forgiven: 0,
            refused_alone: 0,
            is_of_a_name: false,
            began: Instant::now(),
            spent: Duration::ZERO,
            useful_answers: 0,
            max: config.max_attempts.max(1),
            strange: 0,
            pause: config.retry_pause,
            pause_cap: config.retry_pause_cap,
            past_caches: false,
            address: ADDRESS,
            last_reason: None,
        }
    }

    /// Creates the attempts of a request that bypasses caches from the first on.
    pub(super) fn past(config: &RegistryConfig) -> Self {
        Attempts { past_caches: true, ..Attempts::new(config) }
    }

    /// Creates the attempts of a request for one name's document.
    pub(super) fn of_a_name(config: &RegistryConfig) -> Self {
        Attempts { is_of_a_name: true, ..Attempts::new(config) }
    }

    /// Creates the attempts of a request for download counts.
    pub(super) fn of_counts(config: &RegistryConfig) -> Self {
        Attempts { address: COUNTS_ADDRESS, ..Attempts::new(config) }
    }

    /// Marks the start of an attempt.
    pub(super) fn begin(&mut self) {
        self.made += 1;
        self.began = Instant::now();
    }

    /// Returns how many requests were sent.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Returns the failure of a request that may not be sent again.
    pub(super) fn not_sent(&self, error: Error) -> RequestFailure {
        let error = match &self.last_reason {
            Some(reason) => error.doing(format!("waiting after {reason}")),
            None => error,
        };
        RequestFailure::stops_the_run(error, self.made)
    }

    /// Returns whether the current attempt is the last.
    pub(super) fn is_last(&self) -> bool {
        self.made - self.forgiven >= self.max
    }

    /// Returns whether the next request should bypass caches.
    pub(super) fn past_caches(&self) -> bool {
        self.past_caches
    }

    /// Returns whether one more refusal would concern the name, and not the request rate.
    pub(super) fn is_refused_for_its_name(&self) -> bool {
        self.refused_alone >= REFUSALS_OF_PACE
    }

    /// Returns whether a failure of the next attempt would concern the host: many wait for it, or the run does.
    pub(super) fn concern_the_host(&self, host: Standing) -> bool {
        !self.is_of_a_name || host.waiting >= FEW_WAITING
    }

    /// Returns whether it matters, and is not known, if a failure concerns the host or this name: nothing else is
    /// requested that could show it.
    pub(super) fn doubt_host(&self, failed: &Failed, host: Standing) -> bool {
        let is_unreachable = matches!(
            failed,
            Failed::NoConnection(_)
                | Failed::NoAnswer { verdict: Verdict::Retry { unknown_server: UnknownServer::Unreachable, .. }, .. }
        );
        let is_refused =
            matches!(failed, Failed::NoAnswer { verdict: Verdict::Retry { pressure: Pressure::Refused, .. }, .. });
        let is_known_and_silent = host.useful_answers > 0 && host.useful_answers == self.useful_answers;
        let is_alone = self.is_of_a_name && host.waiting < FEW_WAITING;
        failed.is_down() && !is_refused && !is_unreachable && is_known_and_silent && is_alone
    }

    /// Returns the failure of a name that is given up after this attempt.
    pub(super) fn given_up(&self, failed: Failed) -> RequestFailure {
        let (http_status, reason) = failed.status_and_reason();
        let (error, outcome) = (Error::network(reason.unwrap_or_default()), Some(Outcome::Failed));
        RequestFailure { error, attempts: self.made, http_status, outcome }
    }

    /// Returns the pause before the next attempt, or the failure if there is none. `fraction` is random, 0 to 1.
    pub(super) fn after(&mut self, failed: Failed, fraction: f64, host: Standing) -> Result<Duration, RequestFailure> {
        let known = host.useful_answers > 0;
        let mut hint = String::new();
        let (verdict, http_status) = match failed {
            Failed::NoAnswer { verdict, http_status } => (verdict, http_status),
            Failed::NoConnection(NoConnection { reason, hint, is_settled: true }) if !known => {
                return Err(RequestFailure::stops_the_run(Error::network(reason).hint(hint), self.made));
            }
            Failed::NoConnection(failed) => {
                hint = failed.hint;
                let (pressure, unknown_server) = (Pressure::Down, UnknownServer::Unreachable);
                let reason = failed.reason;
                (Verdict::Retry { pressure, retry_after: None, unknown_server, past_caches: false, reason }, None)
            }
            Failed::NotSent(error) => return Err(RequestFailure::stops_the_run(error, self.made)),
        };
        let (unknown_server, reason) = match verdict {
            Verdict::Retry { unknown_server, past_caches, reason, pressure, retry_after } => {
                self.past_caches |= past_caches;
                let is_known = known || (host.has_listed_before && http_status.is_some());
                let is_unreachable = unknown_server == UnknownServer::Unreachable;
                let host = Standing { is_down: host.is_down || is_unreachable, ..host };
                let is_forgiven = match pressure {
                    Pressure::Refused => self.forgive(host, true, retry_after.is_some_and(|named| !named.is_zero())),
                    Pressure::Down if is_known => self.forgive(host, false, false),
                    _ => false,
                };
                if !is_forgiven {
                    self.spent += self.began.elapsed();
                }
                (unknown_server, reason)
            }
            Verdict::Fatal { oversize, reason } => {
                let outcome = Some(if oversize { Outcome::Oversize } else { Outcome::Failed });
                return Err(RequestFailure {
                    error: Error::network(reason),
                    attempts: self.made,
                    http_status,
                    outcome,
                });
            }
            // A successful verdict never gets here; if one did, the request would fail rather than the program.
            answer @ (Verdict::Done | Verdict::NotModified | Verdict::Absent) => {
                let error = Error::internal(format!("a success was taken for a failure: {answer:?}"));
                return Err(RequestFailure { error, attempts: self.made, http_status, outcome: Some(Outcome::Failed) });
            }
        };
        let is_strange = matches!(unknown_server, UnknownServer::Answers | UnknownServer::Unreachable);
        self.strange += u32::from(is_strange);
        let given_up_early = is_strange && !known && self.strange >= MAX_UNKNOWN_SERVER_REPLIES;
        let counted = self.made - self.forgiven;
        // Once can be chance: a large document on a slow line.
        let takes_too_long = self.is_of_a_name && counted >= 2 && self.spent >= MOST_SPENT_ON_A_NAME;
        if counted >= self.max || given_up_early || takes_too_long {
            let times = if self.made == 1 { "once".to_owned() } else { format!("{} times", self.made) };
            let mut error = Error::network(format!("asked {times} without an answer, at last: {reason}"));
            if unknown_server != UnknownServer::No && !known {
                error = error.hint(match unknown_server {
                    UnknownServer::Silent => SCHEME.to_owned(),
                    _ if hint.is_empty() => self.address.to_owned(),
                    _ => hint,
                });
            }
            let outcome = match http_status {
                // A host that was never reached says nothing about this name or any other.
                _ if unknown_server == UnknownServer::Unreachable && !known => None,
                // The host gives others meanwhile, so this one is refused.
                Some(403) => Some(Outcome::Blocked),
                _ => Some(Outcome::Failed),
            };
            return Err(RequestFailure { error, attempts: self.made, http_status, outcome });
        }
        self.last_reason = Some(reason);
        // 2^20 pauses are more than any cap.
        let longest = self.pause.saturating_mul(1 << counted.saturating_sub(1).min(20)).min(self.pause_cap);
        Ok(longest.mul_f64(fraction.clamp(0.0, 1.0)))
    }

    /// Forgives a refusal, or a failure of a server that is down, that seems to concern the host rather than the name.
    /// Returns whether it did.
    fn forgive(&mut self, host: Standing, is_refusal: bool, names_a_time: bool) -> bool {
        let answers_others = host.useful_answers > self.useful_answers;
        let is_alone = host.waiting < FEW_WAITING && !host.is_down;
        let is_about_the_name = self.is_of_a_name && host.useful_answers > 0 && (answers_others || is_alone);
        self.useful_answers = host.useful_answers;
        self.refused_alone += u32::from(is_refusal && is_about_the_name);
        let most = match (is_about_the_name, answers_others) {
            (false, false) => u32::MAX,
            (false, true) if is_refusal => REFUSALS_FORGIVEN,
            (true, false) if names_a_time => NAMED_REFUSALS_OF_A_NAME_FORGIVEN,
            (true, _) if is_refusal => REFUSALS_OF_A_NAME_FORGIVEN,
            _ => 0,
        };
        let is_forgiven = self.forgiven < most;
        self.forgiven += u32::from(is_forgiven);
        is_forgiven
    }
}

#[cfg(test)]
mod tests;
