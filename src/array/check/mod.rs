//! Checks the arrays of an origin: each object by itself, and the objects of a group against each other.
//!
//! It changes nothing and needs no lease. A group that another process changes meanwhile is read again. Not here: the
//! tables that the arrays were made from, and repairing faults.

mod axis;
mod downloads;
mod graph;
mod look;
mod releases;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::look::Look;
use super::axis::PackageAxis;
use super::group::{Group, StoredGroup};
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::store::{Listed, Store};

/// How often a group is read that other processes change.
const MAX_READS: usize = 3;
/// The harmless foreign files that are named individually.
const FILES_NAMED: usize = 10;

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArrayFault {
    /// The metadata of a group or an array cannot be used, or the two disagree.
    Metadata,
    /// An object that must be there is gone.
    Missing,
    /// The bytes of an object are not those that were written.
    Damaged,
    /// The system or the bucket refuses to read an object.
    Unreadable,
    /// An object that would be read as a part of an array that has become longer.
    Foreign,
    /// The values of objects do not fit together.
    Account,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayFinding {
    /// The object, from the root of the lake.
    pub file: String,
    /// The kind of the fault.
    pub fault: ArrayFault,
    /// The fault in words.
    pub reason: String,
}

/// The objects that were checked, and their faults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArraysProof {
    /// Objects, with the package axis and without metadata.
    pub objects: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// The faults.
    pub findings: Vec<ArrayFinding>,
    /// Notes that are not faults.
    pub notes: Vec<String>,
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayExtent {
    /// The metadata of each group, and the names and sizes of objects.
    Names,
    /// Every object.
    Whole,
}

impl ArrayFinding {
    fn new(file: impl Into<String>, fault: ArrayFault, reason: impl Into<String>) -> ArrayFinding {
        ArrayFinding { file: file.into(), fault, reason: reason.into() }
    }

    /// Makes the finding about an object that could not be read to its end.
    fn of_error(file: impl Into<String>, error: &Error) -> ArrayFinding {
        let fault = if error.is_of_system() { ArrayFault::Unreadable } else { ArrayFault::Damaged };
        ArrayFinding::new(file, fault, error.report())
    }
}

/// Checks the arrays of an origin. `listed` are all objects of the origin, or all of the lake.
///
/// Fails if the store cannot be read at all. A fault of an object is not a failure but a finding.
pub async fn check_arrays(
    store: &Store,
    layout: &OriginLayout,
    listed: &[Listed],
    extent: ArrayExtent,
) -> Result<ArraysProof> {
    let sizes: BTreeMap<&str, u64> = listed
        .iter()
        .filter(|listed| !Store::is_put_begun(&listed.path))
        .map(|listed| (listed.path.as_str(), listed.size_bytes))
        .collect();
    let is_there = |folder: &String| {
        sizes.range(format!("{folder}/").as_str()..).next().is_some_and(|(path, _)| below(path, folder))
    };
    let folders: Vec<String> = layout.arrays().into_iter().filter(is_there).collect();
    let mut proof = ArraysProof::default();
    let axis = axis::check(store, layout, &sizes, !folders.is_empty(), extent, &mut proof).await?;
    for folder in folders {
        check_group(store, layout, Group::new(store, folder), &sizes, axis.as_ref(), extent, &mut proof).await?;
    }
    proof.findings.sort_by(|one, other| (&one.file, one.fault).cmp(&(&other.file, other.fault)));
    Ok(proof)
}

fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

async fn check_group(
    store: &Store,
    layout: &OriginLayout,
    group: Group,
    sizes: &BTreeMap<&str, u64>,
    axis: Option<&PackageAxis>,
    extent: ArrayExtent,
    proof: &mut ArraysProof,
) -> Result<()> {
    let start = format!("{}/", group.folder());
    let own = sizes.range(start.as_str()..).take_while(|(path, _)| below(path, group.folder()));
    let own: BTreeMap<&str, u64> = own.map(|(path, size)| (*path, *size)).collect();
    let is_metadata = |path: &str| path.ends_with("/zarr.json");
    for size in own.iter().filter(|(path, _)| !is_metadata(path)).map(|(_, size)| size) {
        proof.objects += 1;
        proof.size_bytes += size;
    }
    for read in 1..=MAX_READS {
        let stored = match group.find().await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                let reason = "it is gone, but objects of its arrays are there";
                proof.findings.push(ArrayFinding::new(group.path(), ArrayFault::Metadata, reason));
                return Ok(());
            }
            Err(error) if error.is_of_system() => return Err(error),
            Err(error) => {
                proof.findings.push(ArrayFinding::new(group.path(), ArrayFault::Metadata, error.report()));
                return Ok(());
            }
        };
        let mut look = Look::new(store, layout, &group, &stored, &own, axis, extent);
        look.check_metadata().await?;
        look.check_names().await?;
        match group.folder() {
            folder if folder == layout.downloads() => look.check_downloads().await?,
            folder if folder == layout.releases() => look.check_releases().await?,
            _ => look.check_graph().await?,
        }
        let Look { findings, notes, .. } = look;
        let is_settled = group.find().await.ok().flatten().is_some_and(|now| is_same(&now, &stored));
        if is_settled || (findings.is_empty() && read == MAX_READS) {
            proof.findings.extend(findings);
            proof.notes.extend(notes);
            return Ok(());
        }
    }
    proof.notes.push(format!("{} was being written all the time and could not be judged", group.folder()));
    Ok(())
}

fn is_same(now: &StoredGroup, before: &StoredGroup) -> bool {
    now.text() == before.text()
}
