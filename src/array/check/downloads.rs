//! Checks `downloads.zarr`: the cells of each block of rows against the states of its rows.

use std::collections::BTreeSet;

use futures::StreamExt;

use super::look::{Look, at_once, read, read_with};
use super::{ArrayExtent, ArrayFault};
use crate::array::downloads::{
    COUNTED_SINCE, COUNTS, DAY, FIRST_DAY, Known, NEVER, REQUESTED_SINCE, REQUESTED_UNTIL, States, days_of_axis,
    known_cells,
};
use crate::array::form::ArrayForm;
use crate::error::{Error, Result};
use crate::lake::Layout;
use crate::npm::{day_number, day_of_number};

/// A shard has some count in so many days that were asked for since the first download of a package. Fewer may all lack
/// counts.
const DAYS_WITH_A_COUNT: i32 = 14;

/// The rows that have a fault, and the first of them.
#[derive(Default)]
struct Tally {
    rows: u64,
    first: String,
}

impl Tally {
    fn add(&mut self, describe: impl FnOnce() -> String) {
        if self.rows == 0 {
            self.first = describe();
        }
        self.rows += 1;
    }
}

impl Look<'_> {
    pub(super) async fn check_downloads(&mut self) -> Result<()> {
        self.check_coordinate(DAY, days_of_axis).await?;
        let forms = [COUNTS, REQUESTED_SINCE, REQUESTED_UNTIL, COUNTED_SINCE].map(|name| self.form(name));
        let [Some(counts), Some(since), Some(until), Some(counted)] = forms else { return Ok(()) };
        let (&[rows, days], &[shard_rows, shard_days]) = (counts.shape(), counts.shard_shape().as_slice()) else {
            self.find(self.group.path(), ArrayFault::Metadata, format!("{COUNTS} has not two dimensions"));
            return Ok(());
        };
        let states = [since, until, counted];
        let columns = days.div_ceil(shard_days);
        let staged = match self.extent {
            ArrayExtent::Names => Vec::new(),
            ArrayExtent::Whole => self.store.list(&self.layout.staging()).await?,
        };
        let is_staged = |block: u64| {
            let folder = self.layout.downloads_staging(block as u32);
            staged.iter().any(|path| path.starts_with(&folder) && Layout::parse_staged_counts(path).is_some())
        };
        let (mut unjudged, blocks) = (0, rows.div_ceil(shard_rows));
        for block in 0..blocks {
            if self.extent == ArrayExtent::Names {
                self.check_names_of_block(&counts, &states, block, columns);
                continue;
            }
            let is_judged = self.stored.is_settled() && !is_staged(block);
            unjudged += u64::from(!is_judged);
            let shape = Shape { block, rows: (rows - block * shard_rows).min(shard_rows), days, shard_days, columns };
            self.check_block(&counts, &states, shape, is_judged).await?;
        }
        if unjudged > 0 {
            self.notes.push(format!(
                "{unjudged} of {blocks} blocks of download counts are being written, or were when a run died; the next \
                 all-docs downloads goes on with them"
            ));
        }
        Ok(())
    }

    /// A block with counts has states.
    fn check_names_of_block(&mut self, counts: &ArrayForm, states: &[ArrayForm; 3], block: u64, columns: u64) {
        if (0..columns).any(|column| self.has(&counts.path(&[block, column]))) {
            for path in states.iter().map(|form| form.path(&[block])) {
                if !self.has(&path) {
                    self.find(path, ArrayFault::Missing, "it is gone, and the counts of its packages are there");
                }
            }
        }
    }

    async fn check_block(
        &mut self,
        counts: &ArrayForm,
        states: &[ArrayForm; 3],
        shape: Shape,
        is_judged: bool,
    ) -> Result<()> {
        let mut of_states = Vec::new();
        let mut has_states = false;
        for form in states {
            let path = form.path(&[shape.block]);
            match read(self.store, form, &path, ArrayForm::decode_numbers::<i32>).await? {
                Ok(Some(values)) => {
                    has_states = true;
                    of_states.push(Some(values));
                }
                Ok(None) => of_states.push(None),
                Err(finding) => {
                    self.findings.push(finding);
                    return self.check_columns(counts, shape).await.map(drop);
                }
            }
        }
        let Some((known, columns)) = self.check_columns(counts, shape).await? else { return Ok(()) };
        if !is_judged {
            return Ok(());
        }
        if has_states || !columns.is_empty() {
            let missing = of_states.iter().zip(states).filter(|(values, _)| values.is_none());
            let missing: Vec<String> = missing.map(|(_, form)| form.path(&[shape.block])).collect();
            for path in &missing {
                // Packages that were asked for and have no counts have no first day with one.
                if !columns.is_empty() || *path != states[2].path(&[shape.block]) {
                    self.find(path, ArrayFault::Missing, "it is gone, and the counts of its packages are there");
                }
            }
        }
        let length = states[0].shard_elements();
        let mut of_states = of_states.into_iter().map(|values| values.unwrap_or_else(|| vec![NEVER; length]));
        let mut next = || of_states.next().unwrap_or_default();
        let states_of_rows = States { requested_since: next(), requested_until: next(), counted_since: next() };
        self.judge_missing(counts, &states_of_rows, shape, &columns);
        self.judge_rows(states, &states_of_rows, shape, &known);
        Ok(())
    }

    /// Reads all shards of a block. Returns what is known of each row, and which shards are there; `None`, with findings, if
    /// one is faulty.
    async fn check_columns(&mut self, counts: &ArrayForm, shape: Shape) -> Result<Option<(Vec<Known>, BTreeSet<u64>)>> {
        let store = self.store.clone();
        let reads = (0..shape.columns).map(|column| {
            let (store, form) = (store.clone(), counts.clone());
            async move {
                let path = form.path(&[shape.block, column]);
                let first_day = day_number(FIRST_DAY) + (column * shape.shard_days) as i32;
                let days = shape.days_of(column);
                let see = move |cells: Vec<u32>| {
                    known_cells(&cells, shape.shard_days as usize, first_day, shape.rows as usize, days)
                };
                Ok::<_, Error>((column, read_with(&store, &form, &path, ArrayForm::decode_numbers, see).await?))
            }
        });
        let mut reads = std::pin::pin!(at_once(reads));
        let (mut all, mut there, mut is_whole) = (Vec::new(), BTreeSet::new(), true);
        while let Some(read) = reads.next().await {
            match read? {
                (_, Ok(None)) => {}
                (column, Ok(Some(known))) => {
                    there.insert(column);
                    Known::merge(&mut all, known);
                }
                (_, Err(finding)) => {
                    is_whole = false;
                    self.findings.push(finding);
                }
            }
        }
        Ok(is_whole.then_some((all, there)))
    }

    fn judge_missing(&mut self, counts: &ArrayForm, states: &States, shape: Shape, there: &BTreeSet<u64>) {
        for column in (0..shape.columns).filter(|column| !there.contains(column)) {
            let first = day_number(FIRST_DAY) + (column * shape.shard_days) as i32;
            let end = first + shape.shard_days as i32;
            let mut rows = (0..shape.rows as usize).filter(|&row| {
                let (counted, until) = (states.counted_since[row], states.requested_until[row]);
                let asked_since = counted.max(states.requested_since[row]).max(first);
                counted != NEVER
                    && ((first..end).contains(&counted)
                        || until.saturating_add(1).min(end).saturating_sub(asked_since)
                            >= DAYS_WITH_A_COUNT.min(shape.shard_days as i32))
            });
            if let Some(row) = rows.next() {
                let name = self.name(shape, row);
                let (packages, last) = (1 + rows.count(), day_of_number(end - 1));
                let reason = format!(
                    "it is gone, and {packages} packages, the first {name}, have counts in {} to {last}",
                    day_of_number(first)
                );
                self.find(counts.path(&[shape.block, column]), ArrayFault::Missing, reason);
            }
        }
    }

    fn judge_rows(&mut self, forms: &[ArrayForm; 3], states: &States, shape: Shape, known: &[Known]) {
        let [mut windows, mut first, mut last] = [Tally::default(), Tally::default(), Tally::default()];
        let (axis_first, axis_end) = (day_number(FIRST_DAY), day_number(FIRST_DAY) + shape.days as i32);
        // A lost shard explains all the rest.
        let is_judged = !self.findings.iter().any(|finding| finding.fault == ArrayFault::Missing);
        for row in 0..states.requested_since.len() {
            let (since, until) = (states.requested_since[row], states.requested_until[row]);
            let (counted, known) = (states.counted_since[row], known.get(row).copied().unwrap_or_default());
            let describe = |what: String| format!("{}: {what}", self.name(shape, row));
            let is_window = (since, until) == (NEVER, NEVER)
                || (axis_first <= since && since <= until && until < axis_end && (row as u64) < shape.rows);
            if !is_window {
                windows.add(|| describe(format!("asked from {} to {}", day_of_number(since), day_of_number(until))));
            }
            if counted != known.first {
                let day = |day: i32| if day == NEVER { "none".to_owned() } else { day_of_number(day).to_string() };
                first.add(|| describe(format!("{} here, and {} by the counts", day(counted), day(known.first))));
            }
            if known.last > until {
                last.add(|| {
                    describe(format!("a count on {}, after the last day asked for", day_of_number(known.last)))
                });
            }
        }
        let [since_path, until_path, counted_path] = [0, 1, 2].map(|state| forms[state].path(&[shape.block]));
        let told = [
            (since_path, windows, "packages have no days that can have been asked for"),
            (until_path, last, "packages have counts of days that were not asked for"),
            (counted_path, first, "packages have another first day with a count"),
        ];
        for (path, tally, reason) in told.into_iter().filter(|(_, tally, _)| tally.rows > 0 && is_judged) {
            self.find(path, ArrayFault::Account, format!("{} {reason}, the first {}", tally.rows, tally.first));
        }
    }

    fn name(&self, shape: Shape, row: usize) -> String {
        let row = shape.block * self.block_rows() + row as u64;
        match self.axis.map(|axis| axis.name(row as u32)).filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None => format!("row {row}"),
        }
    }

    fn block_rows(&self) -> u64 {
        self.stored.array(COUNTS).ok().and_then(|form| form.shard_shape().first().copied()).unwrap_or_default()
    }
}

/// A block of rows, and how the days are divided.
#[derive(Debug, Clone, Copy)]
struct Shape {
    block: u64,
    /// The rows that count.
    rows: u64,
    /// The days of the array.
    days: u64,
    shard_days: u64,
    columns: u64,
}

impl Shape {
    /// Returns how many days of a shard are days of the array.
    fn days_of(self, column: u64) -> usize {
        (self.days - column * self.shard_days).min(self.shard_days) as usize
    }
}
