//! Checks the overlay of an origin: its record, and each delta that the record names against it. Not here: the shards of a
//! delta, which are checked like those of a partition (`partition`).

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::partition::{Checked, open_cursor};
use super::proof::{Fault, Finding, OriginProof, finding};
use crate::commit::{read_manifest, read_manifests};
use crate::error::{Result, unless_damaged};
use crate::lake::{Delta, Manifest, OriginLayout, Overlay};
use crate::pipeline::lease::{Lease, LeaseWatch};
use crate::pipeline::recovery::Recovery;
use crate::store::{Listed, Store, blocking};
use crate::table::TableKind;

/// How many lost names are told.
const NAMES_TOLD: usize = 10;

/// Reads the record of an overlay. A record that cannot be read is a finding.
pub(super) async fn read(store: &Store, layout: &OriginLayout, proof: &mut OriginProof) -> Result<Overlay> {
    let path = layout.overlay();
    if let Some(reason) = super::places::no_file(store, &path).await? {
        proof.findings.push(finding(layout, (path, Fault::Misfit, reason), None));
        return Ok(Overlay::empty());
    }
    match store.read_record::<Overlay>(&path).await {
        Ok(Some(record)) => Ok(record),
        Ok(None) => {
            let deltas = folders(store, layout).await?;
            if !deltas.is_empty() && committed(store, &deltas).await? {
                let reason = "it is gone, but there are deltas: nothing tells which of them count".to_owned();
                proof.findings.push(finding(layout, (path, Fault::Record, reason), None));
            }
            Ok(Overlay::empty())
        }
        Err(error) if error.is_of_system() => Err(error),
        Err(error) => {
            proof.findings.push(finding(layout, (path, Fault::Record, error.report()), None));
            Ok(Overlay::empty())
        }
    }
}

/// Adds what was found in the shards of a delta, and compares its manifest with the record.
pub(super) async fn take(
    store: &Store,
    layout: &OriginLayout,
    delta: &Delta,
    checked: Checked,
    proof: &mut OriginProof,
) -> Result<()> {
    let own = delta.layout(layout);
    proof.shards += checked.shards;
    proof.rows += checked.rows;
    proof.size_bytes += checked.size_bytes;
    let of_origin = |mut found: Finding| {
        // A broken delta is no partition that an ingest rebuilds.
        (found.origin, found.partition) = (Some(layout.name().to_owned()), None);
        found
    };
    proof.findings.extend(checked.findings.into_iter().map(of_origin));
    let path = own.manifest(&Delta::PARTITION);
    if proof.findings.iter().any(|finding| finding.file == path) {
        return Ok(());
    }
    let problem = match store.get(&path).await? {
        None => Some((Fault::Missing, "it is gone, but the record of the overlay names its delta".to_owned())),
        Some(text) if format!("{:x}", Sha256::digest(&text)) != delta.manifest_sha256 => {
            Some((Fault::Manifest, "it is not the manifest that the record of the overlay names".to_owned()))
        }
        Some(text) => serde_json::from_slice(&text).ok().and_then(|manifest: Manifest| problem(&manifest, delta)),
    };
    proof.findings.extend(problem.map(|(fault, reason)| finding(layout, (path, fault, reason), None)));
    Ok(())
}

/// Returns the fault of a manifest that the record names.
fn problem(manifest: &Manifest, delta: &Delta) -> Option<(Fault, String)> {
    let names = manifest.rows(TableKind::Docs) + manifest.removed.len() as u64;
    if names != delta.names {
        return Some((
            Fault::Account,
            format!("it has {names} names, and the record of the overlay says {}", delta.names),
        ));
    }
    let is_sorted = manifest.removed.is_sorted_by(|one, other| one < other);
    (!is_sorted).then(|| (Fault::Order, "the names that it says are gone are not in order".to_owned()))
}

