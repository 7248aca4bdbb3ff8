//! Work: one partition to bring up to date, as a source passes it to a worker. Not here: where it comes from
//! (`source`), and how it is done (`worker`).
//! (`source`), and how it is done (`worker`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::diff::Selection;
use crate::lake::{HeldOutcome, Partition};
use crate::npm::{Change, ChangeKind, DocRow, PackageName, Representation, Revision, Seq};

/// One partition, the announced names in it, and the wanted documents.
#[derive(Debug, Clone)]
pub struct WorkItem {
    /// The partition.
    pub partition: Partition,
    /// The names that the registry announces in it.
    pub announced: Announced,
    /// The wanted documents and limits.
    pub wanted: Arc<Wanted>,
}

/// The names that a registry announces in one partition.
#[derive(Debug, Clone)]
pub enum Announced {
    /// All names that it lists there: a name of the lake that is missing from them is gone.
    Listing {
        /// Strictly ascending by name.
        rows: Arc<Vec<DocRow>>,
        /// The time at which the listing began, in microseconds since 1970.
        began_at_us: i64,
    },
    /// Some names that changed: the lake's rows of all others stay. Strictly ascending by name.
    Changes(Arc<Vec<Change>>),
}

/// The wanted documents of every partition of a run, and the limits.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The form of documents.
    pub representation: Representation,
    /// The names whose documents are wanted.
    pub selection: Selection,
    /// Whether documents that are held at the announced revision are requested again.
    pub refresh: bool,
    /// The time at which the run began, in microseconds since 1970. It decides which outcomes are due again. A name that
    /// any process requested since then is not requested again unless another revision is announced, or that process
    /// used other credentials.
    pub began_at_us: i64,
    /// The largest document that is accepted, in bytes.
    pub max_document_bytes: u64,
    /// Whether a document of the lake is dropped when the registry says that it has none, though it lists the name.
    pub accepts_removals: bool,
}

impl Announced {
    /// Returns the names that the feed calls deleted, each with the revision of the deletion.
    pub(super) fn deleted(&self) -> HashMap<PackageName, Revision> {
        let Announced::Changes(changes) = self else { return HashMap::new() };
        let deleted = changes.iter().filter(|change| change.kind == ChangeKind::Deleted);
        deleted.map(|change| (change.name.clone(), change.rev.clone())).collect()
    }

    /// Returns the change in the registry's feed that announced a name, if a feed did.
    pub(super) fn seq_of(&self, name: &str) -> Option<&str> {
        let Announced::Changes(changes) = self else { return None };
        let place = changes.binary_search_by(|change| change.name.as_str().cmp(name)).ok()?;
        changes.get(place)?.seq.as_ref().map(Seq::as_str)
    }

    /// Returns the rows of `docs` that follow from the announced names and the lake's rows, and the time at which they
    /// were listed.
    ///
    /// If another process has committed a later listing, that listing counts. A name that was requested after a listing
    /// began is newer than the listing: it stays if it is not listed, and keeps a later revision. `outcomes` are those of
    /// the lake.
    pub(super) fn rows(
        &self,
        held: &[DocRow],
        held_at_us: Option<i64>,
        outcomes: &[HeldOutcome],
    ) -> (Arc<Vec<DocRow>>, Option<i64>) {
        match self {
            Announced::Listing { began_at_us, .. }
                if held_at_us.is_some_and(|held_at_us| held_at_us > *began_at_us) =>
            {
                (Arc::new(held.to_vec()), held_at_us)
            }
            Announced::Listing { rows, began_at_us } => {
                // Also one without a document: a server may lag behind the feed that announced it.
                let is_later = |held: &&HeldOutcome| held.fetched_at_us.is_some_and(|at_us| at_us > *began_at_us);
                let later: HashSet<&PackageName> = outcomes.iter().filter(is_later).map(|held| &held.name).collect();
                let rows = if later.is_empty() { Arc::clone(rows) } else { Arc::new(with_later(rows, held, &later)) };
                (rows, Some(*began_at_us))
            }
            Announced::Changes(changes) => (Arc::new(changed(held, changes)), held_at_us),
        }
    }
}

