//! Cuts the rows of a lake anew, into partitions of another size. The shards have the bytes of an ingest into these
//! partitions. Not here: the bytes of a shard (`encode`), and the copying of row groups (`shard`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cut_from::{CutFrom, Outcomes, Part, overlapping};
use super::ends::{Ends, MAX_READS};
use super::overlay::replaced_all_the_time;
use super::partition::{Begun, Ended, Replacement, Staged, Work};
use super::shards::has_same_bytes;
use crate::encode::ShardWriter;
use crate::error::{Doing, Error, Result};
use crate::lake::{Manifest, Partition, PartitionSet, ShardMeta};
use crate::pipeline::lost::lost_error;
use crate::shard::ShardMerge;
use crate::store::{ShardFile, blocking};
use crate::table::{TableKind, schema};

/// The shards of the last partition that was read, opened and checked: the next cut needs them again, unless it ends
/// where that partition ends.
type Kept = Option<(Manifest, BTreeMap<TableKind, ShardFile>)>;

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
            let overlay = self.overlay.view().await?;
            let Some(sources) = self.source_manifests(parts).await? else {
                let message = format!("a part of {} has gone from {}", begun.partition(), self.from.location());
                let hint = "another process clears or repairs that lake; run the same command again when it has ended";
                return Err(Error::lake(message).hint(hint));
            };
            let (partition, held) = (begun.partition().clone(), begun.in_place().cloned());
            let from = CutFrom::new(&overlay, sources.clone(), &partition);
            let cutting = Cutting { ends: self.clone(), partition, from, held };
            let before = kept.take();
            let read = blocking("cutting a partition", move || cutting.stage(before)).await;
            let now = self.overlay.view().await?.record;
            let is_of_parts = |stem: &str| parts.iter().any(|part| part.file_stem() == stem);
            let is_true_yet = overlay.record.holds_until(&now, is_of_parts);
            if !is_true_yet || (read.is_err() && now.deltas != overlay.record.deltas) {
                tracing::debug!("the overlay was replaced meanwhile; the partition is cut again");
                reads += 1;
                match reads < MAX_READS {
                    true => continue,
                    false => return Err(replaced_all_the_time(self)),
                }
            }
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
    from: CutFrom,
    /// The contents of the copy before this run.
    held: Option<Manifest>,
}

impl Cutting {
    /// Stages the shards table by table. Returns the new manifest with the staged tables, and the open shards of the
    /// last source. Blocks.
    fn stage(self, before: Kept) -> Result<(Staged, Kept)> {
        let (mut shards, mut moved) = (BTreeMap::new(), Vec::new());
        let (mut outcomes, mut last_files) = (Outcomes::default(), BTreeMap::new());
        for table in self.from.tables()? {
            let staged = self.ends.to.stage(&self.ends.layout.staged_shard(table, &self.partition))?;
            let writer = ShardWriter::new(table, schema(table), staged)?;
            let mut merge = ShardMerge::of_range(writer, self.partition.clone(), self.ends.stop.clone());
            let mut newer = self.ends.overlay.rows(table);
            for (place, part) in self.from.parts.iter().enumerate() {
                let is_last = place + 1 == self.from.parts.len();
                if let Some(meta) = part.manifest.shards.get(table.as_str()) {
                    let file = match kept_file(before.as_ref(), &part.manifest, table) {
                        Some(file) => file,
                        None => self.open_sound(&part.manifest, table, meta)?,
                    };
                    let doing = || format!("reading {}", self.ends.layout.shard(table, &part.manifest.partition));
                    if table == TableKind::Outcomes {
                        let is_counted = |name: &str| self.partition.contains(name) && !part.changed.contains_key(name);
                        outcomes.add(file.clone(), &part.manifest, is_counted).doing(doing)?;
                    }
                    merge.append(file.clone(), is_last).doing(doing)?;
                    if is_last {
                        last_files.insert(table, file);
                    }
                }
                for (name, held) in &part.changed {
                    merge.replace(&[name], newer.take(held, name)?)?;
                }
                if table == TableKind::Outcomes {
                    self.count_changed(part, &mut outcomes)?;
                }
            }
            let (staged, meta) = merge.finish()?;
            self.ends.progress.note_shard(&meta);
            if !self.held.as_ref().is_some_and(|held| has_same_bytes(held, table, &meta)) {
                staged.finish()?;
                moved.push(table);
            }
            shards.insert(table.to_string(), meta);
        }
        let manifest = Manifest { shards, ..self.from.manifest(outcomes) };
        let last = self.from.parts.into_iter().next_back();
        Ok(((manifest, moved), last.map(|part| (part.manifest, last_files))))
    }

    /// Counts the outcomes of the names that the overlay has in a part.
    fn count_changed(&self, part: &Part, outcomes: &mut Outcomes) -> Result<()> {
        for held in &part.deltas {
            let path = held.current_shard(TableKind::Outcomes);
            let file = self.ends.from.blocking().open(&path)?.ok_or_else(|| lost_error(&path))?;
            let is_newest = |name: &str| part.changed.get(name).is_some_and(|newest| Arc::ptr_eq(newest, held));
            outcomes.add(file, &held.manifest, is_newest).doing(|| format!("reading {path}"))?;
        }
        Ok(())
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
