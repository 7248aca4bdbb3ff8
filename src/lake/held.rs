//! The lake's knowledge of a name's last request.

use crate::npm::{Outcome, PackageName, Representation, Revision, Validators};

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
}
