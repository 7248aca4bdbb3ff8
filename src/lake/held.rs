//! The lake's knowledge of a name's last request.

use crate::npm::{Fingerprint, Outcome, PackageName, Representation, Revision, Validators};

/// A row of `outcomes`, as far as the next ingest needs it, with the form of the document by `packuments`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOutcome {
    /// The name.
    pub name: PackageName,
    /// The revision that was announced at the time of the request.
    pub rev: Revision,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// The validators of the document, to make the next request conditional.
    pub validators: Validators,
    /// When the response was complete, µs since 1970.
    pub fetched_at_us: Option<i64>,
    /// The form of the document that the lake holds; `None` if it holds none.
    pub representation: Option<Representation>,
    /// The number of requests in a row that had this outcome at this revision and with these credentials. At least 1; 1
    /// in a row of an earlier version, which does not state it.
    pub repetitions: u32,
    /// The credentials of the request; `None` if the outcome does not depend on them, or if an earlier version wrote the
    /// row.
    pub credentials: Option<Fingerprint>,
    /// From when on the same revision is requested again, µs since 1970; `None` if time does not matter.
    pub next_request_at_us: Option<i64>,
}

impl HeldOutcome {
    /// Returns whether the name is to be requested again at `now_us`, because of the time that has passed. A time that
    /// is too far away comes from a clock that was wrong.
    pub fn is_due(&self, now_us: i64) -> bool {
        let latest = self.outcome.next_request_us(now_us, u32::MAX);
        self.next_request_at_us.is_some_and(|at_us| at_us <= now_us || latest.is_some_and(|latest| at_us > latest))
    }

    /// Returns whether the outcome came with other credentials than `present`, and they may be the reason for it.
    pub fn is_of_other_credentials(&self, present: Fingerprint) -> bool {
        self.outcome.can_change() && self.credentials.is_some_and(|before| before != present)
    }
}
