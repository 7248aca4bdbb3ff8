//! The bounds of the names in a shard's rows, which its file name or its delta tells: which shards a statement needs, and
//! how they are divided among its threads. Not here: listing shards (`shard_table`).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::{PrunableStatistics, PruningStatistics};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, ScalarValue, Statistics, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use object_store::ObjectMeta;

use super::overlay::{Source, View};
use super::plan_limits::FOOTER_GUESS_BYTES;
use crate::lake::Partition;

/// The column that every table is sorted by.
pub(super) const SORT_COLUMN: &str = "name";

/// The engine needs a value that stands for any ending of a name: the last code point, repeated this many times. That
/// code point is not a character, so no name contains it.
const ANY_ENDING_CHARS: usize = 64;

/// The longest `in (…)` list whose names are all looked up in the ranges of the shards. A name costs one comparison per
/// shard, so thousands of names still cost less than opening one file.
const MOST_LISTED_NAMES: usize = 2_000;

/// A shard of a scan.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    pub(super) source: Source,
    pub(super) file: PartitionedFile,
    /// Whether it may have rows that a statement must leave out, because a newer source has their names.
    pub(super) is_masked: bool,
}

impl SourceFile {
    /// Makes a base shard with the range of its names; `None` if it is not known.
    pub(super) fn of_base(schema: &SchemaRef, range: Option<&Partition>, source: Source, meta: ObjectMeta) -> Self {
        let bounds = range.map(|range| {
            let start = range.start.clone().unwrap_or_default();
            (start, greatest_below(range.end.as_deref()))
        });
        SourceFile { source, file: with_bounds(schema, bounds, meta), is_masked: false }
    }

    /// Makes a shard of a delta, of which only the rows of some names count, with the first and the last of these.
    pub(super) fn of_delta(schema: &SchemaRef, (first, last): (&str, &str), source: Source, meta: ObjectMeta) -> Self {
        // If both bounds were the same, the engine would take them for the value of the column in all rows.
        let bounds = (first.to_owned(), format!("{last}\0"));
        SourceFile { source, file: with_bounds(schema, Some(bounds), meta), is_masked: false }
    }

    /// Adds the value of the column that has the source, if rows of it must be left out.
    pub(super) fn with_source(mut self) -> SourceFile {
        let source = if self.is_masked { self.source } else { Source::Untouched };
        self.file.partition_values = vec![ScalarValue::Int32(Some(source.number()))];
        // The statistics need the column too.
        if let Some(statistics) = self.file.statistics.take() {
            self.file = self.file.with_statistics(statistics);
        }
        self
    }
}

fn with_bounds(schema: &SchemaRef, bounds: Option<(String, String)>, meta: ObjectMeta) -> PartitionedFile {
    let mut statistics = Statistics::new_unknown(schema);
    if let Some((least, greatest)) = bounds
        && let Some((index, field)) = schema.column_with_name(SORT_COLUMN)
        && let Some(column) = statistics.column_statistics.get_mut(index)
    {
        // These are bounds, not values that occur. The engine prunes by "exact" bounds only. It takes them for
        // values only in the statistics of a table or a group, never in those of a file.
        column.min_value = Precision::Exact(text(field.data_type(), least));
        column.max_value = Precision::Exact(text(field.data_type(), greatest));
    }
    PartitionedFile::new_from_meta(meta)
        .with_metadata_size_hint(FOOTER_GUESS_BYTES)
        .with_statistics(Arc::new(statistics))
}

/// Returns the shards that may hold rows that count and for which all `filters` hold, and says which of them may also hold
/// such rows that do not count.
pub(super) fn needed(
    state: &dyn Session,
    schema: &SchemaRef,
    mut shards: Vec<SourceFile>,
    filters: &[Expr],
    view: Option<&View>,
) -> Result<Vec<SourceFile>> {
    for shard in &mut shards {
        shard.is_masked = view.is_some_and(|view| view.hides_any(shard.source));
    }
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(shards) };
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(Arc::clone(schema))?)?;
    let predicate = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(schema))
        .with_max_in_list_size(MOST_LISTED_NAMES)
        .try_build(filter)?;
    let may_have = |source, name: &str| view.is_none_or(|view| view.may_have(source, name));
    let kept = may_hold(&predicate, schema, &shards, &may_have)?;
    let mut shards: Vec<_> = shards.into_iter().zip(kept).filter_map(|(shard, kept)| kept.then_some(shard)).collect();
    if let Some(view) = view.filter(|_| shards.iter().any(|shard| shard.is_masked)) {
        let masked = may_hold(&predicate, schema, &shards, &|source, name| view.hides(source, name))?;
        shards.iter_mut().zip(masked).for_each(|(shard, masked)| shard.is_masked &= masked);
    }
    Ok(shards)
}

/// Returns for each shard whether a predicate may hold for rows of it: those of the names that the shard has as `has` says.
fn may_hold(
    predicate: &PruningPredicate,
    schema: &SchemaRef,
    shards: &[SourceFile],
    has: &dyn Fn(Source, &str) -> bool,
) -> Result<Vec<bool>> {
    let known: Vec<Arc<Statistics>> = shards.iter().filter_map(|shard| shard.file.statistics.clone()).collect();
    if known.len() != shards.len() {
        return Err(internal_datafusion_err!("a shard without bounds"));
    }
    let bounds = PrunableStatistics::new(known, Arc::clone(schema));
    predicate.prune(&NamesOfShards { bounds, shards, has })
}

