//! Verify: reads a lake and proves it, or says what is wrong with which file.
//!
//! Every shard is compared with its manifest (rows, bytes, digest), its rows with their order and range, the tables with
//! each other, and the folders with what belongs there. It streams, changes nothing and needs no lock: what a running
//! process replaces meanwhile is read again. Not here: mending what was found (`repair`).

mod account;
mod files;
mod partition;
mod partition_set;
mod repair;
mod salvage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::lease::live_holder;
use super::open::read_lake;
use super::progress::Progress;
use super::status::read_partition_set;
use crate::commit::{read_manifest, read_manifests};
use crate::error::{Error, Result};
use crate::lake::{Layout, LockRecord, OriginLayout, Partition, PartitionSet, TableKind};
use crate::store::{Store, blocking};

pub use repair::{Mending, prepare_repair};

/// How often a partition is read again that another process changes meanwhile.
const MAX_READS: usize = 5;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The partition set or a manifest cannot be read, or is another one's.
    Manifest,
    /// A shard that a manifest names is not there.
    Missing,
    /// A shard is not the one that its manifest names, or cannot be read.
    Damaged,
    /// A shard's rows are not in the order of their names.
    Order,
    /// A shard has rows outside its partition.
    Range,
    /// Names, outcomes and documents do not add up.
    Account,
    /// A row belongs to one in another table that is not there.
    Reference,
    /// A file lies where it does not belong.
    Stranger,
    /// A commit was begun and not ended.
    Interrupted,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The origin.
    pub origin: String,
    /// The file, from the lake's root.
    pub file: String,
    /// What is wrong with it.
    pub fault: Fault,
    /// The same in words, with an example.
    pub reason: String,
    /// The partition that has to be made anew, where that helps.
    #[serde(skip)]
    pub partition: Option<Partition>,
}

/// What was read of one origin, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OriginProof {
    /// The origin.
    pub origin: String,
    /// Partitions that are committed, of all in the set.
    pub partitions_committed: u64,
    /// Partitions in the set; 0 before the first scan has ended.
    pub partitions_total: u64,
    /// Shards read.
    pub shards: u64,
    /// Rows over all shards.
    pub rows: u64,
    /// Bytes over all shards.
    pub size_bytes: u64,
    /// Names in `docs`.
    pub names: u64,
    /// Names whose document the lake holds.
    pub names_with_document: u64,
    /// Names without a document, and with an outcome that says why.
    pub names_without_document: u64,
    /// Names that were never asked for.
    pub names_not_asked: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is not wrong, and may be worth knowing.
    pub notes: Vec<String>,
}

