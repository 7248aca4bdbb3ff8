//! Cuts the rows of a lake anew, into partitions of another size. The shards have the bytes of an ingest into these
//! partitions. Not here: the bytes of a shard (`encode`), and the copying of row groups (`shard`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use super::ends::Ends;
use super::partition::{Begun, Ended, Replacement, Staged, Work};
use super::shards::{has_same_bytes, tables};
use crate::encode::ShardWriter;
use crate::error::{Doing, Error, Result};
use crate::lake::{Manifest, Partition, PartitionSet, ShardMeta};
use crate::npm::Outcome;
use crate::shard::{NameCursor, ShardCut};
use crate::store::{ShardFile, blocking};
use crate::table::{TableKind, schema};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// The shards of the last partition that was read, opened and checked: the next cut needs them again, unless it ends
/// where that partition ends.
type Kept = Option<(Manifest, BTreeMap<TableKind, ShardFile>)>;

/// Returns the indexes of the partitions of `set` that have names of a partition.
pub(super) fn overlapping(set: &PartitionSet, partition: &Partition) -> RangeInclusive<usize> {
    let first = partition.start.as_ref().map_or(0, |start| set.index_of(start));
    let last = partition.end.as_ref().map_or(set.count() - 1, |end| {
        // The end itself is not in the partition.
        set.boundaries.partition_point(|boundary| boundary < end)
    });
    first..=last
}

/// Returns the digest of everything that partitions hold, from which others are cut.
pub(super) fn digest<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> String {
    let mut digest = Sha256::new();
    for manifest in manifests {
        digest.update(manifest.partition.file_stem());
        for (table, meta) in &manifest.shards {
            digest.update(format!("\n{table} {}", meta.sha256));
        }
        digest.update("\n");
    }
    format!("{:x}", digest.finalize())
}

impl Ends {
    /// Cuts consecutive partitions, one after the other, from those of `source`. Ends with the first failure.
    pub(super) async fn cut_in_order(&self, source: &PartitionSet, run: Vec<Work>) -> Vec<Result<Ended>> {
        let mut kept: Kept = None;
        let mut results = Vec::with_capacity(run.len());
        for work in run {
            let result = self.cut_one(source, work, &mut kept).await;
            let is_failed = result.is_err();
            results.push(result);
            if is_failed {
                break;
            }
        }
        results
    }

    async fn cut_one(&self, source: &PartitionSet, work: Work, kept: &mut Kept) -> Result<Ended> {
        let begun = match self.begin(work).await? {
            Begun::Taken(begun) => begun,
            Begun::HeldBy(work) => return Ok(Ended::Held(work)),
        };
        let parts: Vec<Partition> = overlapping(source, begun.partition()).map(|index| source.get(index)).collect();
        let staged = self.cut(&begun, &parts, kept).await;
        self.end(begun, staged).await
    }

    /// Stages the shards of a partition, cut from `parts`.
    async fn cut(&self, begun: &Replacement, parts: &[Partition], kept: &mut Kept) -> Result<Option<Staged>> {
        let mut reads = 0;
        loop {
            let Some(sources) = self.source_manifests(parts).await? else {
                let message = format!("a part of {} has gone from {}", begun.partition(), self.from.location());
                let hint = "another process clears or repairs that lake; run the same command again when it has ended";
                return Err(Error::lake(message).hint(hint));
            };
            let (partition, held) = (begun.partition().clone(), begun.in_place().cloned());
            let cutting = Cutting { ends: self.clone(), partition, held };
            let (of_read, before) = (sources.clone(), kept.take());
            let read = blocking("cutting a partition", move || cutting.stage(of_read, before)).await;
            if let Some((staged, last)) = self.settled(&sources, read, &mut reads).await? {
                *kept = last;
                return Ok(Some(staged));
            }
        }
    }
}

/// One partition to be cut.
struct Cutting {
    ends: Ends,
    partition: Partition,
    /// The contents of the copy before this run.
    held: Option<Manifest>,
}

/// The facts about the rows of `outcomes` in a partition.
#[derive(Default)]
struct Outcomes {
    counts: BTreeMap<String, u64>,
    /// The least limit by which names were refused as too large. `None` if there are none.
    oversize_limit_bytes: Option<u64>,
    /// Whether the limit of some of them is not known.
    has_unknown_limit: bool,
}

