//! Repairs `downloads.zarr`: its metadata from that of its arrays, and the states of a block from its counts, so that
//! counts that are lost are asked for again. Not here: which objects are damaged (`check`).

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use serde_json::Value;

use super::known::{Known, known_cells};
use super::states::{NEVER, States};
use super::{Block, Downloads, DownloadsShape, FIRST_DAY, specs, write_days};
use crate::array::axis::PackageAxis;
use crate::array::form::ArrayForm;
use crate::array::group::{Group, METADATA};
use crate::array::packages::{self, write_names};
use crate::array::shards::{Right, replace_shard};
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::npm::{day_number, day_of_number};
use crate::store::{Store, blocking};

/// The shards that are read at once. Each takes 70 MB of memory, and a core.
const SHARDS_AT_ONCE: usize = 2;

impl Downloads {
    /// Writes metadata of the group that is gone again from that of its arrays, or the other way round.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if that of an array is gone or damaged too.
    pub async fn mend_metadata(store: &Store, layout: &OriginLayout) -> Result<()> {
        let group = Group::new(store, layout.downloads());
        if group.find().await?.is_some() {
            return group.update(|_| Ok(None)).await.map(drop);
        }
        let mut json = specs::created(DownloadsShape::default(), 0, 1);
        let arrays = json["consolidated_metadata"]["metadata"].as_object_mut();
        for (name, metadata) in arrays.into_iter().flatten() {
            let path = format!("{}/{name}/{METADATA}", group.folder());
            let text = store.get(&path).await?;
            let found = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            *metadata = found.ok_or_else(|| {
                Error::lake(format!("{} and {path} are gone or damaged", group.path()))
                    .hint("restore one of the two from a copy of the lake")
            })?;
        }
        group.update(|held| Ok(held.is_none().then(|| json.clone()))).await.map(drop)
    }

    /// Writes the coordinates again where they differ.
    pub async fn mend_coordinates(&self, axis: &PackageAxis, right: &Right) -> Result<()> {
        let (group, _) = self.group.update(|_| Ok(None)).await?;
        write_days(self.store(), &group.array(specs::DAY)?, right).await?;
        write_names(self.store(), &group.array(packages::NAME)?, axis, 0, right).await
    }

    /// Returns the block and the place along the days of the shard of counts at a path, or the block alone of an object with
    /// states; `None` for any other object.
    pub fn place_of(&self, path: &str) -> Option<(u32, Option<u32>)> {
        let rest = |form: &ArrayForm, parts: usize| {
            let first = form.path(&vec![0; parts]);
            let below = path.strip_prefix(first.strip_suffix(&"/0".repeat(parts))?)?;
            let numbers: Option<Vec<u32>> = below.split('/').skip(1).map(|part| part.parse().ok()).collect();
            numbers.filter(|numbers| numbers.len() == parts)
        };
        if let Some(place) = rest(&self.counts, 2) {
            return Some((place[0], Some(place[1])));
        }
        self.states.iter().find_map(|form| rest(form, 1)).map(|place| (place[0], None))
    }

