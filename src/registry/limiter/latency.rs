//! Whether answers have become slower because too many are asked for at once.
//!
//! The fastest answer is no measure for that: behind a CDN some answers come from a cache and some do not. So means are
//! compared, and when fewer requests do not make answers faster, slowness is taken as given.

use std::time::Duration;

/// How many answers make one mean.
const WINDOW: u32 = 20;

/// Means that are less than this above the reference are not slower: schedulers and networks vary by as much.
const SLACK_SECONDS: f64 = 0.03;

/// So many times the reference is strain: nearly as long was waited as was worked.
const STRAINED: f64 = 1.75;

/// Up to so many times it, more may be tried. Between the two, what is is kept.
const AT_EASE: f64 = 1.4;

/// How much of the way the reference goes down to a faster mean.
const DOWNWARD: f64 = 0.2;

/// How much of the way it goes up to a slower one that is no strain: a quarter of an hour at 200 answers per second. Were
/// it much more, the load that we make would become the measure of itself.
const UPWARD: f64 = 0.0001;

/// A reduction by a fifth has not helped if the mean stays within this part of what it was. A mean far above it is of a
/// load that was still growing when it was reduced, and says nothing yet.
const SAME: f64 = 0.1;

/// What the last mean says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Load {
    /// More requests may be tried.
    #[default]
    AtEase,
    /// What is allowed is right.
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
    /// The mean that the last reduction was made for, until the mean after it is known.
    reduced_for_seconds: Option<f64>,
}

impl LatencyWatch {
    /// Takes the time to first byte of one good answer to what was sent after the last reduction.
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

    /// Forgets the mean under way: something was reduced, and the answers to come will tell whether enough.
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
