//! Checks one origin: its places, its partition set, its files, and each of its partitions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};

use super::partition_set::Told;
use super::proof::{Fault, Finding, OriginProof, finding};
use super::{events, files, overlay, partition, places, records};
use crate::error::{Error, Result};
use crate::lake::{Delta, LockRecord, Manifest, OriginLayout, Overlay, Partition, PartitionSet, Record};
use crate::pipeline::lease::{lease_paths, live_holder};
use crate::pipeline::open_files::OpenFiles;
use crate::pipeline::progress::Progress;
use crate::pipeline::settled::{Extent, open_settled};
use crate::pipeline::status::read_partition_set;
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// Files open at once for each partition that is checked: its shards, and a few records.
const FILES_PER_PARTITION: usize = TableKind::ALL.len() + 4;
/// Partitions in progress for each core, if their shards are downloaded first.
const FAR_PARTITIONS_PER_CORE: usize = 3;

/// How often the overlay is read again because its writer has changed it.
const MAX_READS_OF_OVERLAY: usize = 20;

/// The processes that may write an origin during the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// The holder of the lock, whichever process it is.
    AsItLies,
    /// Only this process: it holds the lease.
    Ours,
}

/// Checks one origin.
pub(super) async fn verify_origin(
    store: &Store,
    layout: &OriginLayout,
    lock: Lock,
    progress: &Arc<Progress>,
) -> Result<OriginProof> {
    let mut proof = OriginProof { origin: layout.name().to_owned(), ..OriginProof::default() };
    if let Some(reason) = places::no_folder(store, layout.root()).await? {
        proof.findings.push(finding(layout, (layout.root().to_owned(), Fault::Misfit, reason), None));
        return Ok(proof);
    }
    if store.entry(layout.root()).await?.is_none() {
        proof.notes.push("it has no folder: nothing was ingested yet, or all of it was deleted".to_owned());
        return Ok(proof);
    }
    let is_at_work = lock == Lock::AsItLies && check_locks(store, layout, &mut proof).await?;
    if !places::check_origin(store, layout, &mut proof).await? {
        return Ok(proof);
    }
    check_moves(store, layout, &mut proof).await?;
    let Some(set) = check_partition_set(store, layout, &mut proof).await? else { return Ok(proof) };
    proof.partitions_total = set.count() as u64;
    Progress::add(&progress.partitions_total, set.count() as u64);
    files::check(store, layout, &set, is_at_work, lock == Lock::Ours, &mut proof).await?;
    events::check(store, layout, &mut proof).await?;
    records::check(store, layout, |_| true, &mut proof).await?;
    #[cfg(feature = "array")]
    {
        let listed = store.list_sized(layout.root()).await?;
        super::arrays::check(store, layout, &listed, crate::array::ArrayExtent::Whole, &mut proof).await?;
    }
    let amiss = places::check_partitions(store, layout, &set, &mut proof).await?;
    let parts = set.iter().filter(|partition| !amiss.contains(&partition.file_stem())).collect();
    check_partitions(store, layout, parts, lock == Lock::Ours, progress, &mut proof).await?;
    check_overlay(store, layout, lock == Lock::Ours, progress, &mut proof).await?;
    drop_findings_below_misfits(&mut proof);
    proof.findings.sort_by(|one, other| (&one.file, one.fault).cmp(&(&other.file, other.fault)));
    Ok(proof)
}

/// Returns whether another process works on the origin now. An unreadable lock or lease is held by no process: its
/// holder finds that out when it renews it.
async fn check_locks(store: &Store, layout: &OriginLayout, proof: &mut OriginProof) -> Result<bool> {
    let mut paths = vec![layout.lock()];
    if places::no_folder(store, &layout.leases()).await?.is_none() {
        paths.extend(lease_paths(store, layout).await?);
    }
    let mut at_work = BTreeSet::new();
    for path in paths {
        let problem = match places::no_file(store, &path).await? {
            Some(reason) => reason,
            None => match live_holder(store, &path).await {
                Ok(None) => continue,
                Ok(Some(LockRecord { purpose, process_id, host, .. })) => {
                    at_work.insert(format!("{purpose} is at work (process {process_id} on {host})"));
                    continue;
                }
                Err(error) if error.is_of_system() => return Err(error),
                Err(error) => error.report(),
            },
        };
        proof.findings.push(finding(layout, (path, Fault::Record, problem), None));
    }
    let is_at_work = !at_work.is_empty();
    proof.notes.extend(at_work.into_iter().map(|who| format!("{who}; files that it changed were read again")));
    Ok(is_at_work)
}

