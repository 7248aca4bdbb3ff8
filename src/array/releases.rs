//! `releases.zarr`: the versions that each package published in each month. A zero is a known zero. Not here: reading the
//! versions from their table (`pipeline`).

mod read;

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use serde_json::{Value, json};

use super::axis::PackageAxis;
use super::day;
use super::form::ArrayForm;
use super::group::{Group, StoredGroup};
use super::packages::{self, write_names};
use super::shards::{Right, Written, replace_shard};
use super::spec::{ArraySpec, GENERATION, created, grown};
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::npm::day_number;
use crate::store::{Store, blocking};

pub use read::StoredReleases;

/// The first month of the axis. npm published its first package in the autumn of 2009.
const FIRST_MONTH: Date = date(2009, 1, 1);
/// The months that the coordinate has room for: 85 years.
const MONTHS: u64 = 1_024;

pub(super) const COUNTS: &str = "versions_published";
pub(super) const MONTH: &str = "month";
/// The attribute with the number of versions that are in a month: the sum of all cells.
pub(super) const VERSIONS: &str = "versions";
/// The attribute with the number of versions that are in no month: without a time, or with one outside the axis.
const WITHOUT_MONTH: &str = "versions_without_month";

/// The chunks of the counts: as in `downloads.zarr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    shard: [u64; 2],
    chunk: [u64; 2],
}

const SHAPE: Shape = Shape { shard: [131_072, 128], chunk: [1_024, 64] };

/// The versions of all packages by month.
#[derive(Debug, Clone, Default)]
pub struct Releases {
    /// The row, the place of the month, and the number of versions.
    counts: Vec<(u32, u16, u32)>,
    without_month: u64,
}

impl Releases {
    /// Adds the versions that one package published at some time, each `None` if it has none. A version that was published
    /// before the first month of the axis, or after the month of `today`, is counted as one without a time.
    pub fn add(&mut self, row: u32, published: impl IntoIterator<Item = Option<Date>>, today: Date) {
        let mut months: BTreeMap<u16, u32> = BTreeMap::new();
        for day in published {
            match day.filter(|day| *day <= today.last_of_month()).and_then(month_of) {
                Some(month) => *months.entry(month).or_default() += 1,
                None => self.without_month += 1,
            }
        }
        self.counts.extend(months.into_iter().map(|(month, count)| (row, month, count)));
    }

    /// Adds what another one holds, of other packages.
    pub fn append(&mut self, mut other: Releases) {
        self.counts.append(&mut other.counts);
        self.without_month += other.without_month;
    }

    /// Returns the number of versions that are in a month.
    pub fn versions(&self) -> u64 {
        self.counts.iter().map(|&(_, _, count)| u64::from(count)).sum()
    }

    /// Returns the number of versions that are in no month.
    pub fn without_month(&self) -> u64 {
        self.without_month
    }

    /// Writes the array: a shard is written if a value of it has changed. `right` is called before each object is written.
    pub async fn write(
        self,
        store: &Store,
        layout: &OriginLayout,
        axis: &PackageAxis,
        today: Date,
        right: &Right,
    ) -> Result<Written> {
        self.write_with(store, layout, axis, today, right, SHAPE).await
    }

    /// The same, with small shards.
    #[cfg(test)]
    pub(super) async fn write_small(
        self,
        store: &Store,
        layout: &OriginLayout,
        axis: &PackageAxis,
        today: Date,
        right: &Right,
    ) -> Result<Written> {
        let shape = Shape { shard: [4, 128], chunk: [2, 64] };
        self.write_with(store, layout, axis, today, right, shape).await
    }