/// Returns the listed rows, with those of `held` that are `later` and that the listing lacks, or lists at an earlier
/// revision. All are ascending.
fn with_later(listed: &[DocRow], held: &[DocRow], later: &HashSet<&PackageName>) -> Vec<DocRow> {
    let mut rows = Vec::with_capacity(listed.len() + later.len());
    let mut listed = listed.iter().peekable();
    for row in held.iter().filter(|row| later.contains(&row.name)) {
        while let Some(before) = listed.next_if(|listed| listed.name < row.name) {
            rows.push(before.clone());
        }
        let same = listed.next_if(|listed| listed.name == row.name);
        rows.push(same.filter(|listed| !listed.rev.is_older_than(&row.rev)).unwrap_or(row).clone());
    }
    rows.extend(listed.cloned());
    rows
}

/// Returns `held` after `changes`; both are ascending. The deletion of a name that is not held changes nothing, and one of
/// a name that is held is decided by its document.
fn changed(held: &[DocRow], changes: &[Change]) -> Vec<DocRow> {
    let mut rows = Vec::with_capacity(held.len() + changes.len());
    let mut held = held.iter().peekable();
    for change in changes {
        while let Some(row) = held.next_if(|row| row.name < change.name) {
            rows.push(row.clone());
        }
        let row = held.next_if(|row| row.name == change.name);
        match change.kind {
            ChangeKind::Removed => {}
            ChangeKind::Deleted => rows.extend(row.cloned()),
            ChangeKind::Added | ChangeKind::Changed => {
                rows.push(DocRow { name: change.name.clone(), rev: change.rev.clone() });
            }
        }
    }
    rows.extend(held.cloned());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npm::{Fingerprint, Outcome, Validators};

    fn rows(text: &str) -> Vec<DocRow> {
        text.split_whitespace().map(|name| DocRow::new(name, "1-x")).collect()
    }

    fn change(name: &str, kind: ChangeKind) -> Change {
        Change { name: PackageName::new(name), rev: Revision::new("2-x"), kind, seq: None }
    }

    #[test]
    fn changes_keep_all_other_rows() {
        let changes = [
            change("a", ChangeKind::Added),
            change("b", ChangeKind::Changed),
            change("c", ChangeKind::Deleted),
            change("d", ChangeKind::Removed),
            change("e", ChangeKind::Removed),
            change("y", ChangeKind::Deleted),
            change("z", ChangeKind::Added),
        ];
        let announced = Announced::Changes(Arc::new(changes.to_vec()));
        let (now, listed_at_us) = announced.rows(&rows("b c d x"), Some(7), &[]);
        let told: Vec<String> = now.iter().map(|row| format!("{} {}", row.name, row.rev)).collect();
        assert_eq!(told, ["a 2-x", "b 2-x", "c 1-x", "x 1-x", "z 2-x"]);
        assert_eq!(listed_at_us, Some(7));
    }

    #[test]
    fn of_two_listings_the_later_one_counts() {
        let announced = Announced::Listing { rows: Arc::new(rows("a b")), began_at_us: 5 };
        for (held_at_us, expected, at_us) in [(None, "a b", 5), (Some(4), "a b", 5), (Some(6), "a", 6)] {
            let (now, listed_at_us) = announced.rows(&rows("a"), held_at_us, &[]);
            assert_eq!((now.as_ref(), listed_at_us), (&rows(expected), Some(at_us)));
        }
    }

    #[test]
    fn a_document_that_came_after_a_listing_began_is_newer_than_the_listing() {
        let outcome = |name: &str, at_us| HeldOutcome {
            name: PackageName::new(name),
            rev: Revision::new("2-x"),
            outcome: if name == "f" { Outcome::NotFound } else { Outcome::Present },
            validators: Validators::default(),
            fetched_at_us: Some(at_us),
            representation: None,
            repetitions: 1,
            credentials: Some(Fingerprint::NONE),
            next_request_at_us: None,
        };
        let held: Vec<DocRow> = ["a", "b", "c", "e", "f"].map(|name| DocRow::new(name, "2-x")).into();
        let outcomes = [outcome("a", 6), outcome("b", 6), outcome("c", 4), outcome("e", 4), outcome("f", 6)];
        let announced = Announced::Listing { rows: Arc::new(rows("b c d")), began_at_us: 5 };
        let (now, _) = announced.rows(&held, Some(3), &outcomes);
        let told: Vec<String> = now.iter().map(|row| format!("{} {}", row.name, row.rev)).collect();
        assert_eq!(told, ["a 2-x", "b 2-x", "c 1-x", "d 1-x", "f 2-x"]);
    }
}
