//! Decides whether refusals depend on our pace at all.
//!
//! A host that counts requests refuses after about the same number of responses each time. Refusals at irregular
//! intervals have other causes: one overloaded edge server of many, or one refused name. Slowing down does not help
//! then, so the pace stays, as `latency` accepts constant slowness. The gate still closes for each refusal.

use std::collections::VecDeque;

/// The number of refusals to judge by. If they came by chance, the fewest responses between two of six would exceed
/// `IRREGULAR` of the mean in 8 cases of 100.
const TELLING: usize = 6;

const REMEMBERED: usize = 12;

/// Refusals count as random if the fewest responses between two of them are less than this part of the mean.
const IRREGULAR: f64 = 0.3;

/// The last refusals.
#[derive(Debug, Clone, Default)]
pub(super) struct ChanceWatch {
    /// The number of good responses before each refusal, and the requests per second at that time.
    last: VecDeque<(f64, f64)>,
}

impl ChanceWatch {
    /// Records a refusal that came `answers` good responses after the last, at this many requests per second. If
    /// refusals are random and at least `least_between` responses apart on average, returns how many requests per
    /// second the host has recently accepted.
    pub(super) fn refused(&mut self, answers: u32, per_second: f64, least_between: f64) -> Option<f64> {
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back((answers.into(), per_second));
        let fewest = self.last.iter().map(|refusal| refusal.0).fold(f64::INFINITY, f64::min);
        let mean = self.last.iter().map(|refusal| refusal.0).sum::<f64>() / self.last.len() as f64;
        let by_chance = self.last.len() >= TELLING && fewest < mean * IRREGULAR && mean >= least_between;
        by_chance.then(|| self.last.iter().map(|refusal| refusal.1).fold(0.0, f64::max))
    }

    /// Forgets all refusals: a ban shows that the host counts.
    pub(super) fn forget(&mut self) {
        self.last.clear();
    }
}
