//! The rate that a host has been found to accept, after its first refusal.

use std::time::{Duration, Instant};

use super::chance::ChanceWatch;

/// How long the rate takes to return to the level at which the host refused. One or two refusals in half a minute are
/// under 1 % of the responses of even a host with 5 requests per second.
const RECOVERY: Duration = Duration::from_secs(30);

/// The same after the very first refusal, which came while the rate was rising, when little was measured.
const FIRST_RECOVERY: Duration = Duration::from_secs(8);

/// The same from a rate that a host is known to accept: it stays within a tenth of that for ten minutes, and has doubled
/// after a quarter of an hour. A host that needs such a start bans for minutes.
const FIRST_CLIMB: Duration = Duration::from_secs(5 * 60);

/// A ban makes the next try that much rarer: at most one part in twenty of the time is spent banned.
const RECOVERY_PER_OUTAGE: u32 = 20;

/// The factor for the rate after a refusal.
const DROP: f64 = 0.1;

/// The factor when the host refuses again soon. The measured rate was far too high, as after a burst that was allowed.
const STEEP_DROP: f64 = 0.3;

/// The interval that counts as soon.
const SOON: Duration = Duration::from_secs(10);

/// A gate that was closed for longer was closed by a ban.
const BAN: Duration = Duration::from_secs(5);

/// The span of the meter; it remembers one span and the current one.
const SPAN: Duration = Duration::from_secs(2);

/// Responses within a shorter time count as spread over this time: the first responses of a burst do not define a rate.
const MIN_MEASURE: Duration = Duration::from_millis(250);

/// The cubic function of TCP CUBIC. The rate returns quickly to near the refused one, stays long just below it, then
/// rises above it slowly and ever faster, since a host may have become faster.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    knee_per_second: f64,
    drop: f64,
    since: Instant,
    recovery: Duration,
    refused_at: Instant,
    /// Good responses to requests sent since.
    answers: u32,
    /// How long the gate was closed.
    outage: Duration,
    chance: ChanceWatch,
    /// Whether the recovery begins when the gate opens.
    is_lowered: bool,
}

impl Pace {
    /// Returns the pace after the very first refusal, which closed the gate until `opens_at`.
    pub(super) fn after_first_refusal(knee_per_second: f64, now: Instant, opens_at: Instant) -> Pace {
        Pace {
            knee_per_second,
            drop: DROP,
            since: opens_at,
            recovery: FIRST_RECOVERY,
            refused_at: now,
            answers: 0,
            outage: Duration::ZERO,
            chance: ChanceWatch::default(),
            is_lowered: true,
        }
    }

    /// Returns the pace that another controller has learned.
    #[cfg(unix)]
    pub(super) fn inherited(knee_per_second: f64, now: Instant) -> Pace {
        let pace = Pace::after_first_refusal(knee_per_second, now, now);
        Pace { recovery: RECOVERY, is_lowered: false, ..pace }
    }

    /// Returns the pace of a host that is known to accept this rate, and whose limit is found by trying.
    pub(super) fn begun_at(per_second: f64, now: Instant) -> Pace {
        let pace = Pace::after_first_refusal(per_second / (1.0 - DROP), now, now);
        Pace { recovery: FIRST_CLIMB, is_lowered: false, ..pace }
    }

    /// Scales the rate to the part left to us: others send requests to the host too.
    pub(super) fn scale(&mut self, part: f64) {
        self.knee_per_second *= part;
    }

    /// Takes a refusal that closed the gate until `opens_at`, at this many requests per second. Returns whether it
    /// depends on our pace. If it does not, the reductions by earlier refusals of this sort are undone.
    pub(super) fn refused(&mut self, per_second: f64, least_between: f64, now: Instant, opens_at: Instant) -> bool {
        self.refused_at = now;
        if self.outage >= BAN {
            self.chance.forget();
        }
        let borne_per_second = self.chance.refused(std::mem::take(&mut self.answers), per_second, least_between);
        self.is_lowered = borne_per_second.is_none();
        if let Some(borne_per_second) = borne_per_second {
            if self.knee_per_second < borne_per_second {
                (self.knee_per_second, self.drop, self.since) = (borne_per_second, DROP, opens_at);
            }
            return false;
        }
        let is_soon = opens_at.saturating_duration_since(self.since) < SOON;
        self.drop = if is_soon { STEEP_DROP } else { DROP };
        (self.knee_per_second, self.since, self.recovery) = (per_second, opens_at, RECOVERY);
        true
    }

    /// Counts a good response to a request sent at this instant.
    pub(super) fn answered(&mut self, sent_at: Instant) {
        self.answers += u32::from(sent_at > self.refused_at);
    }

    /// Resumes after the gate was closed this long without a good response.
    pub(super) fn resume(&mut self, now: Instant, outage: Duration) {
        self.outage = outage;
        if !std::mem::take(&mut self.is_lowered) && outage < BAN {
            return;
        }
        self.since = now;
        let after_ban = outage.saturating_mul(RECOVERY_PER_OUTAGE);
        if after_ban > RECOVERY {
            self.recovery = after_ban;
        }
    }

    fn progress(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.since).as_secs_f64() / self.recovery.as_secs_f64()
    }

    /// Returns the requests per second at this instant.
    pub(super) fn at(&self, now: Instant) -> f64 {
        self.knee_per_second * (1.0 - self.drop * (1.0 - self.progress(now)).powi(3))
    }
}

/// Counts good responses per second while the gate is open.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    started_at: Option<Instant>,
    count: u32,
    before: (u32, Duration),
}

impl RateMeter {
    /// Forgets all counts: the gate was closed.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = RateMeter { started_at: Some(now), ..RateMeter::default() };
    }

    /// Counts one response.
    pub(super) fn count(&mut self, now: Instant) {
        let started_at = *self.started_at.get_or_insert(now);
        let span = now.saturating_duration_since(started_at);
        if span >= SPAN {
            self.before = (self.count, span);
            self.count = 0;
            self.started_at = Some(now);
        }
        self.count += 1;
    }

    /// Returns recent good responses per second, if there were any.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let span = now.saturating_duration_since(self.started_at?) + self.before.1;
        let count = self.count + self.before.0;
        (count > 0).then(|| f64::from(count) / span.max(MIN_MEASURE).as_secs_f64())
    }
}
