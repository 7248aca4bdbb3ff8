//! Work: one partition to bring up to date, as a source passes it to a worker. Not here: where it comes from
//! (`source`), and how it is done (`worker`).
//! (`source`), and how it is done (`worker`).

use std::collections::HashMap;
use std::sync::Arc;

use crate::diff::Selection;
use crate::lake::Partition;
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
    /// If another process has committed a later listing, that listing counts.
    pub(super) fn rows(&self, held: &[DocRow], held_at_us: Option<i64>) -> (Arc<Vec<DocRow>>, Option<i64>) {
        match self {
            Announced::Listing { began_at_us, .. }
                if held_at_us.is_some_and(|held_at_us| held_at_us > *began_at_us) =>
            {
                (Arc::new(held.to_vec()), held_at_us)
            }
            Announced::Listing { rows, began_at_us } => (Arc::clone(rows), Some(*began_at_us)),
            Announced::Changes(changes) => (Arc::new(changed(held, changes)), held_at_us),
        }
    }
}

/// Returns `held` after `changes`; both are ascending.
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
            // Its document decides whether the row stays.
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
            change("ca", ChangeKind::Deleted),
            change("d", ChangeKind::Removed),
            change("e", ChangeKind::Removed),
            change("z", ChangeKind::Added),
        ];
        let announced = Announced::Changes(Arc::new(changes.to_vec()));
        let (now, listed_at_us) = announced.rows(&rows("b c d x"), Some(7));
        let told: Vec<String> = now.iter().map(|row| format!("{} {}", row.name, row.rev)).collect();
        assert_eq!(told, ["a 2-x", "b 2-x", "c 1-x", "x 1-x", "z 2-x"]);
        assert_eq!(listed_at_us, Some(7));
    }

    #[test]
    fn of_two_listings_the_later_one_counts() {
        let announced = Announced::Listing { rows: Arc::new(rows("a b")), began_at_us: 5 };
        for (held_at_us, expected, at_us) in [(None, "a b", 5), (Some(4), "a b", 5), (Some(6), "a", 6)] {
            let (now, listed_at_us) = announced.rows(&rows("a"), held_at_us);
            assert_eq!((now.as_ref(), listed_at_us), (&rows(expected), Some(at_us)));
        }
    }
}
