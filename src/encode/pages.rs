//! The pages of one column chunk in the form of the file, and their metadata.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::dictionary::KEPT_BYTES;

/// A data page before compression.
pub(super) struct DataPage<'a> {
    /// Levels, then values.
    pub(super) body: &'a [u8],
    /// The encoding of the values.
    pub(super) encoding: Encoding,
    pub(super) rows: usize,
    /// The number of values and nulls; for lists, of their items.
    pub(super) values: usize,
    pub(super) nulls: usize,
    /// The bounds of the values for the column index; `None` if every value is null.
    pub(super) bounds: Option<(Vec<u8>, Vec<u8>)>,
}

/// The pages of a chunk so far.
pub(super) struct ChunkPages {
    descriptor: ColumnDescPtr,
    compression: Compression,
    has_statistics: bool,
    sink: TrackedWrite<Vec<u8>>,
    specs: Vec<PageWriteSpec>,
    encodings: Vec<PageEncodingStats>,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
    rows: u64,
}

impl ChunkPages {
    /// Creates an empty list of pages. `compression` is zstd, with the compressor that `append` gets, or none.
    pub(super) fn new(descriptor: ColumnDescPtr, compression: Compression, has_statistics: bool) -> Self {
        ChunkPages {
            compression,
            has_statistics,
            sink: TrackedWrite::new(Vec::new()),
            specs: Vec::new(),
            encodings: Vec::new(),
            column_index: ColumnIndexBuilder::new(descriptor.physical_type()),
            offset_index: OffsetIndexBuilder::new(),
            rows: 0,
            descriptor,
        }
    }

    /// Returns the pages so far and empties the list. Reserves as much memory for the next chunk.
    pub(super) fn take(&mut self) -> Self {
        let mut next = ChunkPages::new(self.descriptor.clone(), self.compression, self.has_statistics);
        next.sink = TrackedWrite::new(Vec::with_capacity(self.sink.bytes_written().min(KEPT_BYTES)));
        std::mem::replace(self, next)
    }

    /// Adds a data page.
    pub(super) fn append(&mut self, page: DataPage<'_>, compressor: &mut Compressor<'_>) -> Result<()> {
        let compressed = Page::DataPage {
            buf: compressed(self.compression, page.body, compressor)?,
            num_values: page.values as u32,
            encoding: page.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = write_page(&mut self.sink, compressed, page.body.len())?;
        match self.encodings.last_mut().filter(|last| last.encoding == page.encoding) {
            Some(last) => last.count += 1,
            None => {
                let page_type = PageType::DATA_PAGE;
                self.encodings.push(PageEncodingStats { page_type, encoding: page.encoding, count: 1 });
            }
        }
        self.offset_index.append_row_count(page.rows as i64);
        self.offset_index.append_offset_and_size(spec.offset as i64, spec.compressed_size as i32);
        if self.has_statistics {
            let is_null = page.bounds.is_none();
            let (least, greatest) = page.bounds.unwrap_or_default();
            self.column_index.append(is_null, least, greatest, page.nulls as i64);
        }
        self.rows += page.rows as u64;
        self.specs.push(spec);
        Ok(())
    }

    /// Ends the chunk. Returns its bytes and its metadata for the row group. `dictionary` is the body of the dictionary
    /// page and the number of its values. `statistics` are those of all values, if they are kept.
    pub(super) fn finish(
        mut self,
        dictionary: Option<(&[u8], u32)>,
        bloom_filter: Option<Sbbf>,
        statistics: Statistics,
        compressor: &mut Compressor<'_>,
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let mut file = self.sink.into_inner()?;
        let mut specs = self.specs;
        let values = specs.iter().map(|spec| i64::from(spec.num_values)).sum();
        let mut dictionary_bytes = 0;
        if let Some((body, num_values)) = dictionary {
            let buf = compressed(self.compression, body, compressor)?;
            let page = Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false };
            let mut front = TrackedWrite::new(Vec::with_capacity(file.len() + body.len()));
            let spec = write_page(&mut front, page, body.len())?;
            let data_pages = std::mem::replace(&mut file, front.into_inner()?);
            file.extend_from_slice(&data_pages);
            let page_type = PageType::DICTIONARY_PAGE;
            self.encodings.insert(0, PageEncodingStats { page_type, encoding: Encoding::PLAIN, count: 1 });
            dictionary_bytes = spec.compressed_size;
            specs.push(spec);
        }
        let encodings = self.encodings.iter().map(|stats| stats.encoding).chain([Encoding::RLE]);
        let mut metadata = ColumnChunkMetaData::builder(self.descriptor.clone())
            .set_compression(self.compression)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.collect::<Vec<_>>().iter()))
            .set_page_encoding_stats(self.encodings)
            .set_total_compressed_size(file.len() as i64)
            .set_total_uncompressed_size(specs.iter().map(|spec| spec.uncompressed_size as i64).sum())
            .set_num_values(values)
            .set_data_page_offset(0);
        if self.has_statistics {
            metadata = metadata.set_statistics(statistics);
            self.column_index.set_boundary_order(BoundaryOrder::UNORDERED);
        }
        let close = ColumnCloseResult {
            bytes_written: file.len() as u64,
            rows_written: self.rows,
            metadata: metadata.build()?,
            bloom_filter,
            column_index: self.has_statistics.then(|| self.column_index.build()).transpose()?,
            offset_index: Some(self.offset_index.build()),
        };
        // Until now the offsets of the data pages began at zero.
        Ok((Bytes::from(file), close.update_dictionary_location(dictionary_bytes)?))
    }
}

fn compressed(compression: Compression, body: &[u8], compressor: &mut Compressor<'_>) -> Result<Bytes> {
    match compression {
        Compression::UNCOMPRESSED => Ok(Bytes::copy_from_slice(body)),
        _ => Ok(Bytes::from(compressor.compress(body)?)),
    }
}

fn write_page(sink: &mut TrackedWrite<Vec<u8>>, page: Page, body_bytes: usize) -> Result<PageWriteSpec> {
    SerializedPageWriter::new(sink).write_page(CompressedPage::new(page, body_bytes))
}