/// The names of some rows of shards: the bounds, and which names they have.
struct NamesOfShards<'s> {
    bounds: PrunableStatistics,
    shards: &'s [SourceFile],
    has: &'s dyn Fn(Source, &str) -> bool,
}

impl PruningStatistics for NamesOfShards<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds.min_values(column)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds.max_values(column)
    }

    fn num_containers(&self) -> usize {
        self.shards.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds.null_counts(column)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        self.bounds.row_counts()
    }

    #[allow(clippy::mutable_key_type, reason = "the engine's own type")]
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        if column.name() != SORT_COLUMN {
            return None;
        }
        let names: Vec<&str> = values.iter().map(|value| value.try_as_str().flatten()).collect::<Option<_>>()?;
        let contains = |shard: &SourceFile| match names.iter().any(|name| (self.has)(shard.source, name)) {
            true => None,
            false => Some(false),
        };
        Some(self.shards.iter().map(contains).collect())
    }
}

fn text(data_type: &DataType, value: String) -> ScalarValue {
    match data_type {
        DataType::Utf8View => ScalarValue::Utf8View(Some(value)),
        DataType::LargeUtf8 => ScalarValue::LargeUtf8(Some(value)),
        _ => ScalarValue::Utf8(Some(value)),
    }
}

/// Returns a text below `end` that no name below `end` exceeds.
fn greatest_below(end: Option<&str>) -> String {
    let any_ending = || char::MAX.to_string().repeat(ANY_ENDING_CHARS);
    let Some(end) = end else { return any_ending() };
    let mut below = end.to_owned();
    if let Some(before) = below.pop().and_then(|last| ('\0'..last).next_back()) {
        below.push(before);
        below.push_str(&any_ending());
    }
    below
}

/// Divides the base shards into at most `count` groups of about the same size. Each group holds neighbouring shards, so it
/// is in the order of names. A shard of a delta has names of all ranges, so it is a group of its own.
pub(super) fn groups(shards: Vec<SourceFile>, count: usize) -> Vec<FileGroup> {
    let (deltas, base): (Vec<_>, Vec<_>) =
        shards.into_iter().partition(|shard| matches!(shard.source, Source::Delta(_)));
    let count = count.max(1) as u64;
    let total_bytes: u64 = base.iter().map(|shard| shard.file.object_meta.size).sum();
    let group_bytes = total_bytes.div_ceil(count).max(1);
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = Vec::new();
    let mut before_bytes = 0;
    for SourceFile { file, .. } in base {
        let middle = before_bytes + file.object_meta.size / 2;
        before_bytes += file.object_meta.size;
        let index = middle / group_bytes;
        match groups.last_mut() {
            Some((last, group)) if *last == index => group.push(file),
            _ => groups.push((index, vec![file])),
        }
    }
    let groups = groups.into_iter().map(|(_, group)| FileGroup::new(group));
    groups.chain(deltas.into_iter().map(|shard| FileGroup::new(vec![shard.file]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_name_below_an_end_is_below_it_and_above_all_others() {
        for (end, others) in [
            (Some("c"), ["b", "bzzz", "b\u{ffff}"]),
            (Some("ca"), ["c", "c`z", "bz"]),
            (Some("c\0"), ["c", "b", ""]),
            (Some("\u{e000}"), ["z", "\u{d7ff}z", "\u{d7ff}"]),
            (None, ["z", "\u{ffff}", ""]),
        ] {
            let greatest = greatest_below(end);
            assert!(end.is_none_or(|end| greatest.as_str() < end), "{end:?}");
            assert!(others.iter().all(|other| *other <= greatest.as_str()), "{end:?}");
        }
    }

    #[test]
    fn groups_are_even_neighbours_and_lose_no_shard() {
        let file = |index: u64, source| {
            let file = PartitionedFile::new(format!("{index}"), 10 + index);
            SourceFile { source, file, is_masked: false }
        };
        let shards: Vec<_> = (0..100).map(|index| file(index, Source::Base)).collect();
        let paths = |groups: &[FileGroup]| -> Vec<String> {
            groups.iter().flat_map(FileGroup::iter).map(|shard| shard.path().to_string()).collect()
        };
        for count in [0, 1, 3, 8, 200] {
            let groups = groups(shards.clone(), count);
            assert!(groups.len() <= count.max(1), "{count}");
            assert_eq!(paths(&groups), (0..100).map(|index| index.to_string()).collect::<Vec<_>>());
        }
        let with_deltas = [shards.clone(), vec![file(100, Source::Delta(0)), file(101, Source::Delta(1))]].concat();
        let sizes: Vec<u64> =
            groups(with_deltas, 4).iter().map(|group| group.iter().map(|shard| shard.object_meta.size).sum()).collect();
        assert!(sizes.len() == 6 && sizes[..4].iter().all(|size| (1_300..1_700).contains(size)), "{sizes:?}");
        assert_eq!(sizes[4..], [110, 111]);
    }
}
