//! The fetch decision for each name's document, from the new listing and the known outcomes.

use std::collections::BTreeSet;

use serde::Serialize;

use super::changes::{change_kind, listings};
use super::join::{Join, Named, Pair};
use crate::error::{ErrorKind, Result};
use crate::lake::HeldOutcome;
use crate::npm::{ChangeKind, DocRow, Fingerprint, Outcome, PackageName, Representation};

impl Named for HeldOutcome {
    fn name(&self) -> &PackageName {
        &self.name
    }
}

impl Named for Pair<DocRow, DocRow> {
    fn name(&self) -> &PackageName {
        match self {
            Pair::Left(row) | Pair::Right(row) | Pair::Both(_, row) => &row.name,
        }
    }
}

/// The names whose documents are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// All names.
    #[default]
    All,
    /// Only these names (`--names`). The lake keeps the documents of the others as they are.
    Names(BTreeSet<PackageName>),
    /// No names (`--packuments none`). The lake keeps its documents as they are.
    None,
}

impl Selection {
    /// Returns whether `name`'s document is wanted.
    pub fn contains(&self, name: &PackageName) -> bool {
        match self {
            Selection::All => true,
            Selection::Names(names) => names.contains(name),
            Selection::None => false,
        }
    }
}

/// The reason to fetch a document, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchReason {
    /// It was never requested.
    New,
    /// The announced revision differs from the one at the last request.
    Revised,
    /// The lake holds the abbreviated form, and the full one is wanted.
    FullerForm,
    /// The last request failed, or the document was older than announced.
    Unfinished,
    /// The document was too large for an earlier limit.
    LargerLimit,
    /// There was no sound document when it was requested with other credentials.
    OtherCredentials,
    /// There was no sound document at the last request, and enough time has passed.
    Due,
    /// There was no sound document at the last request, and the user names it.
    Named,
    /// The lake holds it, and the user wants every document requested again.
    Refresh,
}

impl FetchReason {
    /// Returns whether the reason still holds after a response about the same revision.
    pub fn outlasts_a_response(self) -> bool {
        matches!(
            self,
            FetchReason::New | FetchReason::Revised | FetchReason::FullerForm | FetchReason::OtherCredentials
        )
    }

    /// Returns the reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            FetchReason::New => "never requested",
            FetchReason::Revised => "revised",
            FetchReason::FullerForm => "held in abbreviated form",
            FetchReason::Unfinished => "failed or outdated at the last request",
            FetchReason::LargerLimit => "too large for an earlier limit",
            FetchReason::OtherCredentials => "other credentials than at the last request",
            FetchReason::Due => "no document at the last request, and due again",
            FetchReason::Named => "no document at the last request, and named",
            FetchReason::Refresh => "refreshed",
        }
    }
}

/// The action for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Request its document from the registry.
    Fetch(FetchReason),
    /// Keep the lake's rows and outcome.
    Carry,
    /// Nothing is known and nothing is wanted: the name has only its row in `docs`.
    Leave,
    /// The registry no longer lists it: remove its rows and its outcome.
    Drop,
}

/// The documents that a run wants, and the conditions of its requests.
#[derive(Clone, Copy)]
pub struct WantedDocuments<'a> {
    /// Their names.
    pub selection: &'a Selection,
    /// Their form.
    pub representation: Representation,
    /// Whether a document is accepted that was too large at its last request.
    pub takes_larger: bool,
    /// The time at which the run began, in microseconds since 1970.
    pub now_us: i64,
    /// The credentials that the request for a name carries.
    pub credentials: &'a dyn Fn(&PackageName) -> Fingerprint,
}

/// A name, all that is known of it, and its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedName {
    /// The name with its announced revision; the last known revision if it is no longer listed.
    pub row: DocRow,
    /// The change from the lake's listing to the registry's.
    pub change: Option<ChangeKind>,
    /// The action.
    pub step: Step,
    /// The outcome of its last request.
    pub held: Option<HeldOutcome>,
}

/// Decides for every name of `before` (the lake's listing), `listed` (the registry's) and `held`, by name.
///
/// All must be strictly ascending by name. A sound document at the announced revision is not requested again. A name
/// without one is requested again when time, other credentials or another limit may have changed that, and always if the
/// user names it. A full document serves where the abbreviated form is wanted, for it holds more; an abbreviated one
/// does not serve where the full form is wanted.
///
/// # Errors
///
/// Those of any sequence; [`ErrorKind::Lake`] for a `before` or a `held` out of order, [`ErrorKind::Internal`] for such
/// a `listed`. Nothing comes after an error.
pub fn plan_fetch<B, L, K>(
    before: B,
    listed: L,
    held: K,
    wanted: WantedDocuments<'_>,
) -> impl Iterator<Item = Result<PlannedName>>
where
    B: IntoIterator<Item = Result<DocRow>>,
    L: IntoIterator<Item = Result<DocRow>>,
    K: IntoIterator<Item = Result<HeldOutcome>>,
{
    let listings = listings(before, listed);
    let listings_what = ("the listed names", ErrorKind::Internal);
    let held_what = ("the outcomes of the lake", ErrorKind::Lake);
    let join = Join::new(listings, listings_what, held.into_iter(), held_what);
    join.map(move |pair| pair.map(|pair| decide(pair, wanted)))
}

fn decide(pair: Pair<Pair<DocRow, DocRow>, HeldOutcome>, wanted: WantedDocuments<'_>) -> PlannedName {
    let of_listing = |listing: Pair<DocRow, DocRow>| {
        let (change, is_listed) = (change_kind(&listing), !matches!(listing, Pair::Left(_)));
        let (Pair::Left(row) | Pair::Right(row) | Pair::Both(_, row)) = listing;
        (row, change, is_listed)
    };
    let ((row, change, is_listed), held) = match pair {
        Pair::Left(listing) => (of_listing(listing), None),
        Pair::Right(held) => ((DocRow { name: held.name.clone(), rev: held.rev.clone() }, None, false), Some(held)),
        Pair::Both(listing, held) => (of_listing(listing), Some(held)),
    };
    let step = match &held {
        None if is_listed && wanted.selection.contains(&row.name) => Step::Fetch(FetchReason::New),
        None => Step::Leave,
        Some(_) if !is_listed => Step::Drop,
        Some(held) => match reason(&row, held, wanted) {
            Some(reason) if wanted.selection.contains(&row.name) => Step::Fetch(reason),
            _ => Step::Carry,
        },
    };
    PlannedName { row, change, step, held }
}

fn reason(row: &DocRow, held: &HeldOutcome, wanted: WantedDocuments<'_>) -> Option<FetchReason> {
    if row.rev != held.rev {
        return Some(FetchReason::Revised);
    }
    let has_too_little = held.outcome.has_document() && held.representation == Some(Representation::Abbreviated);
    let is_named = !held.outcome.is_whole() && matches!(wanted.selection, Selection::Names(_));
    let reasons = [
        (held.outcome.is_open(), FetchReason::Unfinished),
        (has_too_little && wanted.representation == Representation::Full, FetchReason::FullerForm),
        (held.outcome == Outcome::Oversize && wanted.takes_larger, FetchReason::LargerLimit),
        (held.is_of_other_credentials((wanted.credentials)(&row.name)), FetchReason::OtherCredentials),
        (held.is_due(wanted.now_us), FetchReason::Due),
        (is_named, FetchReason::Named),
    ];
    reasons.into_iter().find_map(|(applies, reason)| applies.then_some(reason))
}

#[cfg(test)]
mod tests;