    /// Writes the states of a block again, so that they are true of the counts that are there. The days before the shards in
    /// `lost`, and those in them, count as days for which npm was not asked; where `lost` has the latest days, those alone.
    /// Returns the days that are lost.
    ///
    /// The caller holds the lease of the block. A damaged object must be gone.
    pub async fn mend_block(&self, block: &Block, lost: &BTreeSet<u32>, right: &Right) -> Result<Option<(Date, Date)>> {
        let known = Arc::new(self.known(block).await?);
        let mut held = [None, None, None];
        let mut values: [Option<Vec<i32>>; 3] = [None, None, None];
        for ((form, held), values) in self.states.iter().zip(&mut held).zip(&mut values) {
            let path = form.path(&[block.number.into()]);
            *held = self.store().get(&path).await?;
            *values = held.as_ref().map(|held| form.decode_numbers::<i32>(&path, held)).transpose()?;
        }
        let length = self.states[0].shard_elements();
        let [since, until, _] = values;
        let mut states = States {
            requested_since: vec![NEVER; length],
            requested_until: vec![NEVER; length],
            counted_since: vec![NEVER; length],
        };
        let windows = since.zip(until);
        let shard_days = self.shard_days() as i32;
        let days_of = |column: u32| {
            let first = day_number(FIRST_DAY) + column as i32 * shard_days;
            (first, first + shard_days - 1)
        };
        for row in 0..block.rows.len() {
            let known = known.get(row).copied().unwrap_or_default();
            let of_states = windows.as_ref().map(|(since, until)| (since[row], until[row]));
            let (since, until) = of_states.filter(|&(since, _)| since != NEVER).unwrap_or((known.first, known.last));
            let (since, until) = (since, until.max(known.last));
            if since == NEVER {
                continue;
            }
            let kept = latest_part(since, until, lost.iter().map(|&column| days_of(column)));
            states.counted_since[row] = known.first;
            if let Some((since, until)) = kept {
                states.requested_since[row] = since;
                states.requested_until[row] = until;
            }
        }
        self.group.begin_change().await?;
        let all = [states.requested_since, states.requested_until, states.counted_since];
        for ((form, held), values) in self.states.iter().zip(&held).zip(all) {
            let path = form.path(&[block.number.into()]);
            replace_shard(self.store(), &path, held.as_ref(), form.encode_numbers(&values)?, right).await?;
        }
        let ends = lost.first().zip(lost.last()).map(|(&first, &last)| (days_of(first).0, days_of(last).1));
        Ok(ends.map(|(first, last)| (day_of_number(first), day_of_number(last).min(self.last_day()))))
    }

    /// Returns what is known of each row of a block by its cells.
    async fn known(&self, block: &Block) -> Result<Vec<Known>> {
        let columns = self.counts.shape().get(1).copied().unwrap_or_default().div_ceil(self.shard_days().into());
        let reads = (0..columns as u32).map(|column| async move {
            let path = self.counts.path(&[block.number.into(), column.into()]);
            let Some(bytes) = self.store().get(&path).await? else { return Ok(Vec::new()) };
            let (form, shard_days, rows) = (self.counts.clone(), self.shard_days() as usize, block.rows.len());
            let first_day = day_number(FIRST_DAY) + (column as usize * shard_days) as i32;
            blocking("the reader of counts", move || {
                let cells = form.decode_numbers::<u32>(&path, &bytes)?;
                Ok(known_cells(&cells, shard_days, first_day, rows, shard_days))
            })
            .await
        });
        let merge = |mut all: Vec<Known>, others: Vec<Known>| {
            Known::merge(&mut all, others);
            std::future::ready(Ok::<_, Error>(all))
        };
        stream::iter(reads).buffered(SHARDS_AT_ONCE).try_fold(Vec::new(), merge).await
    }
}

/// Returns the latest part of the days from `since` to `until` that has none of `lost`, which are sorted; `None` if there is
/// none.
fn latest_part(since: i32, until: i32, lost: impl DoubleEndedIterator<Item = (i32, i32)>) -> Option<(i32, i32)> {
    let mut until = until;
    for (first, last) in lost.rev() {
        if last < since || first > until {
            continue;
        }
        if last < until {
            return Some((last + 1, until));
        }
        until = first - 1;
    }
    (since <= until).then_some((since, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_days_that_are_not_lost_are_kept() {
        let part = |lost: &[(i32, i32)]| latest_part(10, 40, lost.iter().copied());
        assert_eq!(part(&[]), Some((10, 40)));
        assert_eq!(part(&[(0, 9), (41, 50)]), Some((10, 40)));
        assert_eq!(part(&[(10, 19)]), Some((20, 40)));
        assert_eq!(part(&[(10, 19), (25, 29)]), Some((30, 40)));
        assert_eq!(part(&[(35, 50)]), Some((10, 34)));
        assert_eq!(part(&[(20, 29), (30, 39), (40, 49)]), Some((10, 19)));
        assert_eq!(part(&[(0, 24), (25, 49)]), None);
    }
}