    async fn write_with(
        mut self,
        store: &Store,
        layout: &OriginLayout,
        axis: &PackageAxis,
        today: Date,
        right: &Right,
        shape: Shape,
    ) -> Result<Written> {
        let group = Group::new(store, layout.releases());
        group.discard_damaged().await?;
        let (rows, months) = (u64::from(axis.rows()), month_of(today).map_or(1, |month| u64::from(month) + 1));
        let held = group.find().await?;
        let without_month = json!(self.without_month);
        let plan = |held: Option<&StoredGroup>| -> Result<Value> {
            let mut json = match held {
                None => {
                    let source = "the versions of the documents of an npm registry";
                    created("Versions of npm packages by month", source, &specs(shape), &lengths(rows, months))
                }
                Some(held) => {
                    let (held_rows, held_months) = size_of(held)?;
                    grown(held.json(), &lengths(rows.max(held_rows), months.max(held_months)))
                }
            };
            if json["attributes"][VERSIONS].as_u64().unwrap_or_default() != self.versions() {
                // The cells change after this.
                let generation = json["attributes"][GENERATION].as_u64().unwrap_or_default();
                json["attributes"][GENERATION] = json!(generation | 1);
            }
            json["attributes"][VERSIONS] = json!(self.versions());
            json["attributes"][WITHOUT_MONTH] = without_month.clone();
            Ok(json)
        };
        let planned = plan(held.as_ref())?;
        let form = |name| ArrayForm::of_group(&planned, group.folder(), name);
        write_months(store, &form(MONTH)?, right).await?;
        write_names(store, &form(packages::NAME)?, axis, 0, right).await?;
        // The longer axes count before their cells do: absent cells are zero until then.
        let change = |held: Option<&StoredGroup>| {
            let planned = plan(held)?;
            Ok((held.is_none_or(|held| *held.json() != planned)).then_some(planned))
        };
        let (now, _) = group.update(change).await?;
        self.counts.sort_unstable();
        let shards = self.write_shards(&group, &now.array(COUNTS)?, right).await?;
        right()?;
        Ok(Written { shards, generation: group.end_change().await? })
    }

    /// Writes the shards that have another value than before. The counts are sorted.
    async fn write_shards(&self, group: &Group, form: &ArrayForm, right: &Right) -> Result<u64> {
        let (&[rows, months], &[shard_rows, shard_months]) = (form.shape(), form.shard_shape().as_slice()) else {
            return Err(damaged());
        };
        let mut written = 0;
        for block in 0..rows.div_ceil(shard_rows) {
            let bounds = [block, block + 1]
                .map(|block| self.counts.partition_point(|&(row, _, _)| u64::from(row) < block * shard_rows));
            for column in 0..months.div_ceil(shard_months) {
                let of_block = self.counts[bounds[0]..bounds[1]].iter();
                let counts: Vec<(usize, u32)> = of_block
                    .filter(|&&(_, month, _)| u64::from(month) / shard_months == column)
                    .map(|&(row, month, count)| {
                        let (row, month) = (u64::from(row) % shard_rows, u64::from(month) % shard_months);
                        ((row * shard_months + month) as usize, count)
                    })
                    .collect();
                let (path, encoder) = (form.path(&[block, column]), form.clone());
                let encoded = blocking("the encoder of releases", move || {
                    let mut cells = vec![0u32; encoder.shard_elements()];
                    counts.into_iter().for_each(|(cell, count)| cells[cell] = count);
                    encoder.encode_numbers(&cells)
                });
                let encoded = encoded.await?;
                let held = group.store().get(&path).await?;
                if held == encoded {
                    continue;
                }
                if written == 0 {
                    right()?;
                    group.begin_change().await?;
                }
                written += u64::from(replace_shard(group.store(), &path, held.as_ref(), encoded, right).await?);
            }
        }
        Ok(written)
    }
}

/// Returns the place of the month of a day; `None` before the axis.
fn month_of(day: Date) -> Option<u16> {
    let months = (i32::from(day.year()) - i32::from(FIRST_MONTH.year())) * 12 + i32::from(day.month()) - 1;
    u16::try_from(months).ok().filter(|&month| u64::from(month) < MONTHS)
}

/// Returns the first day of the month at a place of the axis.
fn first_day_of(month: u32) -> Date {
    let year = i16::try_from(month / 12).ok().and_then(|years| FIRST_MONTH.year().checked_add(years));
    year.and_then(|year| Date::new(year, (month % 12) as i8 + 1, 1).ok()).unwrap_or(Date::MAX)
}

