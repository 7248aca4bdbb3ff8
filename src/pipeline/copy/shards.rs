//! Copies the shards of one partition into the staging of the copy, and checks their bytes on the way. Not here: the
//! lease, and the commit.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

use super::ends::Ends;
use super::partition::Staged;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{Manifest, Partition, ShardMeta};
use crate::pipeline::lost::REPAIR;
use crate::pipeline::progress::Progress;
use crate::store::{ShardFile, blocking};
use crate::table::TableKind;

/// How many bytes are read, digested and written at once.
const BUFFER_BYTES: usize = 1 << 18;

impl Ends {
    /// Stages the shards of a partition, except those of the tables in `held` that are in their places with the same
    /// digest. Returns the manifest that names all of them, and the staged tables; `None` if there is no such partition.
    pub(super) async fn stage(&self, partition: &Partition, held: Option<Manifest>) -> Result<Option<Staged>> {
        let mut reads = 0;
        loop {
            let found = self.source_manifests(std::slice::from_ref(partition)).await?;
            let Some(manifest) = found.and_then(|mut found| found.pop()) else { return Ok(None) };
            let (ends, of_read, held) = (self.clone(), manifest.clone(), held.clone());
            let read = blocking("copying a partition", move || ends.stage_missing(&of_read, held.as_ref())).await;
            if let Some(staged) = self.settled(std::slice::from_ref(&manifest), read, &mut reads).await? {
                return Ok(Some((manifest, staged)));
            }
        }
    }

    /// Stages the shards that `held` does not have. Returns their tables.
    fn stage_missing(&self, manifest: &Manifest, held: Option<&Manifest>) -> Result<Vec<TableKind>> {
        let mut staged = Vec::new();
        for (table, meta) in tables(manifest)? {
            if !held.is_some_and(|held| has_same_bytes(held, table, meta)) {
                self.stage_shard(&manifest.partition, table, meta)?;
                staged.push(table);
            }
        }
        Ok(staged)
    }

    /// Copies a shard into staging. Fails with [`ErrorKind::Lake`] if it is not the one that its manifest names.
    fn stage_shard(&self, partition: &Partition, table: TableKind, meta: &ShardMeta) -> Result<()> {
        let path = self.layout.shard(table, partition);
        let file = Ends::expect_size(&path, meta, self.from.blocking().open(&path)?)?;
        let staged_path = self.layout.staged_shard(table, partition);
        let mut staged = self.to.stage(&staged_path)?;
        let digest = self.read_whole(&file, |bytes| {
            Progress::add(&self.progress.shard_bytes, bytes.len() as u64);
            staged.write_all(bytes).or_error(ErrorKind::Lake, || format!("cannot write {staged_path}"))
        })?;
        Ends::expect_digest(&path, meta, &digest)?;
        staged.finish()
    }

    /// Returns a shard that was opened. Fails with [`ErrorKind::Lake`] unless it has the size that its manifest names.
    pub(super) fn expect_size(path: &str, meta: &ShardMeta, opened: Option<ShardFile>) -> Result<ShardFile> {
        let file = opened
            .ok_or_else(|| Error::lake(format!("the shard {path} is gone, but its manifest names it")).hint(REPAIR))?;
        let (size_bytes, said) = (file.size_bytes(), meta.size_bytes);
        if size_bytes == said {
            return Ok(file);
        }
        let message = format!("the shard {path} has {size_bytes} bytes, and its manifest says {said}");
        Err(Error::lake(message).hint(REPAIR))
    }

    /// Fails with [`ErrorKind::Lake`] unless `digest` is that of a shard.
    pub(super) fn expect_digest(path: &str, meta: &ShardMeta, digest: &str) -> Result<()> {
        if digest == meta.sha256 {
            return Ok(());
        }
        Err(Error::lake(format!("the bytes of the shard {path} are not those that its manifest names")).hint(REPAIR))
    }

    /// Passes the bytes of a shard to `take`, and returns their SHA-256 in lower-case hex.
    pub(super) fn read_whole(&self, file: &ShardFile, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<String> {
        let mut reader = file.clone().into_read();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut digest = Sha256::new();
        loop {
            if self.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            let read = reader.read(&mut buffer);
            let read = read.map_err(|error| file.failure(|| Error::lake("a shard cannot be read").source(error)))?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(format!("{:x}", digest.finalize()));
            }
            digest.update(bytes);
            take(bytes)?;
        }
    }
}

/// Returns the tables that a manifest names. Fails with [`ErrorKind::Lake`] for an unknown one.
pub(super) fn tables(manifest: &Manifest) -> Result<Vec<(TableKind, &ShardMeta)>> {
    let unknown = |name: &String| {
        let partition = &manifest.partition;
        Error::lake(format!("the manifest of {partition} names a table {name} that is unknown")).hint(REPAIR)
    };
    let shards = manifest.shards.iter();
    shards.map(|(name, meta)| Ok((TableKind::parse(name).ok_or_else(|| unknown(name))?, meta))).collect()
}

/// Returns whether a manifest names a shard of the same bytes.
pub(super) fn has_same_bytes(manifest: &Manifest, table: TableKind, meta: &ShardMeta) -> bool {
    let held = manifest.shards.get(table.as_str());
    held.is_some_and(|held| held.sha256 == meta.sha256 && held.size_bytes == meta.size_bytes)
}
