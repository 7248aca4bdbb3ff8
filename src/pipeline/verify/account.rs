//! Accounts: compares the tables of a partition name by name. Rows in are rows out, or rows accounted for.

use std::collections::{BTreeMap, BTreeSet};

use super::proof::Fault;
use crate::error::{Error, Result};
use crate::lake::Partition;
use crate::npm::Outcome;
use crate::pipeline::progress::Progress;
use crate::shard::{NameCursor, Row};
use crate::table::{RowsOf, TableKind};

/// A shard that is read in step with the others.
pub(super) struct Table {
    pub(super) kind: TableKind,
    pub(super) cursor: NameCursor,
    /// The number of rows that its manifest states.
    pub(super) rows_expected: u64,
}

impl Table {
    /// Returns the columns that the accounts need besides the name.
    pub(super) fn columns(kind: TableKind) -> &'static [&'static str] {
        match kind {
            TableKind::Outcomes => &["outcome"],
            TableKind::Packages => &["version_count"],
            TableKind::Versions => &["version"],
            _ if kind.spec().rows_of == RowsOf::Version => &["version"],
            _ => &[],
        }
    }
}

/// How many names there are, and how many of them have a document in the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) names: u64,
    pub(super) with_document: u64,
    pub(super) without_document: u64,
    pub(super) not_asked: u64,
}

/// The result of the accounts.
#[derive(Debug, Default)]
pub(super) struct Accounted {
    pub(super) rows: u64,
    pub(super) counts: Counts,
    /// Names by outcome.
    pub(super) outcomes: BTreeMap<String, u64>,
    /// The faults, once for each table and reason.
    pub(super) problems: Vec<(TableKind, Fault, String)>,
}

/// The rows and facts of one name.
#[derive(Default)]
struct Held {
    rows: BTreeMap<TableKind, u64>,
    outcome: Option<String>,
    version_count: Option<i64>,
    versions: BTreeSet<String>,
}

impl Held {
    fn has(&self, kind: TableKind) -> bool {
        self.rows.contains_key(&kind)
    }
}

/// Problems by table and reason: how many names have each, and the first of them.
#[derive(Default)]
struct Tally {
    problems: BTreeMap<(TableKind, Fault, &'static str), (u64, String)>,
}

impl Tally {
    fn add(&mut self, kind: TableKind, fault: Fault, reason: &'static str, name: &str) {
        self.problems.entry((kind, fault, reason)).or_insert_with(|| (0, name.to_owned())).0 += 1;
    }

    fn into_problems(self) -> impl Iterator<Item = (TableKind, Fault, String)> {
        self.problems.into_iter().map(|((kind, fault, reason), (count, name))| {
            let names = if count == 1 { format!("{name:?}") } else { format!("{count} names, the first {name:?},") };
            (kind, fault, format!("{names} {reason}"))
        })
    }
}

/// Reads the tables in step. `tables` are sorted by kind. If some of the partition's are missing (`is_whole` is false),
/// each is still checked on its own.
pub(super) fn account(partition: &Partition, mut tables: Vec<Table>, is_whole: bool, progress: &Progress) -> Accounted {
    let mut accounted = Accounted::default();
    let mut tally = Tally::default();
    let has_outcomes = tables.iter().any(|table| table.kind == TableKind::Outcomes);
    let mut is_in_order = true;
    while let Some(name) = tables.iter().filter_map(|table| table.cursor.name()).min().map(str::to_owned) {
        let mut held = Held::default();
        for table in tables.iter_mut().filter(|table| table.cursor.name() == Some(name.as_str())) {
            match pass(table, &mut held, is_whole, &mut tally, &name) {
                Ok(rows) => {
                    held.rows.insert(table.kind, rows);
                    Progress::add(&progress.rows_scanned, rows);
                }
                Err(error) => {
                    accounted.problems.push((table.kind, Fault::of(&error), error.report()));
                    is_in_order = false;
                }
            }
            if let Some(disorder) = table.cursor.disorder() {
                accounted.problems.push((table.kind, Fault::Order, disorder.to_owned()));
                is_in_order = false;
            }
        }
        if !is_in_order {
            break;
        }
        judge_alone(&name, &held, partition, &mut tally);
        if is_whole {
            judge_together(&name, &held, has_outcomes, &mut tally);
        }
        accounted.counts.add(&held);
        if let Some(outcome) = held.outcome {
            *accounted.outcomes.entry(outcome).or_insert(0) += 1;
        }
    }
    for table in &tables {
        let rows = table.cursor.rows();
        accounted.rows += rows;
        if is_in_order && rows != table.rows_expected {
            let why = format!("it has {rows} rows, and its manifest says {}", table.rows_expected);
            accounted.problems.push((table.kind, Fault::Damaged, why));
        }
    }
    accounted.problems.extend(tally.into_problems());
    accounted
}

/// Passes the rows of a name in a table, and records the facts that are compared with other tables.
fn pass(table: &mut Table, held: &mut Held, is_whole: bool, tally: &mut Tally, name: &str) -> Result<u64> {
    let kind = table.kind;
    table.cursor.pass(|row: Row<'_>| {
        let version = || Ok::<_, Error>(row.text("version")?.unwrap_or_default());
        let problem = match kind {
            TableKind::Outcomes => {
                held.outcome = row.text("outcome")?.map(str::to_owned);
                None
            }
            TableKind::Packages => {
                held.version_count = row.number("version_count");
                None
            }
            TableKind::Versions => {
                let is_new = held.versions.insert(version()?.to_owned());
                (!is_new).then_some((Fault::Account, "has a version twice"))
            }
            // `versions` precedes them in the order of tables.
            _ if kind.spec().rows_of == RowsOf::Version => {
                let is_dangling = is_whole && !held.versions.contains(version()?);
                is_dangling.then_some((Fault::Reference, "has rows of a version that is not in versions"))
            }
            _ => None,
        };
        if let Some((fault, reason)) = problem {
            tally.add(kind, fault, reason, name);
        }
        Ok(())
    })
}

