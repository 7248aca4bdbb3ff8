//! A shard in a store that opens no files: one version of it, the one that the table's folder listed. It is read by
//! ranges, each on condition that it is still that version. Its end, which holds the footer, is kept in the cache of the
//! store from one process to the next. Not here: decoding rows (`shard_reader`).

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::{GetOptions, GetRange, ObjectMeta};
use parquet::arrow::async_reader::MetadataFetch;
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use tokio::sync::OnceCell;

use super::cause::find;
use super::failure::ShardFault;
use super::lake_location::LakeLocation;
use super::plan_limits::FOOTER_GUESS_BYTES;
use crate::store::Part;

/// One version of a shard.
#[derive(Debug)]
pub(super) struct RangedShard {
    location: LakeLocation,
    /// Its path, size and ETag, as the listing of the table's folder has them.
    pub(super) meta: ObjectMeta,
    footer: OnceCell<Footer>,
    /// The footer with the page index.
    indexed: OnceCell<Footer>,
}

#[derive(Debug)]
struct Footer {
    metadata: Arc<ParquetMetaData>,
    end: End,
}

/// The last bytes of a shard.
#[derive(Debug, Clone)]
struct End {
    bytes: Span,
    /// Whether the cache has what is worth keeping of them.
    is_kept: bool,
}

/// Some bytes of a shard.
#[derive(Debug, Clone)]
pub(super) struct Span {
    start: u64,
    bytes: Bytes,
}

impl Span {
    /// Makes it of the bytes of a shard from a place on.
    pub(super) fn new(start: u64, bytes: Bytes) -> Span {
        Span { start, bytes }
    }

    /// Returns the bytes of a range; `None` if not all of them are here.
    pub(super) fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let from = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        (from <= to && to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

impl RangedShard {
    pub(super) fn new(location: LakeLocation, meta: ObjectMeta) -> RangedShard {
        RangedShard { location, meta, footer: OnceCell::new(), indexed: OnceCell::new() }
    }

    /// Returns the footer, with the page index if `policy` wants it. However many readers want it, it is read once.
    pub(super) async fn footer(&self, policy: PageIndexPolicy) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let footer = self.footer.get_or_try_init(|| self.load()).await?;
        if policy == PageIndexPolicy::Skip {
            return Ok(Arc::clone(&footer.metadata));
        }
        let indexed = self.indexed.get_or_try_init(|| self.load_index(&footer.metadata, footer.end.clone(), policy));
        Ok(Arc::clone(&indexed.await?.metadata))
    }

    /// Adds the page index to a footer that the session has kept.
    pub(super) async fn with_index(
        &self,
        footer: &Arc<ParquetMetaData>,
        policy: PageIndexPolicy,
    ) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let indexed = self.indexed.get_or_try_init(|| async {
            let nothing = End { bytes: Span::new(self.meta.size, Bytes::new()), is_kept: false };
            let end = self.kept_end().await.unwrap_or(nothing);
            self.load_index(footer, end, policy).await
        });
        Ok(Arc::clone(&indexed.await?.metadata))
    }

