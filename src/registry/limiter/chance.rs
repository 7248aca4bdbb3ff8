//! Whether refusals have to do with our pace at all.
//!
//! A host that counts requests refuses after much the same number of answers each time. Refusals that come now soon and now
//! late are not of our making: one edge of many is overloaded, or one name is refused. Going slower gains nothing, so they
//! are taken as given, as slowness is in `latency`. The gate closes for each of them nevertheless.

use std::collections::VecDeque;

/// So many refusals tell. Were they by chance, the fewest answers between two of six would be more than `IRREGULAR` of the
/// mean in 8 cases of 100.
const TELLING: usize = 6;

const REMEMBERED: usize = 12;

/// The fewest answers between two refusals are less than this part of the mean: chance.
const IRREGULAR: f64 = 0.3;

/// Remembers the last refusals.
#[derive(Debug, Clone, Default)]
pub(super) struct ChanceWatch {
    /// The good answers before each, and the requests per second at which it came.
    last: VecDeque<(f64, f64)>,
}

impl ChanceWatch {
    /// Takes a refusal that came `answers` good answers after the last, at this many requests per second. If refusals come by
    /// chance, and not after fewer than `least_between` answers in the mean: how many per second the host has lately borne.
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

    /// The host banned us: it counts.
    pub(super) fn forget(&mut self) {
        self.last.clear();
    }
}
