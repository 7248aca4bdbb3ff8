//! The controller of one host: how many requests may be in flight, how many may leave in a second, and when none may.
//!
//! Pure: it has no clock, randomness or tasks; callers pass instants and random fractions. Not here: when a
//! refusal closes the gate, and until when (`limiter/closing.rs`), waiting (`limiter/local.rs`), sharing one controller between processes (`limiter/shared.rs`), and what a response means
//! (`classify`).
//!
//! Concurrency begins small and doubles per round trip until the first sign of strain. Then it grows by one per round
//! trip and shrinks by a fifth when latency grows or requests fail. Only the ceiling bounds the rate until the host
//! refuses. From then on the rate is learned (`pace`), since a host that counts requests per second tells nothing
//! through latency.

mod chance;
mod closing;
pub(super) mod gate;
mod handover;
mod latency;
mod local;
mod pace;
pub(super) mod permit;
#[cfg(unix)]
pub(super) mod shared;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use latency::{LatencyWatch, Load};
use pace::{Pace, RateMeter};
use serde::{Deserialize, Serialize};

use super::config::HostLimits;

/// Requests in flight at the start, and the floor for reductions by growing latency or failed requests. A refusal goes
/// down to one.
const GENTLE_CONCURRENCY: f64 = 4.0;

/// The factor for the concurrency after a sign of strain.
const SHRINK: f64 = 0.8;

/// A request may leave this much before its turn: timers wake to the millisecond, and this makes up for their delay.
const PACE_TOLERANCE: Duration = Duration::from_millis(5);

/// The failed share is judged over at least this many responses, so that a single fault is no sign of load.
const MIN_ANSWERS_TO_JUDGE: u32 = 20;

/// The share of failed responses that is a sign of load.
const FAILED_SHARE: f64 = 0.1;

/// So many failures in a row without a good response concern the host. The gate closes then as after a refusal.
const FAILURES_OF_HOST: u32 = 8;

/// The controller's decision on a request that is ready to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Send now. A probe is the one request that tests whether a refusal still holds.
    Go { probe: bool },
    /// Ask again at this instant.
    At(Instant),
    /// Ask again when a request has ended.
    WhenReleased,
    /// Send nothing more.
    GivenUp(GivenUp),
}

/// A host that has given no good response for as long as patience lasts, or says that it will not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GivenUp {
    /// Whether it refused, rather than failed to respond.
    pub(super) refused: bool,
    /// How long it still refuses by its own word, if that is longer than patience lasts.
    pub(super) named: Option<Duration>,
}

/// The outcome of one request, as far as the limiter needs it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Observation {
    /// A useful response, whose first byte took this long.
    Good { latency: Duration },
    /// The host asked for fewer requests. `about_name`: it has refused this very name before and responded for others
    /// meanwhile, so the refusal says nothing about our pace.
    Refused { retry_after: Option<Duration>, about_name: bool },
    /// The host could not keep up, or could not be reached.
    Overloaded,
    /// The same, in a request that concerns the host as a whole. Several in a row close the gate.
    Down,
    /// A response that says nothing about load.
    Neutral,
}

/// The state of one host.
#[derive(Debug)]
pub(super) struct Controller {
    /// This machine's share of the limits.
    limits: HostLimits,
    share: NonZeroU32,
    in_flight: u32,
    probe_in_flight: bool,
    concurrency: f64,
    slow_start: bool,
    /// The last time that a request had to wait because all allowed places were taken.
    full_at: Option<Instant>,
    /// When the next request is due, by the rate.
    next_due: Option<Instant>,
    pace: Option<Pace>,
    meter: RateMeter,
    latency: LatencyWatch,
    closed_until: Option<Instant>,
    /// Whether the gate was closed and no good response has come since: one request at a time.
    probing: bool,
    closings_in_a_row: u32,
    /// Failures since the last good response.
    failures_in_a_row: u32,
    /// When something was last reduced. Requests sent before it tell about the time before it.
    reduced_at: Option<Instant>,
    answers: u32,
    failed_answers: u32,
    trouble: Option<Trouble>,
}

