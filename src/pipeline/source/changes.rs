//! Changes: work for names whose new revisions are already known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};

use super::Source;
use crate::error::Result;
use crate::lake::PartitionSet;
use crate::npm::{Change, PackageName};
use crate::pipeline::work::{Announced, Wanted, WorkItem};

/// Changed names, grouped by partition.
#[derive(Debug, Clone)]
pub struct Changes {
    items: Vec<WorkItem>,
}

impl Changes {
    /// Returns the work that `changes` make in a lake with these partitions. Of several changes of one name the last
    /// one counts.
    pub fn new(set: &PartitionSet, changes: Vec<Change>, wanted: &Arc<Wanted>) -> Changes {
        let mut by_partition: BTreeMap<usize, BTreeMap<PackageName, Change>> = BTreeMap::new();
        for change in changes {
            let index = set.index_of(change.name.as_str());
            by_partition.entry(index).or_default().insert(change.name.clone(), change);
        }
        let item = |(index, changes): (usize, BTreeMap<PackageName, Change>)| WorkItem {
            partition: set.get(index),
            announced: Announced::Changes(Arc::new(changes.into_values().collect())),
            wanted: Arc::clone(wanted),
        };
        Changes { items: by_partition.into_iter().map(item).collect() }
    }
}

impl Source for Changes {
    fn partition_count(&self) -> usize {
        self.items.len()
    }

    fn work(&self, only: Option<BTreeSet<String>>) -> BoxStream<'_, Result<WorkItem>> {
        let is_wanted =
            move |item: &&WorkItem| only.as_ref().is_none_or(|only| only.contains(&item.partition.file_stem()));
        stream::iter(self.items.iter().filter(is_wanted).cloned().map(Ok)).boxed()
    }
}
