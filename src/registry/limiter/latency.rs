//! Whether answers have become slower than the host can give them.

use std::time::{Duration, Instant};

/// How long the fastest answer is remembered: long enough that a busy time does not become the measure, short enough that
/// a slower way to the host does not stay a sign of load for ever.
const MEMORY: Duration = Duration::from_secs(5 * 60);

/// Answers that take less than this more than the fastest are not slower: schedulers and networks vary by as much.
const SLACK: Duration = Duration::from_millis(50);

/// Twice the fastest answer is strain: as long was waited as was worked.
const STRAINED: f64 = 2.0;

/// Up to one and a half times, more may be tried. Between the two, what is is kept.
const AT_EASE: f64 = 1.5;

/// The weight of a new sample in the mean.
const WEIGHT: f64 = 0.1;

/// The mean is believed from this many samples on.
const MIN_SAMPLES: u32 = 10;

/// Compares the mean of late with the fastest answer of the last minutes.
#[derive(Debug, Default)]
pub(super) struct LatencyWatch {
    fastest: Option<Duration>,
    fastest_before: Option<Duration>,
    turned_at: Option<Instant>,
    mean_seconds: f64,
    samples: u32,
}

impl LatencyWatch {
    /// Takes the time to first byte of one good answer. One that `is_news` was sent after the last reduction.
    pub(super) fn sample(&mut self, now: Instant, latency: Duration, is_news: bool) {
        let turned_at = *self.turned_at.get_or_insert(now);
        if now.saturating_duration_since(turned_at) >= MEMORY {
            self.turned_at = Some(now);
            self.fastest_before = self.fastest.take();
        }
        self.fastest = Some(self.fastest.map_or(latency, |fastest| fastest.min(latency)));
        if !is_news {
            return;
        }
        let seconds = latency.as_secs_f64();
        self.mean_seconds =
            if self.samples == 0 { seconds } else { self.mean_seconds + WEIGHT * (seconds - self.mean_seconds) };
        self.samples = self.samples.saturating_add(1);
    }

    /// Forgets the mean: something was reduced, and the answers to come will tell whether enough.
    pub(super) fn forget_recent(&mut self) {
        self.samples = 0;
    }

    /// Whether fewer requests should be in flight.
    pub(super) fn is_strained(&self) -> bool {
        self.samples >= MIN_SAMPLES && self.mean_seconds > self.limit(STRAINED, SLACK)
    }

    /// Whether more requests may be tried.
    pub(super) fn is_at_ease(&self) -> bool {
        self.mean_seconds <= self.limit(AT_EASE, SLACK / 2)
    }

    fn limit(&self, factor: f64, slack: Duration) -> f64 {
        let fastest = match (self.fastest, self.fastest_before) {
            (Some(now), Some(before)) => now.min(before),
            (now, before) => now.or(before).unwrap_or_default(),
        };
        fastest.as_secs_f64() * factor + slack.as_secs_f64()
    }
}