impl Cutting {
    /// Stages the shards table by table. Returns the new manifest with the staged tables, and the open shards of the
    /// last source. Blocks.
    fn stage(&self, sources: Vec<Manifest>, before: Kept) -> Result<(Staged, Kept)> {
        let named = sources.iter().map(tables).collect::<Result<Vec<_>>>()?;
        let named: BTreeSet<TableKind> = named.into_iter().flatten().map(|(table, _)| table).collect();
        let (mut shards, mut moved) = (BTreeMap::new(), Vec::new());
        let (mut outcomes, mut last_files) = (Outcomes::default(), BTreeMap::new());
        for table in named {
            let staged = self.ends.to.stage(&self.ends.layout.staged_shard(table, &self.partition))?;
            let writer = ShardWriter::new(table, schema(table), staged)?;
            let mut cut = ShardCut::new(writer, self.partition.clone(), self.ends.stop.clone());
            for (place, source) in sources.iter().enumerate() {
                let Some(meta) = source.shards.get(table.as_str()) else { continue };
                let file = match kept_file(before.as_ref(), source, table) {
                    Some(file) => file,
                    None => self.open_sound(source, table, meta)?,
                };
                let doing = || format!("reading {}", self.ends.layout.shard(table, &source.partition));
                if table == TableKind::Outcomes {
                    outcomes.add(file.clone(), source, &self.partition).doing(doing)?;
                }
                let is_last = place + 1 == sources.len();
                cut.append(file.clone(), is_last).doing(doing)?;
                if is_last {
                    last_files.insert(table, file);
                }
            }
            let (staged, meta) = cut.finish()?;
            self.ends.progress.note_shard(&meta);
            if !self.held.as_ref().is_some_and(|held| has_same_bytes(held, table, &meta)) {
                staged.finish()?;
                moved.push(table);
            }
            shards.insert(table.to_string(), meta);
        }
        let manifest = self.manifest(&sources, shards, outcomes);
        let kept = sources.into_iter().next_back().map(|source| (source, last_files));
        Ok(((manifest, moved), kept))
    }

    fn manifest(&self, sources: &[Manifest], shards: BTreeMap<String, ShardMeta>, outcomes: Outcomes) -> Manifest {
        // `None` is less than any time: one listing whose time is not known makes that of all unknown.
        let listed_at_us = sources.iter().map(|source| source.listed_at_us).min().flatten();
        let has_documents = |source: &&Manifest| source.rows(TableKind::Packuments) > 0;
        let mut forms = sources.iter().filter(has_documents).map(|source| source.documents_form.as_ref());
        let documents_form = forms.next().flatten().filter(|first| forms.all(|form| form == Some(*first)));
        Manifest {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            partition: self.partition.clone(),
            written_at: jiff::Timestamp::now().to_string(),
            shards,
            oversize_limit_bytes: outcomes.oversize_limit_bytes.filter(|_| !outcomes.has_unknown_limit),
            outcomes: outcomes.counts,
            listed_at_us,
            documents_form: documents_form.cloned(),
            cut_from: Some(digest(sources)),
            unfilled: {
                let names = sources.iter().flat_map(|source| &source.unfilled);
                names.filter(|name| self.partition.contains(name)).cloned().collect()
            },
            removed: Vec::new(),
        }
    }

    /// Opens a shard whose bytes are those that its manifest names: row groups are copied undecoded, and a wrong bit may
    /// decode.
    fn open_sound(&self, source: &Manifest, table: TableKind, meta: &ShardMeta) -> Result<ShardFile> {
        let path = self.ends.layout.shard(table, &source.partition);
        let file = Ends::expect_size(&path, meta, self.ends.from.blocking().open_whole(&path)?)?;
        let digest = self.ends.read_whole(&file, |_| Ok(()))?;
        Ends::expect_digest(&path, meta, &digest)?;
        Ok(file)
    }
}

fn kept_file(
    kept: Option<&(Manifest, BTreeMap<TableKind, ShardFile>)>,
    source: &Manifest,
    table: TableKind,
) -> Option<ShardFile> {
    kept.filter(|(manifest, _)| manifest == source).and_then(|(_, files)| files.get(&table).cloned())
}

impl Outcomes {
    /// Counts the rows of a shard whose names are in `partition`.
    fn add(&mut self, file: ShardFile, source: &Manifest, partition: &Partition) -> Result<()> {
        let mut refused = 0;
        let mut cursor = NameCursor::open(TableKind::Outcomes, file, &schema(TableKind::Outcomes), &["outcome"])?;
        while let Some(is_inside) = cursor.name().map(|name| partition.contains(name)) {
            cursor.pass(|row| {
                if let Some(outcome) = row.text("outcome")?.filter(|_| is_inside) {
                    *self.counts.entry(outcome.to_owned()).or_default() += 1;
                    refused += u64::from(outcome == Outcome::Oversize.as_str());
                }
                Ok(())
            })?;
        }
        if refused > 0 {
            let limits = [self.oversize_limit_bytes, source.oversize_limit_bytes];
            self.oversize_limit_bytes = limits.into_iter().flatten().min();
            self.has_unknown_limit |= source.oversize_limit_bytes.is_none();
        }
        Ok(())
    }
}