impl OriginProof {
    /// The partitions that have to be made anew, each once, in the order of names.
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

/// Proves every origin of a lake, or the one that is named. `stop` ends it early, of kind Interrupted.
///
/// Fails with [`crate::error::ErrorKind::Lake`] where there is no lake or no such origin, and when the store cannot be read at all.
/// What is wrong with a file is no failure but a finding.
pub async fn verify(
    store: &Store,
    origin: Option<&str>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Vec<OriginProof>> {
    let Some(info) = read_lake(store).await? else {
        return Err(Error::lake(format!("there is no lake at {}", store.location())));
    };
    if let Some(unknown) = origin.filter(|name| !info.origins.contains_key(*name)) {
        let known: Vec<&str> = info.origins.keys().map(String::as_str).collect();
        return Err(Error::lake(format!("the lake {} holds no origin {unknown}", store.location()))
            .hint(format!("it holds {}", known.join(", "))));
    }
    let work = async {
        let mut proofs = Vec::new();
        for name in info.origins.keys().filter(|name| origin.is_none_or(|wanted| wanted == name.as_str())) {
            let layout = Layout::origin(name);
            let holder = live_holder(store, &layout).await?;
            proofs.push(verify_origin(store, &layout, &progress, holder.as_ref()).await?);
        }
        Ok(proofs)
    };
    stop.run_until_cancelled(work).await.unwrap_or_else(|| Err(Error::interrupted()))
}

/// Proves one origin. `holder` is another process that works there now.
async fn verify_origin(
    store: &Store,
    layout: &OriginLayout,
    progress: &Arc<Progress>,
    holder: Option<&LockRecord>,
) -> Result<OriginProof> {
    let mut proof = OriginProof { origin: layout.name().to_owned(), ..OriginProof::default() };
    if let Some(holder) = holder {
        let (purpose, process_id, host) = (&holder.purpose, holder.process_id, &holder.host);
        proof
            .notes
            .push(format!("{purpose} is at work (process {process_id} on {host}); what it changed was read again"));
    }
    let set = match read_partition_set(store, layout).await {
        Ok(Some(set)) => set,
        Ok(None) if !read_manifests(store, layout).await?.is_empty() => {
            let reason = "it is gone, but the lake holds partitions".to_owned();
            proof.findings.push(finding(layout, (layout.partition_set(), Fault::Manifest, reason), None));
            return Ok(proof);
        }
        Ok(None) => {
            proof.notes.push("no scan has ended yet, so there is nothing to prove".to_owned());
            return Ok(proof);
        }
        Err(error) => {
            let what = (layout.partition_set(), Fault::Manifest, error.report());
            proof.findings.push(finding(layout, what, None));
            return Ok(proof);
        }
    };
    if !set.boundaries.is_sorted_by(|one, next| one < next) {
        let reason = "its boundaries are not in order".to_owned();
        proof.findings.push(finding(layout, (layout.partition_set(), Fault::Manifest, reason), None));
        return Ok(proof);
    }
    proof.partitions_total = set.count() as u64;
    Progress::add(&progress.partitions_total, set.count() as u64);
    files::check(store, layout, &set, holder.is_some(), &mut proof).await?;
    check_partitions(store, layout, &set, holder.is_some(), progress, &mut proof).await?;
    proof.findings.sort_by(|one, other| (&one.file, one.fault).cmp(&(&other.file, other.fault)));
    Ok(proof)
}

async fn check_partitions(
    store: &Store,
    layout: &OriginLayout,
    set: &PartitionSet,
    is_at_work: bool,
    progress: &Arc<Progress>,
    proof: &mut OriginProof,
) -> Result<()> {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let mut checked = stream::iter(set.iter())
        .map(|partition| check_partition(store, layout, partition, is_at_work, progress))
        .buffered(at_once);
    let mut unsettled = 0;
    while let Some(part) = checked.try_next().await? {
        proof.partitions_committed += u64::from(part.is_committed);
        proof.shards += part.shards;
        proof.rows += part.rows;
        proof.size_bytes += part.size_bytes;
        proof.names += part.counts.names;
        proof.names_with_document += part.counts.with_document;
        proof.names_without_document += part.counts.without_document;
        proof.names_not_asked += part.counts.not_asked;
        proof.findings.extend(part.findings);
        unsettled += u64::from(part.is_unsettled);
        progress.partitions_done.fetch_add(1, Ordering::Relaxed);
    }
    if unsettled > 0 {
        proof.notes.push(format!("{unsettled} partitions were being committed and could not be judged"));
    }
    Ok(())
}

/// Checks a partition until it stood still meanwhile, or nothing is wrong with it.
async fn check_partition(
    store: &Store,
    layout: &OriginLayout,
    partition: Partition,
    is_at_work: bool,
    progress: &Arc<Progress>,
) -> Result<partition::Checked> {
    let mut reads = 0;
    loop {
        reads += 1;
        let before = store.get(&layout.manifest(&partition)).await?;
        let manifest = match read_manifest(store, layout, &partition).await {
            Ok(manifest) => manifest,
            Err(error) => {
                let what = (layout.manifest(&partition), Fault::Manifest, error.report());
                return Ok(partition::Checked::of(finding(layout, what, Some(&partition))));
            }
        };
        let Some(manifest) = manifest else { return Ok(partition::Checked::default()) };
        let work = partition::Work {
            store: store.clone(),
            layout: layout.clone(),
            partition: partition.clone(),
            manifest,
            progress: Arc::clone(progress),
        };
        let mut checked = blocking("reading a partition", move || partition::check(&work)).await?;
        let is_being_changed = is_at_work
            && (store.get(&layout.manifest(&partition)).await? != before
                || store.get(&layout.commit_intent(&partition)).await?.is_some());
        if checked.findings.is_empty() || !is_being_changed {
            return Ok(checked);
        }
        if reads == MAX_READS {
            checked.findings.clear();
            checked.is_unsettled = true;
            return Ok(checked);
        }
    }
}

/// A finding: file, fault and reason, and the partition to make anew.
fn finding(layout: &OriginLayout, what: (String, Fault, String), partition: Option<&Partition>) -> Finding {
    let (file, fault, reason) = what;
    Finding { origin: layout.name().to_owned(), file, fault, reason, partition: partition.cloned() }
}

/// The table whose shard a path is, and the file's stem; `None` for another path.
fn shard_path<'a>(layout: &OriginLayout, path: &'a str) -> Option<(TableKind, &'a str)> {
    let (folder, file) = path.strip_prefix(layout.root())?.strip_prefix('/')?.split_once('/')?;
    Some((TableKind::parse(folder)?, file))
}