    /// Reads some bytes. Those of the end cost no request once the footer was read.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes, ShardFault> {
        let footer = self.indexed.get().or_else(|| self.footer.get());
        match footer.and_then(|footer| footer.end.bytes.slice(&range)) {
            Some(bytes) => Ok(bytes),
            None => self.fetch(range).await,
        }
    }

    /// Reads some bytes that a later process will need too. They are kept in the cache from the first read on.
    pub(super) async fn read_kept(&self, range: Range<u64>) -> Result<Bytes, ShardFault> {
        let (Some(cache), Some(e_tag)) = (&self.location.cache, &self.meta.e_tag) else {
            return self.read(range).await;
        };
        let (url, part) = (self.url(), Part::From(range.start));
        let kept = cache.get(&url, e_tag, part).await;
        if let Some(kept) = kept.filter(|kept| kept.len() as u64 == range.end - range.start) {
            return Ok(kept);
        }
        let bytes = self.read(range).await?;
        cache.put(&url, e_tag, part, bytes.clone()).await;
        Ok(bytes)
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, ShardFault> {
        let options = GetOptions::new()
            .with_range(Some(GetRange::Bounded(range)))
            .with_if_match(self.meta.e_tag.clone())
            .with_version(self.meta.version.clone());
        let read = async { self.location.store.get_opts(&self.meta.location, options).await?.bytes().await };
        read.await.map_err(|error| ShardFault::of_store(&self.meta.location, error))
    }

    async fn load(&self) -> Result<Footer, ParquetError> {
        if let Some(end) = self.kept_end().await {
            match self.decode(end).await {
                Err(error) if find::<ShardFault>(&error).is_none() => {
                    tracing::debug!(shard = %self.meta.location, %error, "a footer in the cache is not used");
                }
                decoded => return decoded,
            }
        }
        let start = self.meta.size.saturating_sub(FOOTER_GUESS_BYTES as u64);
        let bytes = self.fetch(start..self.meta.size).await?;
        self.decode(End { bytes: Span::new(start, bytes), is_kept: false }).await
    }

    async fn decode(&self, mut end: End) -> Result<Footer, ParquetError> {
        let reader = ParquetMetaDataReader::new()
            .with_prefetch_hint(Some(end.bytes.bytes.len()))
            .with_page_index_policy(PageIndexPolicy::Skip);
        let metadata = reader.load_and_finish(EndReader { shard: self, end: &mut end }, self.meta.size).await?;
        self.keep(&metadata, &mut end).await;
        Ok(Footer { metadata: Arc::new(metadata), end })
    }

    async fn load_index(
        &self,
        metadata: &Arc<ParquetMetaData>,
        mut end: End,
        policy: PageIndexPolicy,
    ) -> Result<Footer, ParquetError> {
        let metadata = metadata.as_ref().clone();
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata).with_page_index_policy(policy);
        reader.load_page_index(EndReader { shard: self, end: &mut end }).await?;
        let metadata = reader.finish()?;
        self.keep(&metadata, &mut end).await;
        Ok(Footer { metadata: Arc::new(metadata), end })
    }

    async fn kept_end(&self) -> Option<End> {
        let (cache, e_tag) = (self.location.cache.as_ref()?, self.meta.e_tag.as_ref()?);
        let bytes = cache.get(&self.url(), e_tag, Part::End).await?;
        let start = self.meta.size.checked_sub(bytes.len() as u64)?;
        Some(End { bytes: Span::new(start, bytes), is_kept: true })
    }

    /// Keeps the end for later processes: the footer and the page index, or all of a small shard.
    async fn keep(&self, metadata: &ParquetMetaData, end: &mut End) {
        let (Some(cache), Some(e_tag), false) = (&self.location.cache, &self.meta.e_tag, end.is_kept) else { return };
        let is_small = self.meta.size <= FOOTER_GUESS_BYTES as u64;
        let start = if is_small { 0 } else { end_start(metadata, &end.bytes) };
        let Some(piece) = end.bytes.slice(&(start.max(end.bytes.start)..self.meta.size)) else { return };
        cache.put(&self.url(), e_tag, Part::End, piece).await;
        end.is_kept = true;
    }

    fn url(&self) -> String {
        format!("{}{}", self.location.store_url.as_str(), self.meta.location)
    }
}

/// Returns where the end of a shard begins: the page index if there is one, or else the footer.
fn end_start(metadata: &ParquetMetaData, end: &Span) -> u64 {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let index = columns.flat_map(|column| [column.column_index_offset(), column.offset_index_offset()]).flatten();
    let index = index.filter_map(|offset| u64::try_from(offset).ok()).min();
    let length = end.bytes.last_chunk::<FOOTER_SIZE>().and_then(|last| last.first_chunk::<4>());
    let footer_bytes = length.map_or(0, |length| u64::from(u32::from_le_bytes(*length)) + FOOTER_SIZE as u64);
    let footer_start = (end.start + end.bytes.len() as u64).saturating_sub(footer_bytes);
    index.map_or(footer_start, |index| index.min(footer_start))
}

/// Reads the parts of a footer. Each is next to the ones before, so all together are the end of the shard.
struct EndReader<'a> {
    shard: &'a RangedShard,
    end: &'a mut End,
}

impl MetadataFetch for EndReader<'_> {
    fn fetch(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let Span { start: known, bytes } = &self.end.bytes;
            if let Some(found) = self.end.bytes.slice(&range) {
                return Ok(found);
            }
            let outside = || ParquetError::EOF("a part of the footer lies outside of the shard".to_owned());
            if range.start >= *known || range.end > self.shard.meta.size {
                return Err(outside());
            }
            // The page index lies before the footer, and is wanted next.
            let start = range.start.saturating_sub(FOOTER_GUESS_BYTES as u64);
            let before = self.shard.fetch(start..*known).await?;
            *self.end = End { bytes: Span::new(start, [before, bytes.clone()].concat().into()), is_kept: false };
            self.end.bytes.slice(&range).ok_or_else(outside)
        }
        .boxed()
    }
}