/// Reports the folders between which no commit can move a shard. Nothing is wrong with their rows.
async fn check_moves(store: &Store, layout: &OriginLayout, proof: &mut OriginProof) -> Result<()> {
    let tables = TableKind::ALL.map(|table| layout.table(table));
    let mut elsewhere = store.folders_elsewhere(&layout.staging(), &tables).await?;
    if !elsewhere.is_empty() {
        // Staging may be the one that is not with the rest.
        let all: Vec<String> = tables.into_iter().chain([layout.staging()]).collect();
        elsewhere = store.folders_elsewhere(layout.root(), &all).await?;
    }
    for folder in elsewhere {
        let reason = "it is on another file system or mount than the rest of the lake, so no ingest can end a commit \
                      there: put it back, and move the whole lake instead";
        proof.findings.push(finding(layout, (folder, Fault::Elsewhere, reason.to_owned()), None));
    }
    Ok(())
}

/// Reads the partition set, if there is a credible one.
async fn check_partition_set(
    store: &Store,
    layout: &OriginLayout,
    proof: &mut OriginProof,
) -> Result<Option<PartitionSet>> {
    let path = layout.partition_set();
    if proof.findings.iter().any(|finding| finding.file == path) {
        return Ok(None);
    }
    let told = Told::read(store, layout).await?;
    let mut reason = match read_partition_set(store, layout).await {
        Ok(Some(set)) if told.contradicts(&set) => {
            "its boundaries are not those of the manifests and shards".to_owned()
        }
        Ok(Some(set)) => return Ok(Some(set)),
        Ok(None) if told.is_empty() => {
            proof.notes.push("no scan has ended yet, so there is nothing to check".to_owned());
            return Ok(None);
        }
        Ok(None) => "it is gone, but the lake holds partitions".to_owned(),
        Err(error) if error.is_of_system() => return Err(error),
        Err(error) => error.report(),
    };
    if let Err(why) = told.boundaries() {
        reason = format!("{reason}; {why}");
    }
    proof.findings.push(finding(layout, (path, Fault::Manifest, reason), None));
    Ok(None)
}

/// Drops the findings in a folder that takes the place of a file: the finding about the folder is enough.
fn drop_findings_below_misfits(proof: &mut OriginProof) {
    let is_misfit = |finding: &&Finding| finding.fault == Fault::Misfit;
    let misfits: BTreeSet<String> =
        proof.findings.iter().filter(is_misfit).map(|finding| finding.file.clone()).collect();
    proof.findings.retain(|finding| {
        let mut above = finding.file.match_indices('/').map(|(at, _)| &finding.file[..at]);
        finding.fault == Fault::Misfit || !(misfits.contains(&finding.file) || above.any(|path| misfits.contains(path)))
    });
}

