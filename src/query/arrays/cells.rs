//! The cells of a two-dimensional array as rows of a table: a package, a date, a number. Not here: which cells are wanted
//! (`grid`).

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, internal_datafusion_err};
use jiff::civil::Date;

use super::names::Names;
use crate::array::{Downloads, Piece, Rows, StoredReleases, Tile, UNKNOWN};
use crate::error;
use crate::lake::OriginLayout;
use crate::store::Store;

/// An array with a row for each package and a column for each day or month.
#[derive(Debug, Clone)]
pub(super) enum Grid {
    Downloads(Arc<Downloads>),
    Releases(Arc<StoredReleases>),
}

impl Grid {
    /// Opens the array; `None` if there is none.
    pub(super) async fn find_downloads(store: &Store, layout: &OriginLayout) -> error::Result<Option<Grid>> {
        Ok(Downloads::find(store, layout).await?.map(Arc::new).map(Grid::Downloads))
    }

    /// Opens the array; `None` if there is none.
    pub(super) async fn find_releases(store: &Store, layout: &OriginLayout) -> error::Result<Option<Grid>> {
        Ok(StoredReleases::find(store, layout).await?.map(Arc::new).map(Grid::Releases))
    }

    pub(super) fn rows(&self) -> u32 {
        match self {
            Grid::Downloads(array) => array.rows(),
            Grid::Releases(array) => array.rows(),
        }
    }

    /// Returns the days or months of the axis.
    pub(super) fn dates(&self) -> Vec<Date> {
        match self {
            Grid::Downloads(array) => {
                (0..).map(|column| array.day(column)).take_while(|day| *day <= array.last_day()).collect()
            }
            Grid::Releases(array) => (0..array.months()).map(|column| array.month(column)).collect(),
        }
    }

    pub(super) fn tiles(&self, rows: &Rows, dates: RangeInclusive<Date>) -> Vec<Tile> {
        match self {
            Grid::Downloads(array) => array.tiles(rows, dates),
            Grid::Releases(array) => array.tiles(rows, dates),
        }
    }

    pub(super) async fn read_tile(&self, tile: &Tile) -> error::Result<Vec<Piece<u32>>> {
        match self {
            Grid::Downloads(array) => array.read_tile(tile).await,
            Grid::Releases(array) => array.read_tile(tile).await,
        }
    }

    /// Returns the value of cells that are no rows of the table.
    pub(super) fn absent(&self) -> u32 {
        match self {
            Grid::Downloads(_) => UNKNOWN,
            Grid::Releases(_) => 0,
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellColumn {
    Name,
    Date,
    Value,
}

/// The form of the rows of a table.
#[derive(Debug)]
pub(super) struct CellForm {
    /// The names of the wanted rows, if a column has them.
    pub(super) names: Option<Arc<Names>>,
    /// The value of cells that are no rows.
    pub(super) absent: u32,
    pub(super) columns: Vec<CellColumn>,
    pub(super) schema: SchemaRef,
    pub(super) batch_rows: usize,
}

/// The rows of some pieces, batch after batch.
pub(super) struct CellBatches {
    form: Arc<CellForm>,
    /// The date of each column of the array that is wanted.
    dates: Arc<Vec<Option<i32>>>,
    pieces: std::vec::IntoIter<Piece<u32>>,
    /// The piece that is read, its rows, and how many of them were read.
    current: Option<(Piece<u32>, Vec<u32>, usize)>,
}

/// The columns of a batch under construction.
#[derive(Default)]
struct Columns {
    rows: usize,
    places: Vec<u32>,
    dates: Vec<i32>,
    values: Vec<i64>,
}

impl CellBatches {
    /// `dates` has the date of each column of the array that is wanted.
    pub(super) fn new(form: Arc<CellForm>, dates: Arc<Vec<Option<i32>>>, pieces: Vec<Piece<u32>>) -> CellBatches {
        CellBatches { form, dates, pieces: pieces.into_iter(), current: None }
    }

    fn finish(&self, columns: Columns) -> Result<RecordBatch> {
        let Columns { rows, mut places, mut dates, mut values } = columns;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.form.columns.len());
        for column in &self.form.columns {
            arrays.push(match (column, &self.form.names) {
                (CellColumn::Name, Some(names)) => names.at(std::mem::take(&mut places))?,
                (CellColumn::Name, None) => return Err(internal_datafusion_err!("a column of names without names")),
                (CellColumn::Date, _) => Arc::new(Date32Array::from(std::mem::take(&mut dates))),
                (CellColumn::Value, _) => Arc::new(Int64Array::from(std::mem::take(&mut values))),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.form.schema), arrays, &options)?)
    }
}

impl Columns {
    /// Adds the rows of one package. `dates` has the date of each cell that is wanted.
    fn push(&mut self, form: &CellForm, place: u32, dates: &[Option<i32>], cells: &[u32]) {
        let before = self.rows;
        let [has_names, has_dates, has_values] =
            [CellColumn::Name, CellColumn::Date, CellColumn::Value].map(|column| form.columns.contains(&column));
        for (&cell, date) in cells.iter().zip(dates) {
            let Some(date) = date.filter(|_| cell != form.absent) else { continue };
            self.rows += 1;
            if has_dates {
                self.dates.push(date);
            }
            if has_values {
                self.values.push(i64::from(cell));
            }
        }
        if has_names {
            self.places.extend(std::iter::repeat_n(place, self.rows - before));
        }
    }
}

impl Iterator for CellBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut columns = Columns::default();
        while columns.rows < self.form.batch_rows {
            let (piece, rows, read) = match &mut self.current {
                Some(current) => current,
                None => {
                    let Some(piece) = self.pieces.next() else { break };
                    let rows = piece.rows.iter().cloned().flatten().collect();
                    self.current.insert((piece, rows, 0))
                }
            };
            let width = piece.columns.len();
            let dates = self.dates.get(piece.columns.start as usize..piece.columns.end as usize);
            let dates = dates.unwrap_or_default();
            while columns.rows < self.form.batch_rows
                && let Some(&row) = rows.get(*read)
            {
                let cells = piece.cells.get(*read * width..(*read + 1) * width).unwrap_or_default();
                *read += 1;
                let place = match &self.form.names {
                    Some(names) => names.place(row),
                    None => Some(row),
                };
                if let Some(place) = place {
                    columns.push(&self.form, place, dates, cells);
                }
            }
            if *read >= rows.len() {
                self.current = None;
            }
        }
        (columns.rows > 0).then(|| self.finish(columns))
    }
}
