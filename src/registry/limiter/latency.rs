//! Decides whether responses have become slower because too many requests are in flight.
//!
//! The fastest response is not a suitable measure: behind a CDN some responses come from a cache and some do not. So
//! this module compares means. If fewer requests do not make responses faster, it accepts the slowness.

use std::time::Duration;

/// How many responses make one mean.
const WINDOW: u32 = 20;

/// Means less than this above the reference are not slower: schedulers and networks vary by as much.
const SLACK_SECONDS: f64 = 0.03;

/// A mean of at least this many times the reference is strain: requests waited nearly as long as they were served.
const STRAINED: f64 = 1.75;

/// Up to this many times the reference, more requests may be tried. Between the two limits, the concurrency stays.
const AT_EASE: f64 = 1.4;

/// The part of the way that the reference goes down to a faster mean.
const DOWNWARD: f64 = 0.2;

/// The part of the way that it goes up to a slower mean without strain: a quarter of an hour at 200 responses per
/// second. If it were much more, our own load would become its own measure.
const UPWARD: f64 = 0.0001;

/// A reduction by a fifth has not helped if the mean stays within this part of its previous value. A mean far above it
/// belongs to a load that was still growing at the reduction, and says nothing yet.
const SAME: f64 = 0.1;

/// The judgement of the last mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Load {
    /// More requests may be tried.
    #[default]
    AtEase,
    /// The present number is right.
    Full,
    /// Fewer should be in flight.
    Strained,
}

/// Compares the mean time to first byte with that of times of less load.
#[derive(Debug, Default)]
pub(super) struct LatencyWatch {
    reference_seconds: Option<f64>,
    sum_seconds: f64,
    samples: u32,
    load: Load,
    /// The mean that caused the last reduction, until the mean after it is known.
    reduced_for_seconds: Option<f64>,
}

impl LatencyWatch {
    /// Takes the time to first byte of one good response to a request sent after the last reduction.
    pub(super) fn sample(&mut self, latency: Duration) -> Load {
        self.sum_seconds += latency.as_secs_f64();
        self.samples += 1;
        if self.samples >= WINDOW {
            let mean_seconds = self.sum_seconds / f64::from(self.samples);
            self.forget_recent();
            self.load = self.judge(mean_seconds);
            if self.load == Load::Strained {
                self.reduced_for_seconds = Some(mean_seconds);
                self.load = Load::Full;
                return Load::Strained;
            }
        }
        self.load
    }

    /// Forgets the unfinished mean: something was reduced, and the next responses will show whether that was enough.
    pub(super) fn forget_recent(&mut self) {
        (self.sum_seconds, self.samples) = (0.0, 0);
    }

    fn judge(&mut self, mean_seconds: f64) -> Load {
        let reduced_for = self.reduced_for_seconds.take();
        let reference = self.reference_seconds.get_or_insert(mean_seconds);
        if reduced_for.is_some_and(|before| (mean_seconds - before).abs() < before * SAME) {
            *reference = mean_seconds;
        }
        let load = if mean_seconds > *reference * STRAINED + SLACK_SECONDS {
            Load::Strained
        } else if mean_seconds > *reference * AT_EASE + SLACK_SECONDS / 2.0 {
            Load::Full
        } else {
            Load::AtEase
        };
        if load != Load::Strained {
            let weight = if mean_seconds < *reference { DOWNWARD } else { UPWARD };
            *reference += weight * (mean_seconds - *reference);
        }
        load
    }
}