/// Compares the sizes of the shards of each delta with its manifest, by a listing.
pub(super) async fn check_quickly(
    store: &Store,
    layout: &OriginLayout,
    listed: &[Listed],
    proof: &mut OriginProof,
) -> Result<()> {
    let sizes: BTreeMap<&str, u64> = listed.iter().map(|listed| (listed.path.as_str(), listed.size_bytes)).collect();
    let record = read(store, layout, proof).await?;
    let mut findings = Vec::new();
    for delta in &record.deltas {
        let own = delta.layout(layout);
        take(store, layout, delta, Checked::default(), proof).await?;
        let Some(manifest) = unless_damaged(read_manifest(store, &own, &Delta::PARTITION).await)?.flatten() else {
            continue;
        };
        for (table, meta) in manifest.shards.iter().filter_map(|(name, meta)| Some((TableKind::parse(name)?, meta))) {
            let path = own.shard(table, &Delta::PARTITION);
            let problem = match sizes.get(path.as_str()) {
                Some(size_bytes) if *size_bytes == meta.size_bytes => continue,
                Some(size_bytes) => {
                    (Fault::Damaged, format!("it has {size_bytes} bytes, and its manifest says {}", meta.size_bytes))
                }
                None => (Fault::Missing, "it is gone, but its manifest names it".to_owned()),
            };
            findings.push((path, problem.0, problem.1));
        }
    }
    // A writer may have merged or folded deltas since the listing.
    let now = store.read_record::<Overlay>(&layout.overlay()).await;
    if matches!(now, Ok(Some(now)) if now == record) {
        proof.findings.extend(findings.into_iter().map(|found| finding(layout, found, None)));
    } else if !record.deltas.is_empty() {
        proof.findings.retain(|finding| layout.delta_at(&finding.file).is_none());
        proof.notes.push("the overlay was being written and could not be judged".to_owned());
    }
    Ok(())
}

/// Repairs the overlay of an origin: takes each broken delta out of the record and moves it aside, and makes a record again
/// that cannot be read. Returns the changes in words: the base, or an older delta, has the rows of the lost names, and the
/// next ingest asks for them again.
///
/// Fails with [`crate::error::ErrorKind::Lake`] while another process works on the origin.
pub async fn repair_overlay(store: &Store, proof: &OriginProof) -> Result<Vec<String>> {
    let layout = crate::lake::Layout::origin(&proof.origin);
    let is_of_overlay = |finding: &&Finding| finding.fault != Fault::Unreadable && finding.fault != Fault::Elsewhere;
    let files: Vec<&str> = proof.findings.iter().filter(is_of_overlay).map(|finding| finding.file.as_str()).collect();
    let broken: BTreeSet<(u64, u64)> =
        files.iter().filter_map(|file| layout.delta_at(file)?.commits_of_delta()).collect();
    if broken.is_empty() && !files.contains(&layout.overlay().as_str()) {
        return Ok(Vec::new());
    }
    let lease = Lease::of_origin(store, &layout, "verify --repair").await?;
    let repaired = repair(store, &layout, &broken, &lease.watch()).await;
    lease.end_after(repaired).await
}

async fn repair(
    store: &Store,
    layout: &OriginLayout,
    broken: &BTreeSet<(u64, u64)>,
    lock: &LeaseWatch,
) -> Result<Vec<String>> {
    let at = jiff::Timestamp::now().as_second().to_string();
    let mut notes = Vec::new();
    let found = match super::places::no_file(store, &layout.overlay()).await? {
        None => unless_damaged(store.read_record::<Overlay>(&layout.overlay()).await)?.flatten(),
        Some(_) => None,
    };
    let mut record = match found {
        Some(record) => record,
        None => {
            store.promote(&layout.overlay(), &layout.set_aside(&layout.overlay(), &at)).await?;
            let record = restored(store, layout, lock).await?;
            notes.push(format!(
                "{} is made again from the manifests of {} deltas",
                layout.overlay(),
                record.deltas.len()
            ));
            record
        }
    };
    let (lost, kept) = record.deltas.into_iter().partition(|delta: &Delta| broken.contains(&(delta.first, delta.last)));
    record.deltas = kept;
    for delta in &lost {
        notes.push(lost_names(store, layout, delta).await?);
    }
    // A follower that knows no place lists the registry, and asks for what was lost.
    store.delete(&layout.follow()).await?;
    store.put_record(&layout.overlay(), &record).await?;
    for delta in lost {
        for path in store.list(delta.layout(layout).root()).await? {
            store.promote(&path, &layout.set_aside(&path, &at)).await?;
        }
    }
    Ok(notes)
}