async fn check_partitions(
    store: &Store,
    layout: &OriginLayout,
    partitions: Vec<Partition>,
    is_ours: bool,
    progress: &Arc<Progress>,
    proof: &mut OriginProof,
) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A core checks one partition while the next ones are downloaded.
    let wanted = if store.is_far() { FAR_PARTITIONS_PER_CORE * cores } else { cores };
    let at_once = OpenFiles::of_process().at_once(FILES_PER_PARTITION, wanted);
    let mut checked = stream::iter(partitions)
        .map(|partition| check_partition(store, layout, partition, is_ours, progress))
        .buffered(at_once);
    let (mut unsettled, mut old, mut uncounted) = (0, 0, 0);
    while let Some(part) = checked.try_next().await? {
        proof.partitions_committed += u64::from(part.is_committed);
        proof.shards += part.shards;
        proof.rows += part.rows;
        proof.size_bytes += part.size_bytes;
        proof.names += part.counts.names;
        proof.names_with_document += part.counts.with_document;
        proof.names_without_document += part.counts.without_document;
        proof.names_not_asked += part.counts.not_asked;
        uncounted += u64::from(part.is_uncounted);
        proof.findings.extend(part.findings);
        unsettled += u64::from(part.is_unsettled);
        old += u64::from(part.is_old);
        progress.partitions_done.fetch_add(1, Ordering::Relaxed);
    }
    if old > 0 {
        proof.notes.push(format!(
            "an earlier version of all-docs wrote {old} partitions; all-docs rebuild rebuilds them without a request"
        ));
    }
    if uncounted > 0 {
        proof.notes.push(format!(
            "the names of {uncounted} partitions are not counted, because a shard that tells of them was not read"
        ));
    }
    if unsettled > 0 {
        proof.notes.push(format!("{unsettled} partitions were being committed and could not be judged"));
    }
    Ok(())
}

/// Checks each delta of the overlay like a partition. A writer may merge and fold deltas meanwhile: then those that took
/// their place are checked.
async fn check_overlay(
    store: &Store,
    layout: &OriginLayout,
    is_ours: bool,
    progress: &Arc<Progress>,
    proof: &mut OriginProof,
) -> Result<()> {
    let (findings_before, mut checked) = (proof.findings.len(), BTreeSet::new());
    let mut record = overlay::read(store, layout, proof).await?;
    for _ in 0..MAX_READS_OF_OVERLAY {
        for delta in record.deltas.iter().filter(|delta| !checked.contains(&(delta.first, delta.last))) {
            let own = delta.layout(layout);
            let found = check_partition(store, &own, Delta::PARTITION, is_ours, progress).await?;
            overlay::take(store, layout, delta, found, proof).await?;
        }
        // A record that cannot be read any more has been told.
        let Ok(Some(now)) = store.read_record::<Overlay>(&layout.overlay()).await else { break };
        if now.deltas == record.deltas {
            break;
        }
        // A finding in a delta that is gone by now is no fault.
        checked = record.deltas.iter().map(|delta| (delta.first, delta.last)).collect();
        let is_gone = |found: &Finding| {
            let commits = layout.delta_at(&found.file).and_then(|own| own.commits_of_delta());
            commits.is_some_and(|commits| !now.deltas.iter().any(|delta| (delta.first, delta.last) == commits))
        };
        let of_overlay = proof.findings.split_off(findings_before);
        proof.findings.extend(of_overlay.into_iter().filter(|found| !is_gone(found)));
        record = now;
    }
    let names: u64 = record.deltas.iter().map(|delta| delta.names).sum();
    if names > 0 {
        let deltas = record.deltas.len();
        proof.notes.push(format!("{deltas} deltas of the overlay hold newer rows of {names} names, not counted here"));
    }
    Ok(())
}

/// Checks a partition as it was between two commits.
async fn check_partition(
    store: &Store,
    layout: &OriginLayout,
    partition: Partition,
    is_ours: bool,
    progress: &Arc<Progress>,
) -> Result<partition::Checked> {
    let path = layout.manifest(&partition);
    let of_manifest = |fault, error: &Error| {
        partition::Checked::of(finding(layout, (path.clone(), fault, error.report()), Some(&partition)))
    };
    let open = match open_settled(store, layout, &partition, Extent::Whole, is_ours).await {
        Err(error) if error.is_of_system() && !error.is_out_of_files() => {
            return Ok(of_manifest(Fault::Unreadable, &error));
        }
        open => open?,
    };
    let Some(text) = open.manifest else { return Ok(partition::Checked::default()) };
    let manifest = match Manifest::from_json(&path, &text) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(of_manifest(Fault::Manifest, &error)),
    };
    let work = partition::Work {
        layout: layout.clone(),
        partition: partition.clone(),
        manifest,
        shards: open.shards,
        progress: Arc::clone(progress),
    };
    let mut checked = blocking("reading a partition", move || partition::check(work)).await?;
    if !open.is_settled {
        checked.findings.clear();
        checked.is_unsettled = true;
    }
    Ok(checked)
}
