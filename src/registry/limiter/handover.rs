//! Passes the state of one controller to other processes, and to the next controller.
//!
//! A successor knows only the last state that was sent. It never allows more than that: the smaller limit applies.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Controller;
#[cfg(unix)]
use super::Trouble;
#[cfg(unix)]
use super::closing::MOST_DOUBLINGS;
#[cfg(unix)]
use super::pace::Pace;
use crate::registry::config::HostLimits;

/// The state of a controller, as sent to other processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// Requests in flight, of all processes.
    pub(super) in_flight: u32,
    /// Requests that wait to leave, of all processes.
    pub(super) waiting: u32,
    /// Requests that may be in flight.
    pub(super) concurrency: f64,
    /// The present limit on requests per second, if there is one.
    pub(super) requests_per_second: Option<f64>,
    /// The part of that limit learned from refusals.
    pub(super) learned_per_second: Option<f64>,
    /// How long no request leaves.
    pub(super) closed_for: Option<Duration>,
    /// Whether the gate was closed and no good response has come since.
    pub(super) is_probing: bool,
    pub(super) closings_in_a_row: u32,
    /// The time without a good response, and whether the last response was a refusal.
    pub(super) trouble: Option<(Duration, bool)>,
}

#[cfg(unix)]
impl Snapshot {
    /// Returns the same state after `age`, if nothing has happened.
    pub(super) fn aged(mut self, age: Duration) -> Snapshot {
        self.closed_for = self.closed_for.map(|left| left.saturating_sub(age)).filter(|left| !left.is_zero());
        self.trouble = self.trouble.map(|(lasted, refused)| (lasted.saturating_add(age), refused));
        self
    }
}

impl Controller {
    /// Returns the state to send; `waiting` requests wait for this controller.
    pub(super) fn snapshot(&self, now: Instant, waiting: u32) -> Snapshot {
        Snapshot {
            in_flight: self.in_flight,
            waiting,
            concurrency: self.concurrency,
            requests_per_second: self.rate(now),
            learned_per_second: self.pace.as_ref().map(|pace| pace.at(now)),
            closed_for: self.closed_for(now),
            is_probing: self.is_probing(),
            closings_in_a_row: self.closings_in_a_row,
            trouble: self.trouble.map(|trouble| (now.saturating_duration_since(trouble.since), trouble.refused)),
        }
    }

    /// Restricts this controller to the limits of its predecessor, which had this state.
    #[cfg(unix)]
    pub(super) fn inherit(&mut self, now: Instant, before: &Snapshot) {
        let is_untried = self.slow_start && self.in_flight == 0 && self.full_at.is_none() && self.reduced_at.is_none();
        let inherited = if is_untried { before.concurrency } else { self.concurrency.min(before.concurrency) };
        // Another process may send any number.
        self.concurrency = inherited.clamp(1.0, f64::from(self.limits.max_concurrency.max(1)));
        self.slow_start = false;
        if let Some(learned) = before.learned_per_second.filter(|learned| learned.is_finite() && *learned > 0.0)
            && self.pace.as_ref().is_none_or(|pace| pace.at(now) > learned)
        {
            self.pace = Some(Pace::inherited(learned, now));
        }
        if let Some(rate) = self.rate(now) {
            // The last request of the predecessor may have left just now.
            let due = now + Duration::from_secs_f64(rate.recip());
            self.next_due = Some(self.next_due.map_or(due, |next_due| next_due.max(due)));
        }
        if before.is_probing {
            let most = self.limits.closed_cap.saturating_mul(2).max(self.limits.patience);
            let until = now + before.closed_for.unwrap_or_default().min(most);
            self.closed_until = Some(self.closed_until.map_or(until, |closed| closed.max(until)));
        }
        self.closings_in_a_row = self.closings_in_a_row.max(before.closings_in_a_row.min(MOST_DOUBLINGS));
        if let (None, Some((lasted, refused))) = (self.trouble, before.trouble) {
            let since = now.checked_sub(lasted).unwrap_or(now);
            let last_at = self.closed_until.map_or(now, |until| until.max(now));
            self.trouble = Some(Trouble { since, last_at, ..Trouble::begin(now, refused) });
        }
    }

    /// Keeps to one part in `share` of these limits from now on. If the share becomes smaller, so does the learned
    /// rate, since others are about to send requests. If it becomes larger, the new limit is found by trying.
    pub(super) fn set_limits(&mut self, limits: &HostLimits, share: NonZeroU32) {
        let part = f64::from(self.share.get()) / f64::from(share.get());
        if part < 1.0 {
            self.concurrency *= part;
            if let Some(pace) = &mut self.pace {
                pace.scale(part);
            }
        }
        (self.limits, self.share) = (limits.part(share), share);
        self.concurrency = self.concurrency.clamp(1.0, f64::from(self.limits.max_concurrency.max(1)));
    }

    /// Returns whether the gate was closed and no good response has come since.
    pub(super) fn is_probing(&self) -> bool {
        self.probing || self.closed_until.is_some()
    }

    /// Returns the last reductions. They change when less is allowed.
    pub(super) fn restrictions(&self) -> (Option<Instant>, Option<Instant>) {
        (self.reduced_at, self.closed_until)
    }
}