/// Writes the coordinate `month`, once and far ahead. Months have no unit in CF that all calendars know, so each is its
/// first day.
async fn write_months(store: &Store, form: &ArrayForm, right: &Right) -> Result<()> {
    let path = form.path(&[0]);
    let months = form.encode_numbers(&first_days(form.shard_elements()))?;
    let held = store.get(&path).await?;
    replace_shard(store, &path, held.as_ref(), months, right).await.map(drop)
}

/// Returns the values of the coordinate `month`.
pub(super) fn first_days(length: usize) -> Vec<i64> {
    (0..length as u32).map(|month| i64::from(day_number(first_day_of(month)))).collect()
}

fn lengths(rows: u64, months: u64) -> [(&'static str, u64); 2] {
    [(packages::NAME, rows), (MONTH, months)]
}

fn size_of(group: &StoredGroup) -> Result<(u64, u64)> {
    match group.array(COUNTS)?.shape() {
        &[rows, months] => Ok((rows, months)),
        _ => Err(damaged()),
    }
}

fn damaged() -> Error {
    Error::lake(format!("{COUNTS} is damaged: it has no two dimensions"))
}

fn specs(shape: Shape) -> [ArraySpec; 3] {
    let months = ArraySpec {
        name: MONTH,
        data_type: "int64",
        dimensions: &[MONTH],
        shard: vec![MONTHS],
        chunk: vec![MONTHS],
        fill: json!(0),
        attributes: day::attributes("The first day of the month, in UTC."),
        separator: '/',
    };
    let counts = ArraySpec {
        name: COUNTS,
        data_type: "uint32",
        dimensions: &[packages::NAME, MONTH],
        shard: shape.shard.to_vec(),
        chunk: shape.chunk.to_vec(),
        fill: json!(0),
        attributes: json!({
            "description": "Versions that the package published in the month, of those that its document has now.",
            "units": "versions",
        }),
        separator: '/',
    };
    [packages::spec(shape.shard[0], '/'), months, counts]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::ops::RangeInclusive;
    use std::sync::Arc;

    use super::*;
    use crate::array::rows::Rows;
    use crate::lake::Layout;

    const SMALL: Shape = Shape { shard: [4, 128], chunk: [2, 64] };

    fn right() -> Right {
        Arc::new(|| Ok(()))
    }

    fn axis(rows: u32) -> PackageAxis {
        let mut axis = PackageAxis::default();
        for row in 0..rows {
            axis.add(&format!("package-{row}"), FIRST_MONTH);
        }
        axis
    }

    async fn write(store: &Store, rows: u32, today: Date, published: &[(u32, &[Date])]) -> Written {
        let mut releases = Releases::default();
        for &(row, days) in published {
            releases.add(row, days.iter().copied().map(Some).chain([None]), today);
        }
        let layout = Layout::origin("npm");
        releases.write_with(store, &layout, &axis(rows), today, &right(), SMALL).await.unwrap()
    }

    async fn cell(store: &Store, block: u64, column: u64) -> Vec<u32> {
        let group = Group::new(store, Layout::origin("npm").releases());
        let form = group.find().await.unwrap().unwrap().array(COUNTS).unwrap();
        let path = form.path(&[block, column]);
        let Some(bytes) = store.get(&path).await.unwrap() else { return vec![0; form.shard_elements()] };
        form.decode_numbers(&path, &bytes).unwrap()
    }

    #[tokio::test]
    async fn versions_are_counted_by_month_and_only_changed_shards_are_written() {
        let store = Store::memory();
        let today = date(2026, 11, 29);
        let react = [date(2013, 5, 29), date(2013, 5, 30), date(2026, 11, 30), date(2026, 12, 1), date(1999, 1, 1)];
        let first = write(&store, 6, today, &[(0, &react), (5, &[date(2009, 1, 1)])]).await;
        assert_eq!(first, Written { shards: 3, generation: 2 });
        let cells = cell(&store, 0, 0).await;
        assert_eq!((cells[52], cells.iter().sum::<u32>()), (2, 2), "May 2013 is 52 months after January 2009");
        assert_eq!(cell(&store, 0, 1).await[214 - 128], 1, "a version of this month that is later than today");
        assert_eq!(cell(&store, 1, 0).await[128], 1);
        let json = Group::new(&store, Layout::origin("npm").releases()).find().await.unwrap().unwrap();
        assert_eq!(json.json()["attributes"][WITHOUT_MONTH], 4, "two without a time, two outside the axis");
        store.take_reached();
        let same = write(&store, 6, today, &[(0, &react), (5, &[date(2009, 1, 1)])]).await;
        assert_eq!((same, store.take_reached().len()), (Written { shards: 0, generation: 2 }, 0));
        let more = [react.as_slice(), &[date(2026, 11, 1)]].concat();
        let changed = write(&store, 6, today, &[(0, &more), (5, &[date(2009, 1, 1)])]).await;
        assert_eq!(changed, Written { shards: 1, generation: 4 });
        // A package that is gone has no versions, and its row stays.
        let gone = write(&store, 6, today, &[(0, &more), (5, &[])]).await;
        assert_eq!((gone.shards, cell(&store, 1, 0).await.iter().sum::<u32>()), (1, 0));
    }

    #[tokio::test]
    async fn names_and_months_are_appended() {
        let store = Store::memory();
        write(&store, 3, date(2026, 11, 29), &[(0, &[date(2020, 1, 1)])]).await;
        store.take_reached();
        let grown = write(&store, 5, date(2027, 1, 1), &[(0, &[date(2020, 1, 1)]), (4, &[date(2027, 1, 1)])]).await;
        let mut written: Vec<String> = store.take_reached().into_iter().map(|reached| reached.path).collect();
        written.retain(|path| !path.ends_with("zarr.json"));
        let paths = ["package/c/0", "package/c/1", "versions_published/c/1/1"];
        assert_eq!(written, paths.map(|path| format!("npm/releases.zarr/{path}")));
        assert_eq!((grown.shards, grown.generation), (1, 4));
    }

    #[tokio::test]
    async fn releases_are_read_by_rows_and_months() {
        let store = Store::memory();
        let layout = Layout::origin("npm");
        assert!(StoredReleases::find(&store, &layout).await.unwrap().is_none());
        let today = date(2026, 11, 29);
        let days = [date(2013, 5, 29), date(2013, 5, 30), date(2013, 7, 1), date(2026, 11, 1)];
        write(&store, 6, today, &[(0, &days), (5, &[date(2009, 1, 1)])]).await;
        let releases = StoredReleases::find(&store, &layout).await.unwrap().unwrap();
        assert_eq!((releases.rows(), releases.months(), releases.generation()), (6, 215, 2));
        let read = async |rows: Rows, days: RangeInclusive<Date>| {
            let mut found = Vec::new();
            for tile in releases.tiles(&rows, days) {
                for piece in releases.read_tile(&tile).await.unwrap() {
                    let of_row = |(row, counts): (u32, &[u32])| {
                        let months = piece.columns.clone().map(|column| releases.month(column));
                        let months = months.zip(counts.to_vec()).filter(|&(_, count)| count > 0);
                        months.map(|(month, count)| (row, month, count)).collect::<Vec<_>>()
                    };
                    found.extend(piece.iter().flat_map(of_row));
                }
            }
            found
        };
        let all =
            [(0, date(2013, 5, 1), 2), (0, date(2013, 7, 1), 1), (0, date(2026, 11, 1), 1), (5, date(2009, 1, 1), 1)];
        assert_eq!(read(Rows::All, date(1970, 1, 1)..=date(2199, 1, 1)).await, all);
        assert_eq!(read(Rows::of([5]), date(1970, 1, 1)..=date(2009, 1, 5)).await, all[3..]);
        assert_eq!(read(Rows::of([0, 3]), date(2013, 5, 31)..=date(2013, 6, 30)).await, all[..1]);
        assert_eq!(read(Rows::All, date(1970, 1, 1)..=date(2008, 12, 31)).await, []);
        assert_eq!(read(Rows::All, date(2198, 1, 1)..=date(2199, 1, 1)).await, []);
    }
}