/// Says which names a broken delta held, as far as its files show.
async fn lost_names(store: &Store, layout: &OriginLayout, delta: &Delta) -> Result<String> {
    let own = delta.layout(layout);
    let (task_store, task_own) = (store.clone(), own.clone());
    let read = move || {
        let mut names = BTreeSet::new();
        for table in [TableKind::Docs, TableKind::Outcomes, TableKind::Packuments, TableKind::Packages] {
            let mut read = || -> Result<()> {
                let cursor = open_cursor(&task_store, &task_own, &Delta::PARTITION, table, &[])?;
                let Some(mut cursor) = cursor else { return Ok(()) };
                while let Some(name) = cursor.name().map(str::to_owned) {
                    cursor.pass(|_| Ok(()))?;
                    names.insert(name);
                }
                Ok(())
            };
            unless_damaged(read())?;
        }
        Ok(names)
    };
    let mut names = blocking("reading the names of a lost delta", read).await?;
    let manifest = unless_damaged(read_manifest(store, &own, &Delta::PARTITION).await)?.flatten();
    names.extend(manifest.into_iter().flat_map(|manifest| manifest.removed));
    let told: Vec<&str> = names.iter().take(NAMES_TOLD).map(String::as_str).collect();
    let known = match (names.len(), told.len()) {
        (0, _) => "its files do not show which".to_owned(),
        (all, few) if all > few => format!("{} and {} more", told.join(", "), all - few),
        _ => told.join(", "),
    };
    Ok(format!(
        "the changes of {} names are lost with {}, and the lake has their earlier state: {known}; \
         all-docs ingest asks for what it lacks",
        delta.names,
        own.root()
    ))
}

/// Makes a record from the manifests of the deltas that are there. Of a merged delta and its sources the merged one counts.
/// A partition whose base shards were written after a delta has taken it over: every writer of base shards does so first.
async fn restored(store: &Store, layout: &OriginLayout, lock: &LeaseWatch) -> Result<Overlay> {
    let mut folders = folders(store, layout).await?;
    // The largest first.
    folders.sort_by_key(|own| own.commits_of_delta().map_or((0, 0), |(first, last)| (first.wrapping_sub(last), first)));
    let mut record = Overlay::empty();
    for own in folders {
        let Some((first, last)) = own.commits_of_delta() else { continue };
        let overlaps = |delta: &Delta| delta.first <= last && first <= delta.last;
        Recovery::of(store, &own).settle(&Delta::PARTITION, lock).await?;
        let manifest = unless_damaged(read_manifest(store, &own, &Delta::PARTITION).await)?.flatten();
        let Some(manifest) = manifest.filter(|_| !record.deltas.iter().any(overlaps)) else { continue };
        let text = store.get(&own.manifest(&Delta::PARTITION)).await?.unwrap_or_default();
        let written_at = manifest.written_at.parse::<jiff::Timestamp>().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        record.newest = record.newest.max(last);
        record.deltas.push(Delta {
            first,
            last,
            manifest_sha256: format!("{:x}", Sha256::digest(&text)),
            names: manifest.rows(TableKind::Docs) + manifest.removed.len() as u64,
            size_bytes: manifest.shards.values().map(|shard| shard.size_bytes).sum(),
            oldest_at_us: written_at.as_microsecond(),
        });
    }
    record.deltas.sort_by_key(|delta| delta.first);
    let time_us = |text: &str| text.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_microsecond);
    for manifest in read_manifests(store, layout).await? {
        let written_us = time_us(&manifest.written_at);
        let taken = record.deltas.iter().take_while(|delta| delta.oldest_at_us < written_us).last();
        let taken = taken.map(|delta| (manifest.partition.file_stem(), delta.last));
        record.folded.extend(taken);
    }
    Ok(record)
}

/// Returns the paths of the deltas that have a folder.
async fn folders(store: &Store, layout: &OriginLayout) -> Result<Vec<OriginLayout>> {
    let mut folders: BTreeMap<String, OriginLayout> = BTreeMap::new();
    for path in store.list(&layout.overlay_folder()).await? {
        folders.extend(layout.delta_at(&path).map(|own| (own.root().to_owned(), own)));
    }
    Ok(folders.into_values().collect())
}

/// Returns whether one of these deltas has a manifest.
async fn committed(store: &Store, deltas: &[OriginLayout]) -> Result<bool> {
    for own in deltas {
        if store.entry(&own.manifest(&Delta::PARTITION)).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
