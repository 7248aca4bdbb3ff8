//! Counts the attempts of one request and decides how long to wait before the next.
//!
//! Not here: whether a response is worth another attempt (`classify`), and when requests to the host as a whole are
//! allowed (`limiter`).

use std::time::Duration;

use tokio::time::Instant;

use super::classify::{Pressure, UnknownServer, Verdict};
use super::config::RegistryConfig;
use super::failure::RequestFailure;
use crate::error::Error;
use crate::npm::Outcome;

/// The number of responses that no registry would give, or of failures to reach the host, that ends the attempts before
/// the first useful response: a mistyped URL, most likely, and the user is waiting.
const MAX_UNKNOWN_SERVER_REPLIES: u32 = 3;

/// The refusals of one request that do not count against its attempts. A ban concerns the host, whose gate decides how
/// long to wait and when to give up. More refusals than this seem to concern the name.
const REFUSALS_FORGIVEN: u32 = 32;

/// The same, if the host responds for other names meanwhile, or hardly any other name is left to request. Then the host
/// is not closed, and one name must not delay all others.
const REFUSALS_OF_A_NAME_FORGIVEN: u32 = 4;

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
    /// No more requests may be sent: the host's budget is spent, or its gate does not open.
    NotSent(Error),
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
        }
    }

    /// Creates the attempts of a request for one name's document.
    pub(super) fn of_a_name(config: &RegistryConfig) -> Self {
        Attempts { is_of_a_name: true, ..Attempts::new(config) }
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

    /// Returns the pause before the next attempt, or the failure if there is none. `fraction` is random, 0 to 1.
    pub(super) fn after(&mut self, failed: Failed, fraction: f64, host: Standing) -> Result<Duration, RequestFailure> {
        let known = host.useful_answers > 0;
        self.spent += self.began.elapsed();
        let (verdict, http_status) = match failed {
            Failed::NoAnswer { verdict, http_status } => (verdict, http_status),
            Failed::NotSent(error) => return Err(RequestFailure::stops_the_run(error, self.made)),
        };
        let (unknown_server, reason) = match verdict {
            Verdict::Retry { unknown_server, past_caches, reason, pressure, .. } => {
                self.past_caches |= past_caches;
                if pressure == Pressure::Refused {
                    self.forgive(host);
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
        self.strange += u32::from(unknown_server != UnknownServer::No);
        let given_up_early =
            unknown_server != UnknownServer::No && !known && self.strange >= MAX_UNKNOWN_SERVER_REPLIES;
        let counted = self.made - self.forgiven;
        // Once can be chance: a large document on a slow line.
        let takes_too_long = self.is_of_a_name && counted >= 2 && self.spent >= MOST_SPENT_ON_A_NAME;
        if counted >= self.max || given_up_early || takes_too_long {
            let times = if self.made == 1 { "once".to_owned() } else { format!("{} times", self.made) };
            let mut error = Error::network(format!("asked {times} without an answer, at last: {reason}"));
            if unknown_server != UnknownServer::No && !known {
                error = error
                    .hint("check the network and the URL of the origin: it must be a registry that serves _all_docs");
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
        // 2^20 pauses are more than any cap.
        let longest = self.pause.saturating_mul(1 << counted.saturating_sub(1).min(20)).min(self.pause_cap);
        Ok(longest.mul_f64(fraction.clamp(0.0, 1.0)))
    }

    /// Forgives a refusal that seems to concern the host rather than the name.
    fn forgive(&mut self, host: Standing) {
        let answers_others = host.useful_answers > self.useful_answers || host.waiting < FEW_WAITING;
        let is_about_the_name = self.is_of_a_name && host.useful_answers > 0 && answers_others;
        self.useful_answers = host.useful_answers;
        self.refused_alone += u32::from(is_about_the_name);
        let most = if is_about_the_name { REFUSALS_OF_A_NAME_FORGIVEN } else { REFUSALS_FORGIVEN };
        self.forgiven += u32::from(self.forgiven < most);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::classify::{Evidence, Fault, classify};
    use super::*;
    use crate::error::ErrorKind;

    const KNOWN: Standing = Standing { useful_answers: 1, waiting: FEW_WAITING };

    fn standing(known: bool) -> Standing {
        if known { KNOWN } else { Standing::default() }
    }

    fn failed(fault: &Fault) -> Failed {
        Failed::NoAnswer { verdict: classify(&Evidence::Failed(fault)), http_status: None }
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_attempts_end() {
        let config = RegistryConfig {
            max_attempts: 6,
            retry_pause: Duration::from_millis(100),
            retry_pause_cap: Duration::from_millis(500),
            ..RegistryConfig::default()
        };
        let mut attempts = Attempts::new(&config);
        let mut pauses = Vec::new();
        let failure = loop {
            attempts.begin();
            match attempts.after(failed(&Fault::TimedOut), 1.0, KNOWN) {
                Ok(pause) => pauses.push(pause.as_millis()),
                Err(failure) => break failure,
            }
        };
        assert_eq!(pauses, [100, 200, 400, 500, 500]);
        assert_eq!((failure.attempts, failure.outcome), (6, Some(Outcome::Failed)));
        assert_eq!(failure.error.kind(), ErrorKind::Network);
        assert!(failure.error.message().contains("6 times"), "{}", failure.error);
    }

    #[test]
    fn the_pause_is_drawn_from_all_of_its_range() {
        let mut attempts = Attempts::new(&RegistryConfig::default());
        attempts.begin();
        assert_eq!(attempts.after(failed(&Fault::TimedOut), 0.0, KNOWN).unwrap(), Duration::ZERO);
        assert_eq!(attempts.after(failed(&Fault::TimedOut), 0.5, KNOWN).unwrap(), Duration::from_millis(250));
    }

    #[test]
    fn an_unknown_server_is_given_up_soon_and_a_known_registry_is_not() {
        let fault = Fault::OtherKind("it says hello".to_owned());
        for (known, expected) in [(false, 3), (true, 8)] {
            let mut attempts = Attempts::new(&RegistryConfig::default());
            let failure = loop {
                attempts.begin();
                if let Err(failure) = attempts.after(failed(&fault), 0.0, standing(known)) {
                    break failure;
                }
            };
            assert_eq!(failure.attempts, expected);
            assert_eq!(failure.error.hint_text().is_some(), !known);
        }
    }

    #[test]
    fn a_refusal_does_not_make_an_unknown_server() {
        let unknown_server = Fault::OtherKind("it says hello".to_owned());
        let mut attempts = Attempts::new(&RegistryConfig::default());
        for fault in [&Fault::TimedOut, &Fault::TimedOut, &unknown_server, &Fault::TimedOut, &unknown_server] {
            attempts.begin();
            assert!(attempts.after(failed(fault), 0.0, Standing::default()).is_ok());
        }
        attempts.begin();
        assert!(attempts.after(failed(&unknown_server), 0.0, Standing::default()).is_err());
    }

    fn refused() -> Failed {
        let (pressure, unknown_server, reason) = (Pressure::Refused, UnknownServer::No, "status 429".to_owned());
        let verdict = Verdict::Retry { pressure, retry_after: None, unknown_server, past_caches: false, reason };
        Failed::NoAnswer { verdict, http_status: Some(429) }
    }

    /// Returns how many refusals one request survives, with these states of the host.
    fn refusals_borne(mut attempts: Attempts, mut standings: impl Iterator<Item = Standing>) -> u32 {
        loop {
            attempts.begin();
            if attempts.after(refused(), 0.0, standings.next().unwrap()).is_err() {
                return attempts.made();
            }
        }
    }

    #[test]
    fn a_name_that_is_refused_while_others_are_answered_or_when_it_is_the_last_is_given_up() {
        let config = RegistryConfig { max_attempts: 8, ..RegistryConfig::default() };
        let flowing = (1..).map(|useful_answers| Standing { useful_answers, waiting: 40 });
        let ban = std::iter::repeat(Standing { useful_answers: 5, waiting: 40 });
        let alone = std::iter::repeat(Standing { useful_answers: 5, waiting: 0 });
        let mut attempts = Attempts::of_a_name(&config);
        let is_for_its_name = flowing.clone().take(4).map(|standing| {
            attempts.begin();
            assert!(attempts.after(refused(), 0.0, standing).is_ok());
            attempts.is_refused_for_its_name()
        });
        assert_eq!(is_for_its_name.collect::<Vec<_>>(), [false, true, true, true]);
        assert_eq!(refusals_borne(Attempts::of_a_name(&config), flowing.clone()), 12);
        assert_eq!(refusals_borne(Attempts::of_a_name(&config), alone), 12);
        assert_eq!(refusals_borne(Attempts::of_a_name(&config), ban), 40);
        assert_eq!(refusals_borne(Attempts::new(&config), flowing), 40, "without a page the run cannot go on");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_over_which_the_server_falls_silent_is_given_up_before_its_attempts_are_used_up() {
        for (is_of_a_name, expected) in [(true, 3), (false, 8)] {
            let config = RegistryConfig { max_attempts: 8, ..RegistryConfig::default() };
            let mut attempts = if is_of_a_name { Attempts::of_a_name(&config) } else { Attempts::new(&config) };
            loop {
                attempts.begin();
                tokio::time::advance(config.silence_timeout).await;
                if attempts.after(failed(&Fault::TimedOut), 0.0, KNOWN).is_err() {
                    break;
                }
                // Waiting at the gate is not the server's time.
                tokio::time::advance(Duration::from_secs(600)).await;
            }
            assert_eq!(attempts.made(), expected);
        }
    }

    #[test]
    fn a_ban_does_not_use_up_attempts_and_a_name_that_is_always_refused_does() {
        let mut attempts = Attempts::new(&RegistryConfig { max_attempts: 3, ..RegistryConfig::default() });
        for _ in 0..REFUSALS_FORGIVEN {
            attempts.begin();
            // The gate waits; the request itself does not wait longer and longer.
            assert!(
                attempts.after(refused(), 1.0, Standing::default()).unwrap() <= RegistryConfig::default().retry_pause
            );
        }
        for is_last in [false, false, true] {
            attempts.begin();
            assert_eq!(attempts.after(refused(), 1.0, Standing::default()).is_err(), is_last);
        }
        assert_eq!(attempts.made(), REFUSALS_FORGIVEN + 3);
    }

    #[test]
    fn a_host_that_was_never_reached_stops_the_run() {
        for (known, outcome) in [(false, None), (true, Some(Outcome::Failed))] {
            let mut attempts = Attempts::new(&RegistryConfig { max_attempts: 3, ..RegistryConfig::default() });
            let failure = loop {
                attempts.begin();
                let unreachable = Fault::Unreachable("refused".to_owned());
                if let Err(failure) = attempts.after(failed(&unreachable), 0.0, standing(known)) {
                    break failure;
                }
            };
            assert_eq!(failure.outcome, outcome);
        }
    }
}
