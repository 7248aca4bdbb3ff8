//! A column chunk of numbers, times or booleans under construction.
//!
//! A page is encoded when its rows are complete; until then its values are only copied.

use std::hash::Hash;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use bytes::Bytes;
use hashbrown::HashMap;
use parquet::basic::{Compression, Encoding};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::chunk::ChunkEncoder;
use super::levels::{Levels, valid_runs};
use super::pages::{ChunkPages, DataPage};
use super::runs;
use crate::error::{Context, Error, ErrorKind, Result};

/// A type whose values all have the same size.
pub(super) trait FlatValue: Copy + Default + Ord + Hash + Send + 'static {
    /// The values of an array, including nulls.
    type Values;
    /// Whether the type can be encoded with dictionaries.
    const IS_NUMBER: bool;
    /// Views an array; `None` if it has another type.
    fn values(array: &dyn Array) -> Option<Self::Values>;
    /// Appends consecutive values, none of them null.
    fn append(values: &Self::Values, rows: Range<usize>, out: &mut Vec<Self>);
    /// Appends values to the body of a page or dictionary.
    fn write_plain(values: &[Self], out: &mut Vec<u8>);
    /// Returns the statistics of values within `bounds`.
    fn statistics(bounds: Option<(Self, Self)>, nulls: u64) -> Statistics;
}

/// Numbers and timestamps.
impl FlatValue for i64 {
    type Values = ScalarBuffer<i64>;
    const IS_NUMBER: bool = true;

    fn values(array: &dyn Array) -> Option<ScalarBuffer<i64>> {
        match array.data_type() {
            DataType::Int64 => Some(array.as_primitive_opt::<Int64Type>()?.values().clone()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Some(array.as_primitive_opt::<TimestampMicrosecondType>()?.values().clone())
            }
            _ => None,
        }
    }

    #[inline]
    fn append(values: &ScalarBuffer<i64>, rows: Range<usize>, out: &mut Vec<i64>) {
        out.extend_from_slice(values.get(rows).unwrap_or_default());
    }

    fn write_plain(values: &[i64], out: &mut Vec<u8>) {
        values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }

    fn statistics(bounds: Option<(i64, i64)>, nulls: u64) -> Statistics {
        let (least, greatest) = bounds.unzip();
        Statistics::int64(least, greatest, None, Some(nulls), false)
    }
}

/// Booleans.
impl FlatValue for bool {
    type Values = BooleanBuffer;
    const IS_NUMBER: bool = false;

    fn values(array: &dyn Array) -> Option<BooleanBuffer> {
        Some(array.as_boolean_opt()?.values().clone())
    }

    #[inline]
    fn append(values: &BooleanBuffer, rows: Range<usize>, out: &mut Vec<bool>) {
        out.extend(values.slice(rows.start, rows.len()).iter());
    }

    fn write_plain(values: &[bool], out: &mut Vec<u8>) {
        let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
        out.extend(values.chunks(8).map(byte));
    }

    fn statistics(bounds: Option<(bool, bool)>, nulls: u64) -> Statistics {
        let (least, greatest) = bounds.unzip();
        Statistics::boolean(least, greatest, None, Some(nulls), false)
    }
}

/// A chunk under construction.
pub(super) struct FlatChunk<T> {
    descriptor: ColumnDescPtr,
    encoding: Encoding,
    page_rows: usize,
    pages: ChunkPages,
    dictionary: FlatDictionary<T>,
    /// The bounds of all pages so far.
    bounds: Option<(T, T)>,
    nulls: u64,
    /// The current page: its rows, its values, and, if there can be nulls, which rows have a value.
    rows: usize,
    values: Vec<T>,
    definitions: Levels,
    /// Kept between pages only to reuse the memory.
    places: Vec<u32>,
    body: Vec<u8>,
}

impl<T: FlatValue> FlatChunk<T> {
    /// Creates an encoder for a column of `properties`; `None` if the library handles its encoding or nesting.
    pub(super) fn new(descriptor: ColumnDescPtr, properties: &WriterProperties) -> Option<FlatChunk<T>> {
        let path = descriptor.path();
        let compression = properties.compression(path);
        let encoding = match properties.encoding(path) {
            None if T::IS_NUMBER && properties.dictionary_enabled(path) => Encoding::RLE_DICTIONARY,
            None => Encoding::PLAIN,
            Some(_) => return None,
        };
        let is_known = matches!(compression, Compression::ZSTD(_) | Compression::UNCOMPRESSED);
        if !is_known || descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 {
            return None;
        }
        let has_statistics = properties.statistics_enabled(path) != EnabledStatistics::None;
        Some(FlatChunk {
            encoding,
            page_rows: properties.data_page_row_count_limit(),
            pages: ChunkPages::new(descriptor.clone(), compression, has_statistics),
            dictionary: FlatDictionary::default(),
            bounds: None,
            nulls: 0,
            rows: 0,
            values: Vec::new(),
            definitions: Levels::default(),
            places: Vec::new(),
            body: Vec::new(),
            descriptor,
        })
    }

