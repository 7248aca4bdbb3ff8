//! Tests the cut of shards anew, with row groups so small that every case of their ends occurs.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::{World, batch, rows, writer};
use crate::error::{ErrorKind, Result};
use crate::lake::{Partition, PartitionSet};
use crate::shard::ShardMerge;
use crate::store::ShardFile;

/// The mean number of rows in a row group; a row group then has at most 80 rows, and a name can have 400.
const GROUP_ROWS: u64 = 20;

fn fresh(world: &World) -> Bytes {
    let mut writer = writer().with_group_target(GROUP_ROWS);
    writer.write(batch(&rows(world))).unwrap();
    writer.finish().unwrap().0.into()
}

fn set(boundaries: &BTreeSet<String>) -> PartitionSet {
    let boundaries = boundaries.iter().cloned().collect();
    PartitionSet { format_version: 1, rows_per_partition: None, pivots: Vec::new(), boundaries }
}

/// Returns the names of a world that are in a partition.
fn part(world: &World, partition: &Partition) -> World {
    let start = partition.start.as_ref().map_or(Bound::Unbounded, Bound::Included);
    let names = world.range::<String, _>((start, Bound::Unbounded)).filter(|(name, _)| partition.contains(name));
    names.map(|(name, rows)| (name.clone(), *rows)).collect()
}

fn cut(shards: &[Bytes], range: &Partition, stop: &CancellationToken) -> Result<Bytes> {
    cut_with(shards.iter().map(|shard| (shard, World::new())).collect(), range, stop)
}

/// Cuts a shard from others. Each of them comes with its names that have other rows by now, or none.
fn cut_with(shards: Vec<(&Bytes, World)>, range: &Partition, stop: &CancellationToken) -> Result<Bytes> {
    let mut cut = ShardMerge::of_range(writer().with_group_target(GROUP_ROWS), range.clone(), stop.clone());
    let count = shards.len();
    for (place, (shard, changed)) in shards.into_iter().enumerate() {
        cut.append(ShardFile::Bytes(shard.clone()), place + 1 == count)?;
        for (name, new) in &changed {
            let new = World::from([(name.clone(), *new)]);
            cut.replace(&[name], vec![batch(&rows(&new))])?;
        }
    }
    Ok(cut.finish()?.0.into())
}

/// Returns the indexes of the partitions of a set that have names of a partition.
fn overlapping(set: &PartitionSet, partition: &Partition) -> std::ops::RangeInclusive<usize> {
    let first = partition.start.as_ref().map_or(0, |start| set.index_of(start));
    let last = partition.end.as_ref().map_or(set.count() - 1, |end| set.index_of(end));
    first..=last
}

fn worlds() -> impl Strategy<Value = World> {
    let rows = prop_oneof![8 => 0_usize..12, 2 => 12_usize..60, 1 => 60_usize..400];
    // Statistics show a long name cut.
    prop::collection::btree_map("[a-z@é]{1,3}|n{70}[ab]", (rows, 0_u8..3), 0..150)
}

fn boundaries() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("[a-z@é]{1,3}|n{70}[ab]", 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_cut_has_the_bytes_of_fresh_shards(world in worlds(), before in boundaries(), after in boundaries()) {
        let before = set(&before);
        let shards: Vec<Bytes> = before.iter().map(|partition| fresh(&part(&world, &partition))).collect();
        for partition in set(&after).iter() {
            let found = cut(&shards[overlapping(&before, &partition)], &partition, &CancellationToken::new()).unwrap();
            prop_assert!(found == fresh(&part(&world, &partition)), "{partition}");
        }
    }

    #[test]
    fn a_cut_with_newer_rows_of_some_names_has_the_bytes_of_fresh_shards(
        world in worlds(), changed in worlds(), before in boundaries(), after in boundaries(),
    ) {
        let before = set(&before);
        let shards: Vec<Bytes> = before.iter().map(|partition| fresh(&part(&world, &partition))).collect();
        let mut newest = world.clone();
        newest.extend(changed.clone());
        for partition in set(&after).iter() {
            let wanted = part(&changed, &partition);
            let sources = overlapping(&before, &partition).map(|index| (&shards[index], part(&wanted, &before.get(index))));
            let found = cut_with(sources.collect(), &partition, &CancellationToken::new()).unwrap();
            prop_assert!(found == fresh(&part(&newest, &partition)), "{partition}");
        }
    }
}

#[test]
fn row_groups_that_stay_whole_are_not_decoded() {
    let world: World = (0..400).map(|number| (format!("name-{number:03}"), (number % 9, 0))).collect();
    let halves = set(&BTreeSet::from(["name-200".to_owned()]));
    let shards: Vec<Bytes> = halves.iter().map(|partition| fresh(&part(&world, &partition))).collect();
    let expected = fresh(&world);
    let places = |shard: &Bytes| super::merge::group_places(shard);
    let mut copied_groups = 0;
    // The cut cannot have read the bytes that are made unreadable here, and the result contains all of them.
    for (half, (start, end)) in
        (0..2).flat_map(|half| places(&shards[half]).into_iter().map(move |place| (half, place)))
    {
        let mut spoilt = shards.clone();
        let mut bytes = spoilt[half].to_vec();
        bytes[start..end].fill(0xff);
        spoilt[half] = bytes.into();
        let Ok(found) = cut(&spoilt, &Partition::ALL, &CancellationToken::new()) else { continue };
        let unreadable = vec![0xff; end - start];
        copied_groups += usize::from(found.windows(unreadable.len()).any(|window| window == unreadable));
        assert_eq!(found.len(), expected.len());
    }
    let groups = places(&shards[0]).len() + places(&shards[1]).len();
    assert!(groups > 50 && copied_groups > groups - 10, "{copied_groups} of {groups} were copied");
}

#[test]
fn a_cut_that_is_to_stop_writes_nothing_more() {
    let world: World = (0..500).map(|number| (format!("name-{number:03}"), (3, 0))).collect();
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(cut(&[fresh(&world)], &Partition::ALL, &stop).unwrap_err().kind(), ErrorKind::Interrupted);
}
