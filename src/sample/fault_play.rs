//! Plays a fault script: counts requests against it and returns the action for each.
//!
//! Pure but for the time, which the caller passes. Not here: sending (`server.rs`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::faults::{Action, Fault, FaultScript, RetryAfter};
use super::random::{Random, hash};
use super::record::Asked;

/// The state of a script.
pub(super) struct FaultPlay {
    script: FaultScript,
    started: Instant,
    /// The requests that are allowed now; never more than a second's worth.
    allowance: f64,
    refilled: Instant,
    counts: Vec<Counts>,
    /// The number of requests for each address; kept only for scripts with probabilities.
    asked_before: HashMap<String, u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    matched: u64,
    played: u64,
}

impl FaultPlay {
    pub(super) fn new(script: FaultScript, now: Instant) -> Self {
        FaultPlay {
            started: now,
            allowance: script.requests_per_second.unwrap_or(0.0).max(1.0),
            refilled: now,
            counts: vec![Counts::default(); script.faults.len()],
            asked_before: HashMap::new(),
            script,
        }
    }

    pub(super) fn script(&self) -> &FaultScript {
        &self.script
    }

    /// Returns the action for this request, if there is one.
    pub(super) fn next(&mut self, asked: &Asked, now: Instant) -> Option<Action> {
        let banned = self.script.ban_seconds.is_some_and(|seconds| {
            Duration::try_from_secs_f64(seconds).is_ok_and(|ban| now.duration_since(self.started) < ban)
        });
        if banned || !self.has_capacity(now) {
            let retry_after = self.script.retry_after.clone().unwrap_or_else(|| RetryAfter::Text("0".to_owned()));
            return Some(Action::Status { code: 429, retry_after: Some(retry_after), body: None });
        }
        let attempt = self.attempt(asked);
        for (index, (fault, counts)) in self.script.faults.iter().zip(&mut self.counts).enumerate() {
            if !concerns(fault, asked) {
                continue;
            }
            counts.matched += 1;
            let spent = fault.times.is_some_and(|times| counts.played >= times);
            if !spent && is_due(fault, counts.matched, || drawn(self.script.seed, index, asked, attempt)) {
                counts.played += 1;
                return Some(fault.action.clone());
            }
        }
        None
    }

    fn has_capacity(&mut self, now: Instant) -> bool {
        let Some(rate) = self.script.requests_per_second else { return true };
        let gained = now.duration_since(self.refilled).as_secs_f64() * rate;
        self.refilled = now;
        self.allowance = (self.allowance + gained).min(rate.max(1.0));
        let has_capacity = self.allowance >= 1.0;
        if has_capacity {
            self.allowance -= 1.0;
        }
        has_capacity
    }

    fn attempt(&mut self, asked: &Asked) -> u64 {
        if self.script.faults.iter().all(|fault| fault.when.probability.is_none()) {
            return 0;
        }
        let count = self.asked_before.entry(format!("{}?{}", asked.path, asked.query)).or_default();
        *count += 1;
        *count
    }
}

fn concerns(fault: &Fault, asked: &Asked) -> bool {
    fault.kind.is_none_or(|kind| kind == asked.kind())
        && fault.path_prefix.as_ref().is_none_or(|prefix| asked.path.starts_with(prefix))
        && fault.package.as_ref().is_none_or(|package| asked.names(package))
}

fn is_due(fault: &Fault, matched: u64, drawn: impl FnOnce() -> f64) -> bool {
    fault.when.nth.is_none_or(|nth| matched == nth)
        && fault.when.every.is_none_or(|every| every > 0 && matched.is_multiple_of(every))
        && fault.when.probability.is_none_or(|probability| drawn() < probability)
}

/// Returns a number in 0..1 that the fault, the address and the attempt determine.
fn drawn(seed: u64, fault: usize, asked: &Asked, attempt: u64) -> f64 {
    let address = hash(format!("{}?{}", asked.path, asked.query).as_bytes()) as u64;
    let mut random = Random::new(seed ^ address, attempt.wrapping_mul(1000).wrapping_add(fault as u64));
    random.below(1 << 53) as f64 / (1u64 << 53) as f64
}

/// Returns the header's text.
pub(super) fn retry_after_text(retry_after: &RetryAfter) -> String {
    match retry_after {
        RetryAfter::Text(text) => text.clone(),
        RetryAfter::Date { date_in_seconds } => {
            let date = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(*date_in_seconds));
            date.map(|date| date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).unwrap_or_default()
        }
    }
}
