//! The result of `verify`: how much was read, which faults were found, and notes.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::error::Error;
use crate::lake::{OriginLayout, Partition};

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The lake metadata, the count of requests or the lock cannot be read, or is not true.
    Record,
    /// The partition set or a manifest cannot be read, or belongs elsewhere.
    Manifest,
    /// A shard that a manifest names is missing.
    Missing,
    /// A shard is not the one that its manifest names, or its bytes cannot be decoded.
    Damaged,
    /// The operating system refuses to read a file, so nothing is known about its bytes. No repair changes it.
    Unreadable,
    /// A shard's rows are not in the order of their names.
    Order,
    /// A shard has rows outside its partition.
    Range,
    /// Names, outcomes and documents do not add up.
    Account,
    /// A row refers to a row in another table that is missing.
    Reference,
    /// A file lies where it does not belong, and would be read with the lake's own files.
    ForeignFile,
    /// A folder lies where a file belongs, or a file where a folder does, or a broken link.
    Misfit,
    /// A commit was begun and not ended.
    Interrupted,
    /// A folder is on another file system or mount than staging, so no commit can move files into it.
    Elsewhere,
}

impl Fault {
    /// Returns the fault of a file that could not be read to its end.
    pub(super) fn of(error: &Error) -> Fault {
        if error.is_of_system() { Fault::Unreadable } else { Fault::Damaged }
    }
}

/// One fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The origin; `None` for a file of the whole lake.
    pub origin: Option<String>,
    /// The file, from the lake's root.
    pub file: String,
    /// The kind of the fault.
    pub fault: Fault,
    /// The fault in words, with an example.
    pub reason: String,
    /// The partition that must be rebuilt, if that helps.
    #[serde(skip)]
    pub partition: Option<Partition>,
}

/// The counts of the data read from a lake, and its faults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LakeProof {
    /// The faults of the files in the lake's root.
    pub findings: Vec<Finding>,
    /// Notes about them that are not faults.
    pub notes: Vec<String>,
    /// The origins, in the order of their names.
    pub origins: Vec<OriginProof>,
}

impl LakeProof {
    /// Returns whether there are no faults.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.origins.iter().all(|origin| origin.findings.is_empty())
    }
}

/// The counts of the data read from one origin, and its faults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OriginProof {
    /// The origin.
    pub origin: String,
    /// How many partitions of the set are committed.
    pub partitions_committed: u64,
    /// Partitions in the set; 0 before the first scan has ended.
    pub partitions_total: u64,
    /// Shards read.
    pub shards: u64,
    /// Rows over all shards.
    pub rows: u64,
    /// Bytes over all shards.
    pub size_bytes: u64,
    /// Objects with values of the arrays, and the package axis.
    pub array_objects: u64,
    /// Their bytes.
    pub array_bytes: u64,
    /// Events.
    pub events: u64,
    /// Names in `docs`.
    pub names: u64,
    /// Names whose document the lake holds.
    pub names_with_document: u64,
    /// Names without a document, and with an outcome that says why.
    pub names_without_document: u64,
    /// Names that were never requested.
    pub names_not_asked: u64,
    /// The faults.
    pub findings: Vec<Finding>,
    /// Notes that are not faults.
    pub notes: Vec<String>,
}

impl OriginProof {
    /// Returns the partitions that must be rebuilt, each once, in the order of names.
    pub fn broken_partitions(&self) -> Vec<Partition> {
        let broken = self.findings.iter().filter_map(|finding| finding.partition.as_ref());
        let keyed: BTreeSet<(Option<&str>, Option<&str>)> =
            broken.map(|partition| (partition.start.as_deref(), partition.end.as_deref())).collect();
        let partition = |(start, end): (Option<&str>, Option<&str>)| Partition {
            start: start.map(str::to_owned),
            end: end.map(str::to_owned),
        };
        keyed.into_iter().map(partition).collect()
    }
}

/// Makes a finding: file, fault and reason, and the partition to rebuild.
pub(super) fn finding(layout: &OriginLayout, what: (String, Fault, String), partition: Option<&Partition>) -> Finding {
    let (file, fault, reason) = what;
    let partition = partition.filter(|_| fault != Fault::Unreadable);
    Finding { origin: Some(layout.name().to_owned()), file, fault, reason, partition: partition.cloned() }
}

/// Makes a finding about a file of the whole lake.
pub(super) fn lake_finding(file: &str, fault: Fault, reason: String) -> Finding {
    Finding { origin: None, file: file.to_owned(), fault, reason, partition: None }
}
