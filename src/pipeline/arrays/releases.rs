//! The versions of each package by month, from the table `versions`. Not here: the array (`array`).

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use futures::TryStreamExt;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::tables::{each_shard, texts};
use crate::array::{PackageAxis, Releases};
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::shard::ShardReader;
use crate::store::{ShardFile, Store};
use crate::table::{TableKind, schema};

/// Reads the versions of all packages.
pub(super) async fn read_releases(
    store: &Store,
    layout: &OriginLayout,
    axis: &Arc<PackageAxis>,
    today: Date,
) -> Result<Releases> {
    let mut all = Releases::default();
    let axis = Arc::clone(axis);
    let read = move |_: &str, file| read(file, &axis, today);
    let mut shards = std::pin::pin!(each_shard(store, layout, TableKind::Versions, read));
    while let Some(releases) = shards.try_next().await? {
        all.append(releases);
    }
    Ok(all)
}

fn read(file: ShardFile, axis: &PackageAxis, today: Date) -> Result<Releases> {
    let table = TableKind::Versions;
    let mut releases = Releases::default();
    // The rows of a package are together.
    let mut package: (String, Vec<Option<Date>>) = Default::default();
    let mut end = |(name, days): (String, Vec<Option<Date>>)| {
        if let Some(row) = axis.row(&name) {
            releases.add(row, days, today);
        }
    };
    for batch in ShardReader::open_columns(table, file, &schema(table), &["name", "published_at"])? {
        let batch = batch?;
        let names = texts(&batch, "name")?;
        let times = batch.column_by_name("published_at");
        let times = times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| Error::lake("a shard has no column published_at of times"))?;
        for (row, name) in names.iter().flatten().enumerate() {
            if package.0 != name {
                end(std::mem::replace(&mut package, (name.to_owned(), Vec::new())));
            }
            package.1.push(times.is_valid(row).then(|| day(times.value(row))).flatten());
        }
    }
    end(package);
    Ok(releases)
}

/// Returns the day of a time in microseconds since 1970, in UTC.
fn day(time_us: i64) -> Option<Date> {
    let time = Timestamp::from_microsecond(time_us).ok()?;
    Some(time.to_zoned(TimeZone::UTC).date())
}