/// Checks each table on its own.
fn judge_alone(name: &str, held: &Held, partition: &Partition, tally: &mut Tally) {
    for (&kind, &rows) in &held.rows {
        if !partition.contains(name) {
            tally.add(kind, Fault::Range, "does not lie in its partition", name);
        }
        if rows > 1 && kind.spec().rows_of == RowsOf::Name {
            tally.add(kind, Fault::Account, "has more than one row", name);
        }
    }
}

/// Checks the tables against each other.
fn judge_together(name: &str, held: &Held, has_outcomes: bool, tally: &mut Tally) {
    use TableKind::{Docs, Outcomes, Packages, Packuments};
    if !held.has(Docs) {
        for &kind in held.rows.keys() {
            tally.add(kind, Fault::Account, "has rows and is not in docs", name);
        }
    }
    if !has_outcomes {
        return;
    }
    let has_package = held.has(Packages);
    for &kind in held.rows.keys() {
        match kind.spec().rows_of {
            RowsOf::Package | RowsOf::Version if !has_package => {
                tally.add(kind, Fault::Reference, "has rows and is not in packages", name);
            }
            RowsOf::Document if !held.has(Packuments) => {
                tally.add(kind, Fault::Reference, "has rows and is not in packuments", name);
            }
            _ => {}
        }
    }
    if has_package && !held.has(Packuments) {
        tally.add(Packages, Fault::Reference, "has a row and is not in packuments", name);
    }
    if let Some(count) = held.version_count
        && u64::try_from(count).ok() != Some(held.rows.get(&TableKind::Versions).copied().unwrap_or(0))
    {
        tally.add(Packages, Fault::Account, "has a version_count that differs from its rows in versions", name);
    }
    let Some(outcome) = held.outcome.as_deref().map(Outcome::parse) else {
        if held.has(Packuments) {
            tally.add(Packuments, Fault::Account, "has a document and no outcome", name);
        }
        return;
    };
    let (needs_document, needs_package) = match outcome {
        Some(Outcome::Present | Outcome::Tombstone) => (Some(true), Some(true)),
        // The earlier document may be malformed.
        Some(Outcome::Stale) => (Some(true), None),
        Some(Outcome::Malformed) => (Some(true), Some(false)),
        Some(Outcome::NotFound) => (Some(false), Some(false)),
        // Earlier rows of the name stay.
        Some(Outcome::Failed | Outcome::Oversize | Outcome::Blocked) => (None, None),
        None => {
            tally.add(Outcomes, Fault::Account, "has an outcome that is unknown", name);
            return;
        }
    };
    if needs_document.is_some_and(|needed| needed != held.has(Packuments)) {
        tally.add(Outcomes, Fault::Account, "has an outcome that contradicts packuments", name);
    }
    if needs_package.is_some_and(|needed| needed != has_package) {
        tally.add(Outcomes, Fault::Account, "has an outcome that contradicts packages", name);
    }
}

impl Counts {
    fn add(&mut self, held: &Held) {
        self.names += u64::from(held.has(TableKind::Docs));
        let counter = match (held.has(TableKind::Packuments), &held.outcome) {
            (true, _) => &mut self.with_document,
            (false, Some(_)) => &mut self.without_document,
            (false, None) => &mut self.not_asked,
        };
        *counter += 1;
    }
}
