//! The quick check: compares the listings of a lake with its manifests. A listing tells of a thousand objects in one
//! request, so it takes a far lake seconds. It reads no shard, so it finds files that are lost, foreign or of another
//! size, and not other bytes of the same size. Not here: the full check (`origin`, `partition`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::lake_metadata::{LakeMetadata, list_root};
use super::proof::{Fault, LakeProof, OriginProof, finding};
use super::{chosen, events, overlay, records, requests};
use crate::error::{Error, Result};
use crate::lake::{FileRole, Layout, Manifest, OriginLayout, Partition, PartitionSet, Record};
use crate::pipeline::progress::Progress;
use crate::pipeline::settled::{Extent, is_held, open_settled};
use crate::pipeline::status::read_partition_set;
use crate::store::{Listed, Store};
use crate::table::TableKind;

/// Partitions that do not agree with their manifests, and are looked at again at once.
const LOOKS_AT_ONCE: usize = 4;

/// A fault: the path, its kind, and the reason.
type Told = (String, Fault, String);

/// Checks a lake by its listings and manifests. See [`super::verify`] for the arguments and errors.
pub async fn verify_quickly(
    store: &Store,
    origin: Option<&str>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<LakeProof> {
    let work = async {
        let listed = store.list_sized("").await?;
        let paths = match store.is_far() {
            true => listed.iter().map(|listed| listed.path.clone()).collect(),
            false => list_root(store).await?,
        };
        let page = LakeMetadata::read_among(store, paths).await?;
        let mut proof = LakeProof { findings: page.findings(), notes: page.notes.clone(), origins: Vec::new() };
        proof.notes.push("no shard was read: without --quick every byte is checked".to_owned());
        proof.findings.extend(requests::check(store).await?);
        for name in chosen(store, &page, origin)? {
            proof.origins.push(check_origin(store, &Layout::origin(name), &listed, &progress).await?);
        }
        Ok(proof)
    };
    stop.run_until_cancelled(work).await.unwrap_or_else(|| Err(Error::interrupted()))
}

async fn check_origin(
    store: &Store,
    layout: &OriginLayout,
    listed: &[Listed],
    progress: &Progress,
) -> Result<OriginProof> {
    let mut proof = OriginProof { origin: layout.name().to_owned(), ..OriginProof::default() };
    let set = match read_partition_set(store, layout).await {
        Ok(Some(set)) => set,
        Ok(None) => {
            proof.notes.push("no scan has ended yet, so there is nothing to check".to_owned());
            return Ok(proof);
        }
        Err(error) if error.is_of_system() => return Err(error),
        Err(error) => {
            let told = (layout.partition_set(), Fault::Manifest, error.report());
            proof.findings.push(finding(layout, told, None));
            return Ok(proof);
        }
    };
    proof.partitions_total = set.count() as u64;
    Progress::add(&progress.partitions_total, set.count() as u64);
    let files = Files::of(layout, listed, &set);
    for (path, reason) in &files.foreign {
        proof.findings.push(finding(layout, (path.clone(), Fault::ForeignFile, reason.clone()), None));
    }
    for (path, partition) in &files.intents {
        if store.get(path).await?.is_some() && !is_held(store, layout, partition).await {
            let reason = "a commit was begun and not ended: some tables may be newer than others".to_owned();
            proof.findings.push(finding(layout, (path.clone(), Fault::Interrupted, reason), Some(partition)));
        }
    }
    let texts: BTreeMap<_, _> = store.get_all_listed(files.manifests.clone()).await?.into_iter().collect();
    let mut unclear = Vec::new();
    for partition in set.iter() {
        let path = layout.manifest(&partition);
        let manifest = texts.get(&path).and_then(|text| Manifest::from_json(&path, text).ok());
        let agrees = files.agree(layout, &partition, manifest.as_ref());
        match manifest {
            Some(manifest) if agrees => count(&mut proof, &manifest),
            None if agrees && !texts.contains_key(&path) => {}
            _ => unclear.push(partition),
        }
        Progress::add(&progress.partitions_done, 1);
    }
    // A commit may have come between the listing and the manifest.
    let looks = stream::iter(unclear).map(|partition| look_again(store, layout, partition));
    let mut looks = looks.buffered(LOOKS_AT_ONCE);
    let mut unsettled = 0;
    while let Some(look) = looks.try_next().await? {
        if let Some(manifest) = &look.manifest {
            count(&mut proof, manifest);
        }
        unsettled += u64::from(!look.is_settled);
        let told = look.told.into_iter().filter(|_| look.is_settled);
        proof.findings.extend(told.map(|told| finding(layout, told, Some(&look.partition))));
    }
    if unsettled > 0 {
        proof.notes.push(format!("{unsettled} partitions were being committed and could not be judged"));
    }
    overlay::check_quickly(store, layout, listed, &mut proof).await?;
    let is_there = |path: &str| listed.iter().any(|listed| listed.path == path);
    records::check(store, layout, is_there, &mut proof).await?;
    events::check_quickly(store, layout, listed, &mut proof).await?;
    #[cfg(feature = "array")]
    super::arrays::check(store, layout, listed, crate::array::ArrayExtent::Names, &mut proof).await?;
    proof.findings.sort_by(|one, other| (&one.file, one.fault).cmp(&(&other.file, other.fault)));
    Ok(proof)
}

/// Adds the contents of a partition, as its manifest has them.
fn count(proof: &mut OriginProof, manifest: &Manifest) {
    let names = manifest.rows(TableKind::Docs);
    let with_document = manifest.rows(TableKind::Packuments);
    let without_document = manifest.rows(TableKind::Outcomes).saturating_sub(with_document);
    proof.partitions_committed += 1;
    proof.shards += manifest.shards.len() as u64;
    proof.rows += manifest.shards.values().map(|shard| shard.rows).sum::<u64>();
    proof.size_bytes += manifest.shards.values().map(|shard| shard.size_bytes).sum::<u64>();
    proof.names += names;
    proof.names_with_document += with_document;
    proof.names_without_document += without_document;
    proof.names_not_asked += names.saturating_sub(with_document + without_document);
}

/// The files of an origin, as its listing has them.
#[derive(Default)]
struct Files {
    /// The size of each shard of the set, by path.
    shards: BTreeMap<String, u64>,
    manifests: Vec<Listed>,
    intents: Vec<(String, Partition)>,
    /// Files that readers take for the lake's own, each with the reason.
    foreign: Vec<(String, String)>,
}

impl Files {
    fn of(layout: &OriginLayout, listed: &[Listed], set: &PartitionSet) -> Files {
        let partitions: BTreeMap<String, Partition> = set.iter().map(|part| (part.file_stem(), part)).collect();
        let mut files = Files::default();
        let belongs = |file: &str, suffix| file.strip_suffix(suffix).is_some_and(|stem| partitions.contains_key(stem));
        let below = format!("{}/", layout.root());
        for entry in listed.iter().filter(|entry| entry.path.starts_with(&below) && !Store::is_put_begun(&entry.path)) {
            let mut foreign =
                |why| files.foreign.push((entry.path.clone(), format!("it does not belong here: it is {why}")));
            match layout.role(&entry.path) {
                FileRole::Table { file } if belongs(file, ".parquet") => {
                    files.shards.insert(entry.path.clone(), entry.size_bytes);
                }
                FileRole::Table { file } if file.to_ascii_lowercase().contains(".parquet") => {
                    foreign("no shard of the partition set, and readers of the table read it");
                }
                FileRole::Events { file } if file.to_ascii_lowercase().contains(".parquet") => {
                    foreign("no file of events, and readers of the folder read it");
                }
                FileRole::Manifest { file } if belongs(file, ".json") => files.manifests.push(entry.clone()),
                FileRole::Manifest { file } if file.ends_with(".json") => foreign("no manifest of the partition set"),
                FileRole::Staged { stem, .. } if layout.is_commit_intent(&entry.path) => {
                    files.intents.extend(partitions.get(stem).map(|part| (entry.path.clone(), part.clone())));
                }
                _ => {}
            }
        }
        files
    }

    /// Returns whether the shards of a partition are those that its manifest names, as far as sizes tell.
    fn agree(&self, layout: &OriginLayout, partition: &Partition, manifest: Option<&Manifest>) -> bool {
        let named = |table: TableKind| manifest.and_then(|manifest| manifest.shards.get(table.as_str()));
        let mut tables = TableKind::ALL.into_iter();
        let are_of_partition = manifest.is_none_or(|manifest| {
            manifest.partition == *partition && manifest.shards.keys().all(|name| TableKind::parse(name).is_some())
        });
        are_of_partition
            && tables.all(|table| {
                self.shards.get(&layout.shard(table, partition)) == named(table).map(|meta| &meta.size_bytes)
            })
    }
}

/// A partition between two commits.
struct Look {
    partition: Partition,
    manifest: Option<Manifest>,
    told: Vec<Told>,
    is_settled: bool,
}

async fn look_again(store: &Store, layout: &OriginLayout, partition: Partition) -> Result<Look> {
    let open = open_settled(store, layout, &partition, Extent::Part, false).await?;
    let path = layout.manifest(&partition);
    let mut told = Vec::new();
    let manifest = match open.manifest.as_ref().map(|text| Manifest::from_json(&path, text)).transpose() {
        Ok(manifest) => manifest,
        Err(error) => {
            told.push((path, Fault::Manifest, error.report()));
            return Ok(Look { partition, manifest: None, told, is_settled: open.is_settled });
        }
    };
    let named: BTreeSet<&str> =
        manifest.iter().flat_map(|manifest| manifest.shards.keys()).map(String::as_str).collect();
    for table in TableKind::ALL {
        let meta = manifest.as_ref().and_then(|manifest| manifest.shards.get(table.as_str()));
        let problem = match (meta, open.shards.get(&table)) {
            (None, None) => continue,
            (Some(_), None) => (Fault::Missing, "it is gone, but its manifest names it".to_owned()),
            (_, Some(Err(error))) => (Fault::of(error), error.report()),
            (None, Some(Ok(_))) if manifest.is_none() => {
                (Fault::Manifest, "its partition has no manifest, so its expected contents are unknown".to_owned())
            }
            (None, Some(Ok(_))) => (Fault::Manifest, "the manifest of its partition does not name it".to_owned()),
            (Some(meta), Some(Ok(file))) if file.size_bytes() != meta.size_bytes => {
                let (found, said) = (file.size_bytes(), meta.size_bytes);
                (Fault::Damaged, format!("it has {found} bytes, and its manifest says {said}"))
            }
            (Some(_), Some(Ok(_))) => continue,
        };
        told.push((layout.shard(table, &partition), problem.0, problem.1));
    }
    if let Some(unknown) = named.iter().find(|name| TableKind::parse(name).is_none()) {
        told.push((path.clone(), Fault::Manifest, format!("it names a table {unknown} that is unknown")));
    }
    if let Some(other) = manifest.as_ref().filter(|manifest| manifest.partition != partition) {
        let reason = format!("it is the manifest of {}, but in the place of {partition}", other.partition);
        told.push((path, Fault::Manifest, reason));
    }
    Ok(Look { partition, manifest, told, is_settled: open.is_settled })
}
