//! The closed gate: until when no request leaves after a refusal, and when the host is given up.

use std::time::{Duration, Instant};

use super::{Controller, Trouble};
use crate::registry::config::HostLimits;

/// A closed gate opens up to this part of its time later, so that many clients do not return at once.
const RELEASE_JITTER: f64 = 0.25;

/// A server that names a time (`Retry-After`) is believed for this many refusals in a row. A limit that counts other
/// users too can need some.
const BELIEVED: u32 = 10;

/// Each further refusal at the time that the server named adds this part of the named time to the wait.
const DOUBT: f64 = 0.2;

/// The longest time that a server can name. It is longer than any patience.
pub(super) const LONGEST_NAMED: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The most doublings of a closed gate's time: more than any cap.
pub(super) const MOST_DOUBLINGS: u32 = 20;

impl Controller {
    /// Returns how long the gate stays closed from now, if it is closed.
    pub(super) fn closed_for(&self, now: Instant) -> Option<Duration> {
        self.closed_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Records a refusal or a failure.
    pub(super) fn troubled(&mut self, now: Instant, refused: bool) {
        let trouble = self.trouble.get_or_insert(Trouble::begin(now, refused));
        if now.saturating_duration_since(trouble.last_at) >= self.limits.patience {
            // No request was sent for a long time; that is no trouble of the host's.
            *trouble = Trouble::begin(now, refused);
        }
        trouble.last_at = trouble.last_at.max(now);
        trouble.refused = refused;
        trouble.named_until = None;
        trouble.given_up = now.saturating_duration_since(trouble.since) >= self.limits.patience;
        if trouble.given_up {
            self.close_until(now + self.limits.closed_floor);
        }
    }

    /// Closes the gate: until the time that the server named, or for twice as long as before. Believes a server that
    /// names a time, and doubts it only as it goes on refusing at the times that it named itself. The last request
    /// within the patience leaves at its end. None leaves if the named time is later than that.
    pub(super) fn close(&mut self, now: Instant, retry_after: Option<Duration>, jitter: f64, is_news: bool) {
        // A request from before the gate closed is part of the same closing.
        let in_a_row = if is_news { self.closings_in_a_row } else { self.closings_in_a_row.saturating_sub(1) };
        let HostLimits { closed_floor, closed_cap, patience, .. } = self.limits;
        // A time below the floor says nothing: npm's proxy sends `Retry-After: 0` with a ban of a minute.
        let named = retry_after.filter(|named| *named >= closed_floor && !named.is_zero());
        let named = named.map(|named| named.min(LONGEST_NAMED));
        let wait = match named {
            Some(named) => named.mul_f64(1.0 + DOUBT * f64::from((in_a_row + 1).saturating_sub(BELIEVED))),
            None => closed_floor.saturating_mul(1 << in_a_row.min(MOST_DOUBLINGS)).min(closed_cap),
        };
        let least = now + named.unwrap_or(closed_floor);
        let until = now + wait.mul_f64(1.0 + RELEASE_JITTER * jitter.clamp(0.0, 1.0));
        let mut patient_until = now + patience;
        if let Some(trouble) = &mut self.trouble {
            patient_until = trouble.since + patience;
            if named.is_some() && least > patient_until {
                (trouble.given_up, trouble.named_until) = (true, Some(least));
            }
        }
        self.close_until(until.min(patient_until.max(least)));
        if !is_news {
            return;
        }
        self.closings_in_a_row += 1;
        self.reduced_at = Some(now);
        self.latency.forget_recent();
    }

    fn close_until(&mut self, until: Instant) {
        let until = self.closed_until.map_or(until, |closed| closed.max(until));
        self.closed_until = Some(until);
        if let Some(trouble) = &mut self.trouble {
            trouble.last_at = trouble.last_at.max(until);
        }
    }
}