/// A time without a good response.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    since: Instant,
    /// When the last request failed, or the end of the time for which it closed the gate.
    last_at: Instant,
    given_up: bool,
    refused: bool,
    /// The end of refusals by the server's own word, if patience ends before.
    named_until: Option<Instant>,
}

impl Trouble {
    fn begin(now: Instant, refused: bool) -> Trouble {
        Trouble { since: now, last_at: now, given_up: false, refused, named_until: None }
    }
}

impl Controller {
    pub(super) fn new(limits: HostLimits) -> Self {
        Controller {
            concurrency: GENTLE_CONCURRENCY.min(limits.max_concurrency.into()).max(1.0),
            limits,
            share: NonZeroU32::MIN,
            in_flight: 0,
            probe_in_flight: false,
            slow_start: true,
            full_at: None,
            next_due: None,
            pace: None,
            meter: RateMeter::default(),
            latency: LatencyWatch::default(),
            closed_until: None,
            probing: false,
            closings_in_a_row: 0,
            failures_in_a_row: 0,
            reduced_at: None,
            answers: 0,
            failed_answers: 0,
            trouble: None,
        }
    }

    /// Returns whether one more request may leave now. After `Go` it counts as in flight until [`Controller::leave`].
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        if let Some(until) = self.closed_until {
            if now < until {
                return match self.trouble {
                    Some(Trouble { given_up: true, refused, named_until, .. }) => {
                        let named = named_until.map(|named_until| named_until.saturating_duration_since(now));
                        Admission::GivenUp(GivenUp { refused, named })
                    }
                    _ => Admission::At(until),
                };
            }
            self.closed_until = None;
            self.probing = true;
            self.meter.restart(now);
        }
        if self.in_flight >= self.allowed() {
            self.full_at = Some(now);
            return Admission::WhenReleased;
        }
        if self.probing && self.probe_in_flight {
            return Admission::WhenReleased;
        }
        if let (None, None, Some(first)) = (&self.pace, self.next_due, self.limits.first_requests_per_second) {
            self.pace = Some(Pace::begun_at(first, now));
        }
        if let Some(rate) = self.rate(now) {
            let due = self.next_due.unwrap_or(now);
            let earliest = due.checked_sub(PACE_TOLERANCE).unwrap_or(due);
            if now < earliest {
                return Admission::At(earliest);
            }
            self.next_due = Some(due.max(now) + Duration::from_secs_f64(rate.recip()));
        }
        self.in_flight += 1;
        self.probe_in_flight = self.probing;
        Admission::Go { probe: self.probing }
    }

    /// Counts the end of a request: its body is drained, or it was given up.
    pub(super) fn leave(&mut self, probe: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if probe {
            self.probe_in_flight = false;
        }
    }

    /// Frees the place of a request that is no longer read, for want of memory: another may go in its place.
    pub(super) fn step_aside(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Takes a place again, at once. If that makes too many, waiting requests wait for one more to end.
    pub(super) fn step_back(&mut self) {
        self.in_flight += 1;
    }

    /// Takes the outcome of a request that was sent at `sent_at`. `jitter` is a random fraction, 0 to 1.
    pub(super) fn observe(&mut self, sent_at: Instant, now: Instant, observation: Observation, jitter: f64) {
        let is_news = self.reduced_at.is_none_or(|reduced_at| sent_at >= reduced_at);
        match observation {
            Observation::Good { latency } => {
                self.answered(now, is_news);
                self.meter.count(now);
                self.answers += 1;
                if let Some(pace) = &mut self.pace {
                    pace.answered(sent_at);
                }
                if is_news {
                    match self.latency.sample(latency) {
                        Load::AtEase => self.grow(sent_at),
                        Load::Full => {}
                        Load::Strained => self.shrink(now),
                    }
                }
            }
            Observation::Neutral => self.answered(now, is_news),
            Observation::Refused { retry_after, about_name } => {
                self.troubled(now, true);
                let is_about_host = is_news && !about_name;
                // A name that is refused for hours must not keep all others waiting.
                let longest = if about_name { self.limits.closed_cap } else { Duration::MAX };
                self.close(now, retry_after.map(|named| named.min(longest)), jitter, is_about_host);
                if is_about_host {
                    self.slow_down(now);
                }
            }
            Observation::Overloaded | Observation::Down => {
                self.troubled(now, false);
                self.answers += 1;
                self.failed_answers += 1;
                let is_down = is_news && observation == Observation::Down;
                self.failures_in_a_row += u32::from(is_down);
                if is_down && self.failures_in_a_row >= FAILURES_OF_HOST {
                    self.close(now, None, jitter, true);
                }
            }
        }
        self.judge_failures(now);
    }

    /// Returns how many requests may be in flight at present.
    pub(super) fn allowed(&self) -> u32 {
        // The whole part; it lies between 1 and a u32.
        (self.concurrency as u32).clamp(1, self.limits.max_concurrency.max(1))
    }

    /// Returns the present limit on requests per second, if there is one.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let learned = self.pace.as_ref().map(|pace| pace.at(now).max(self.limits.min_requests_per_second.max(0.001)));
        let ceiling = self.limits.max_requests_per_second.map(|ceiling| ceiling.max(0.001));
        match (learned, ceiling) {
            (Some(learned), Some(ceiling)) => Some(learned.min(ceiling)),
            (learned, ceiling) => learned.or(ceiling),
        }
    }

    /// Records that the host responded, whatever it said.
    fn answered(&mut self, now: Instant, is_news: bool) {
        // A response to a request from before the gate closed does not show that the gate may open.
        if self.closed_until.is_some() || (self.probing && !is_news) {
            return;
        }
        let trouble = self.trouble.take();
        self.failures_in_a_row = 0;
        if !self.probing {
            return;
        }
        self.probing = false;
        self.closings_in_a_row = 0;
        if let (Some(pace), Some(trouble)) = (&mut self.pace, trouble) {
            pace.resume(now, now.saturating_duration_since(trouble.since));
        }
    }

    /// Slows down after a refusal that has closed the gate.
    fn slow_down(&mut self, now: Instant) {
        if self.probing {
            // Only the probe was sent: it says nothing new about how many would be too many.
            return;
        }
        let opens_at = self.closed_until.unwrap_or(now);
        let per_second = match (self.meter.rate(now), self.rate(now)) {
            (Some(measured), Some(allowed)) => Some(measured.min(allowed)),
            (measured, allowed) => measured.or(allowed),
        };
        let least_between = self.limits.least_answers_a_refusal;
        let is_about_pace = match (&mut self.pace, per_second) {
            (Some(pace), Some(per_second)) => pace.refused(per_second, least_between, now, opens_at),
            (pace, per_second) => {
                *pace = per_second.map(|per_second| Pace::after_first_refusal(per_second, now, opens_at));
                true
            }
        };
        // Without a measured rate, concurrency must find its way up again.
        self.slow_start = self.pace.is_none();
        if is_about_pace {
            self.concurrency = (self.concurrency.min(self.in_flight.into()) * SHRINK).max(1.0);
        }
    }

    fn judge_failures(&mut self, now: Instant) {
        if self.answers < MIN_ANSWERS_TO_JUDGE.max(self.allowed()) {
            return;
        }
        if f64::from(self.failed_answers) > f64::from(self.answers) * FAILED_SHARE {
            self.shrink(now);
        }
        (self.answers, self.failed_answers) = (0, 0);
    }

    fn shrink(&mut self, now: Instant) {
        self.reduced_at = Some(now);
        self.slow_start = false;
        self.latency.forget_recent();
        if self.concurrency > GENTLE_CONCURRENCY {
            self.concurrency = (self.concurrency * SHRINK).max(GENTLE_CONCURRENCY);
        }
    }

    fn grow(&mut self, sent_at: Instant) {
        // An unused allowance was not tested, so it is no reason to allow more.
        if self.full_at.is_none_or(|full_at| full_at < sent_at) {
            return;
        }
        let step = if self.slow_start { 1.0 } else { self.concurrency.recip() };
        self.concurrency = (self.concurrency + step).min(self.limits.max_concurrency.into());
    }
}
