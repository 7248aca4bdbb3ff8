//! The documents that a run has made durable, and those that a registry was asked for.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::layout;
use crate::fetch::{FetchItem, StagedAnswers};
use crate::lake::Partition;
use crate::npm::{Fingerprint, PackageName, Representation, Revision, Validators};
use crate::pipeline::read_partition_set;
use crate::sample::{Kind, SampleServer};
use crate::store::{Store, blocking};

/// Returns how often each document was asked for.
pub(super) fn asked(server: &SampleServer) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for request in server.requests().into_iter().filter(|request| request.kind == Kind::Packument) {
        *asked.entry(request.package.unwrap()).or_default() += 1;
    }
    asked
}

/// Returns the names of a partition whose document is staged as the registry has it now.
pub(super) async fn staged_names(store: &Store, server: &SampleServer, partition: &Partition) -> BTreeSet<String> {
    let (from, part) = (store.clone(), partition.clone());
    let open = move || StagedAnswers::open(&from, &layout(), &part);
    let staged = blocking("reading staged answers", open).await.unwrap();
    let world = server.world();
    let is_staged = |name: &&str| {
        let item = FetchItem {
            name: PackageName::new(*name),
            announced_rev: Revision::new(world.revision(name).unwrap()),
            validators: Some(Validators::default()),
            is_held: false,
            last_answer_us: None,
            credentials: Fingerprint::NONE,
            last: None,
        };
        staged.has(&item, Representation::Full)
    };
    world.names().filter(|name| partition.contains(name)).filter(is_staged).map(str::to_owned).collect()
}

/// Returns the names whose document is staged, or committed since the lake was `before`.
pub(super) async fn durable_names(
    store: &Store,
    server: &SampleServer,
    before: &BTreeMap<String, Bytes>,
) -> BTreeSet<String> {
    let mut durable = BTreeSet::new();
    let set = read_partition_set(store, &layout()).await.unwrap();
    for partition in set.iter().flat_map(|set| set.iter()) {
        let manifest = layout().manifest(&partition);
        if store.get(&manifest).await.unwrap() != before.get(&manifest).cloned() {
            durable.extend(server.world().names().filter(|name| partition.contains(name)).map(str::to_owned));
        }
        durable.extend(staged_names(store, server, &partition).await);
    }
    durable
}