    /// Adds rows to the page; it must have space for them.
    fn add(&mut self, values: &T::Values, array: &dyn Array, rows: Range<usize>) {
        self.rows += rows.len();
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                if self.descriptor.max_def_level() > 0 {
                    self.definitions.push(1, rows.len());
                }
                T::append(values, rows, &mut self.values);
            }
            Some(nulls) => {
                let mut at = rows.start;
                for valid in valid_runs(nulls, &rows) {
                    self.definitions.push(0, valid.start - at);
                    self.definitions.push(1, valid.len());
                    at = valid.end;
                    T::append(values, valid, &mut self.values);
                }
                self.definitions.push(0, rows.end - at);
            }
        }
    }

    fn end_page(&mut self, compressor: &mut Compressor<'_>) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        self.body.clear();
        if self.descriptor.max_def_level() > 0 {
            self.definitions.write(1, &mut self.body);
        }
        match self.encoding {
            Encoding::RLE_DICTIONARY => {
                self.places.clear();
                self.places.extend(self.values.iter().map(|value| self.dictionary.place_of(*value)));
                let width = runs::bit_width((self.dictionary.values.len() as u32).saturating_sub(1));
                self.body.push(width as u8);
                runs::encode(&self.places, width, &mut self.body);
            }
            _ => T::write_plain(&self.values, &mut self.body),
        }
        let bounds =
            self.values.iter().min().zip(self.values.iter().max()).map(|(least, greatest)| (*least, *greatest));
        let shown = |value| {
            let mut bytes = Vec::new();
            T::write_plain(&[value], &mut bytes);
            bytes
        };
        let nulls = self.rows - self.values.len();
        let page = DataPage {
            body: &self.body,
            encoding: self.encoding,
            rows: self.rows,
            values: self.rows,
            nulls,
            bounds: bounds.map(|(least, greatest)| (shown(least), shown(greatest))),
        };
        self.pages.append(page, compressor).or_error(ErrorKind::Internal, || "cannot end a page".to_owned())?;
        self.bounds = match (self.bounds, bounds) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        self.nulls += nulls as u64;
        self.rows = 0;
        self.values.clear();
        self.definitions.clear();
        Ok(())
    }
}

impl<T: FlatValue> ChunkEncoder for FlatChunk<T> {
    fn write(&mut self, array: &ArrayRef, compressor: &mut Compressor<'_>) -> Result<()> {
        let values = T::values(array).ok_or_else(|| Error::internal("a column is of another type"))?;
        let mut row = 0;
        while row < array.len() {
            let end = array.len().min(row + self.page_rows - self.rows);
            self.add(&values, array, row..end);
            row = end;
            if self.rows == self.page_rows {
                self.end_page(compressor)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, compressor: &mut Compressor<'_>) -> Result<(Bytes, ColumnCloseResult)> {
        self.end_page(compressor)?;
        self.body.clear();
        let has_dictionary = self.encoding == Encoding::RLE_DICTIONARY;
        T::write_plain(&self.dictionary.values, &mut self.body);
        let body = has_dictionary.then_some((self.body.as_slice(), self.dictionary.values.len() as u32));
        let statistics = T::statistics(self.bounds.take(), std::mem::take(&mut self.nulls));
        let ended = self.pages.take().finish(body, None, statistics, compressor);
        self.dictionary.clear();
        ended.or_error(ErrorKind::Internal, || "cannot end a column".to_owned())
    }
}

/// The distinct values of a chunk in the order of first appearance. A row group has too few rows to exceed the size
/// that readers accept.
#[derive(Default)]
struct FlatDictionary<T> {
    values: Vec<T>,
    places: HashMap<T, u32>,
    last: u32,
}

impl<T: FlatValue> FlatDictionary<T> {
    #[inline]
    fn place_of(&mut self, value: T) -> u32 {
        let FlatDictionary { values, places, last } = self;
        // Consecutive rows often have the same value.
        if values.get(*last as usize) != Some(&value) {
            *last = *places.entry(value).or_insert_with(|| {
                values.push(value);
                values.len() as u32 - 1
            });
        }
        *last
    }

    fn clear(&mut self) {
        self.values.clear();
        self.places.clear();
        self.last = 0;
    }
}
