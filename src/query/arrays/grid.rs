//! The tables `downloads` and `releases`: a row for each cell of an array that is known, or not zero. Not here: making rows
//! of cells (`cells`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::Date32Array;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::cells::{CellBatches, CellColumn, CellForm, Grid};
use super::conditions::Conditions;
use super::index::{IndexTable, OpenIndex};
use super::names::Names;
use super::scan::{Part, Source};
use super::{ArrayTable, external, lost_index};
use crate::array::{Rows, Tile};
use crate::lake::OriginLayout;
use crate::npm::day_number;
use crate::store::Store;

/// Wanted dates that are at most this far apart are read together: chunks hold that many, and more.
const NEAR_DATES: usize = 64;

/// The packages that a condition on names is taken to select, for the planner.
const GUESSED_PACKAGES: usize = 100;

/// The array and the file that a scan reads.
#[derive(Debug)]
pub(super) struct GridSource {
    table: ArrayTable,
    grid: Grid,
    /// The days or months of the axis.
    dates: Vec<Date>,
    /// The same as the engine has them.
    numbers: Date32Array,
    index: Option<OpenIndex>,
}

/// The parts, names and dates that all partitions of a scan share.
#[derive(Debug)]
pub(super) struct Wanted {
    tiles: Vec<Tile>,
    names: Option<Arc<Names>>,
    /// The date of each column of the array that is wanted.
    dates: Arc<Vec<Option<i32>>>,
    _held: MemoryReservation,
}

/// Returns the column of the dates.
fn date_column(table: ArrayTable) -> &'static str {
    match table {
        ArrayTable::Releases => "month",
        _ => "day",
    }
}

impl GridSource {
    /// Opens the array of a table; `None` if there is none.
    pub(super) async fn open(
        table: ArrayTable,
        store: &Store,
        layout: &OriginLayout,
        index: &IndexTable,
        state: &dyn Session,
    ) -> Result<Option<GridSource>> {
        let found = match table {
            ArrayTable::Releases => Grid::find_releases(store, layout).await,
            _ => Grid::find_downloads(store, layout).await,
        };
        let Some(grid) = found.map_err(external)? else { return Ok(None) };
        // The array first: the file has all names of an array that was found before it.
        let index = index.open(state).await?;
        let dates = grid.dates();
        let numbers = dates.iter().map(|date| day_number(*date)).collect::<Vec<_>>().into();
        Ok(Some(GridSource { table, dates, numbers, grid, index }))
    }

    /// Returns the date of each column of the array for which the conditions hold.
    fn wanted_dates(&self, conditions: &Conditions) -> Result<Vec<Option<i32>>> {
        let hold = conditions.hold_for(date_column(self.table), Arc::new(self.numbers.clone()))?;
        Ok(self.numbers.values().iter().zip(hold.values()).map(|(number, holds)| holds.then_some(*number)).collect())
    }

    /// Returns the parts of shards that have wanted dates of some rows, the last dates first: a statement may ask for the
    /// last known day only.
    fn tiles(&self, rows: &Rows, wanted: &[Option<i32>]) -> Vec<Tile> {
        let columns: Vec<usize> = (0..wanted.len()).filter(|&column| wanted[column].is_some()).collect();
        let near = columns.chunk_by(|one, next| next - one <= NEAR_DATES);
        let dates = |near: &[usize]| -> Option<RangeInclusive<Date>> {
            Some(*self.dates.get(*near.first()?)?..=*self.dates.get(*near.last()?)?)
        };
        let mut tiles: Vec<Tile> = near.filter_map(dates).flat_map(|dates| self.grid.tiles(rows, dates)).collect();
        tiles.sort_by_key(|tile| std::cmp::Reverse(tile.columns().start));
        tiles
    }
}

impl Source for GridSource {
    type Wanted = Wanted;

    fn name(&self) -> &'static str {
        self.table.as_str()
    }

    fn statistics(&self, schema: &SchemaRef, conditions: &Conditions) -> Result<Statistics> {
        let all = self.grid.rows() as usize;
        let rows = if conditions.on("name").is_some() { GUESSED_PACKAGES.min(all) } else { all };
        let mut statistics = Statistics::new_unknown(schema);
        let dates = self.wanted_dates(conditions)?;
        statistics.num_rows = Precision::Inexact(rows.saturating_mul(dates.iter().flatten().count()));
        Ok(statistics)
    }

    async fn want(&self, schema: &SchemaRef, conditions: &Conditions, context: &Arc<TaskContext>) -> Result<Wanted> {
        let condition = conditions.on("name");
        let held = MemoryConsumer::new("the names of a scan").register(context.memory_pool());
        let mut rows = Rows::All;
        let mut names = None;
        if condition.is_some() || schema.column_with_name("name").is_some() {
            let index = self.index.as_ref().ok_or_else(|| external(lost_index(self.table)))?;
            let found = index.names(condition.as_ref(), context).await?;
            held.try_grow(found.size_bytes())?;
            match condition {
                Some(_) => rows = Rows::of(found.rows().iter().copied()),
                // Names are added to the file before the array has rows for them.
                None if found.rows().len() < self.grid.rows() as usize => return Err(index.is_replaced()),
                None => {}
            }
            names = Some(Arc::new(found));
        }
        let dates = self.wanted_dates(conditions)?;
        Ok(Wanted { tiles: self.tiles(&rows, &dates), names, dates: Arc::new(dates), _held: held })
    }

    fn rows(
        self: Arc<Self>,
        schema: SchemaRef,
        conditions: Conditions,
        wanted: Arc<Wanted>,
        part: Part,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let column = |name: &str| match name {
            "name" => CellColumn::Name,
            name if name == date_column(self.table) => CellColumn::Date,
            _ => CellColumn::Value,
        };
        let form = Arc::new(CellForm {
            names: wanted.names.clone(),
            absent: self.grid.absent(),
            columns: schema.fields().iter().map(|field| column(field.name())).collect(),
            schema,
            batch_rows: part.batch_rows,
        });
        let batches = stream::iter(part.of(&wanted.tiles)).then(move |tile| {
            // The names are held until the last tile.
            let (source, wanted, form) = (Arc::clone(&self), Arc::clone(&wanted), Arc::clone(&form));
            let dates = match conditions.may_change() {
                true => conditions.now().and_then(|now| source.wanted_dates(&now)).map(Arc::new),
                false => Ok(Arc::clone(&wanted.dates)),
            };
            async move {
                let dates = dates?;
                let columns = tile.columns();
                let of_tile = dates.get(columns.start as usize..columns.end as usize).unwrap_or_default();
                let pieces = match of_tile.iter().any(Option::is_some) {
                    true => source.grid.read_tile(&tile).await.map_err(external)?,
                    false => Vec::new(),
                };
                Ok::<_, DataFusionError>(stream::iter(CellBatches::new(form, dates, pieces)))
            }
        });
        batches.try_flatten().boxed()
    }
}
