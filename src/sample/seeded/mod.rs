//! The seeded world: an invented registry that looks like the real one, generated from a number.
//!
//! Popularity has a long tail, and histories span 2012 to 2026. Dependencies point at packages that existed when they
//! were written. One package in a hundred is a tombstone, and old packages are written in old styles. The same seed and
//! count always give the same bytes. Not here: documents that are odd on purpose (`odd/`).

mod history;
mod names;
mod packument;
mod people;
mod traits;
mod version;
mod words;

use std::sync::Arc;

use super::document::Document;
use super::random::{Random, hash};
use super::world::{Package, World};
use history::{Release, history};
use people::People;

const FATE_LABEL: u64 = 0x6661_7465;

/// The state that all packages of a seeded world share: the packages, and their publications.
pub(super) struct Ecosystem {
    seed: u64,
    /// By rank: the most popular first.
    names: Vec<Box<str>>,
    histories: Vec<Vec<Release>>,
    people: People,
}

impl World {
    /// Makes a registry of exactly `package_count` invented packages. It makes names and histories now, and each
    /// document at the first request for it.
    pub fn seeded(seed: u64, package_count: usize) -> Self {
        let names = names::names(seed, package_count);
        let histories = (0..package_count).map(|rank| history(seed, rank, package_count)).collect();
        let people = People::among(seed, package_count);
        let ecosystem = Arc::new(Ecosystem { seed, names, histories, people });
        let mut order: Vec<usize> = (0..package_count).collect();
        // The feed is in the order of the last publication.
        order.sort_by_key(|rank| (ecosystem.last_published_ms(*rank), *rank));
        let packages = order.into_iter().filter_map(|rank| {
            let name = ecosystem.names.get(rank)?;
            let revision = ecosystem.revision(rank);
            let maker = ecosystem.clone();
            let document = Document::from_recipe(move || packument::packument(&maker, rank).into_bytes());
            Some(Package::stored(name, &revision, document))
        });
        let mut world = World::new();
        world.extend(packages.collect());
        world.counts.seed = seed;
        world
    }
}

impl Ecosystem {
    fn releases(&self, rank: usize) -> &[Release] {
        self.histories.get(rank).map_or(&[], Vec::as_slice)
    }

    fn last_published_ms(&self, rank: usize) -> i64 {
        self.releases(rank).last().map_or(0, |release| release.published_ms)
    }

    /// Returns the revision of a package. Revisions outnumber publications: tags, owners and deprecations have theirs.
    fn revision(&self, rank: usize) -> String {
        let mut random = Random::new(self.seed, FATE_LABEL ^ ((rank as u64) << 32));
        let generation = self.releases(rank).len() as u64 + random.long_tail(8);
        let name = self.names.get(rank).map_or("", |name| name);
        format!("{generation}-{:032x}", hash(name.as_bytes()) ^ u128::from(random.next()))
    }

    /// Returns whether a package was unpublished: one in a hundred, never the most popular ones.
    fn is_tombstone(&self, rank: usize) -> bool {
        rank >= 60 && hash(format!("{} {rank}", self.seed).as_bytes()).is_multiple_of(100)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn documents(world: &World) -> Vec<Value> {
        let names: Vec<String> = world.names().map(str::to_owned).collect();
        names.iter().map(|name| serde_json::from_slice(&world.document(name).unwrap()).unwrap()).collect()
    }

    #[test]
    fn the_same_seed_always_gives_the_same_bytes() {
        let digest = |seed, count| {
            let world = World::seeded(seed, count);
            let names: Vec<String> = world.names().map(str::to_owned).collect();
            let all: Vec<u8> = names.iter().flat_map(|name| world.document(name).unwrap()).collect();
            format!("{:032x} {}", hash(&all), world.counts().update_seq)
        };
        assert_ne!(digest(1, 50), digest(2, 50));
        assert_eq!(digest(1, 200), "d1e5a0036e96ce838121d4e7af1ead5e 804");
    }

    #[test]
    fn it_looks_like_a_registry() {
        let world = World::seeded(42, 1000);
        assert_eq!(world.counts().packages, 1000);
        let documents = documents(&world);
        let share = |holds: &dyn Fn(&Value) -> bool| documents.iter().filter(|document| holds(document)).count();
        let scoped = share(&|document| document["name"].as_str().unwrap().starts_with('@'));
        assert!((400..600).contains(&scoped), "{scoped} scoped of 1000");
        let tombstones = share(&|document| document.get("versions").is_none());
        assert!((3..25).contains(&tombstones), "{tombstones} tombstones of 1000");
        let versions: usize = documents
            .iter()
            .filter_map(|document| document["versions"].as_object())
            .map(|versions| versions.len())
            .sum();
        assert!((5_000..30_000).contains(&versions), "{versions} versions");
        let mit = share(&|document| document["license"] == "MIT");
        assert!((450..680).contains(&mit), "{mit} under MIT of 1000");
    }

    #[test]
    fn documents_hold_together() {
        let world = World::seeded(7, 300);
        for document in documents(&world) {
            let name = document["name"].as_str().unwrap();
            assert_eq!(document["_rev"], world.revision(name).unwrap());
            let Some(versions) = document["versions"].as_object() else { continue };
            assert!(versions.contains_key(document["dist-tags"]["latest"].as_str().unwrap()), "{name}");
            for (number, version) in versions {
                assert_eq!(version["version"], number.as_str());
                assert!(document["time"][number].is_string(), "{name}@{number}");
                for kind in ["dependencies", "optionalDependencies", "peerDependencies", "devDependencies"] {
                    for dependency in version[kind].as_object().into_iter().flat_map(|edges| edges.keys()) {
                        assert!(world.revision(dependency).is_some(), "{name} needs {dependency}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_few_packages_carry_the_others() {
        let world = World::seeded(3, 1000);
        let mut dependents: BTreeMap<String, usize> = BTreeMap::new();
        for document in documents(&world) {
            let latest = document["dist-tags"]["latest"].as_str().unwrap_or_default();
            let edges = document["versions"][latest]["dependencies"].as_object();
            for dependency in edges.into_iter().flat_map(|edges| edges.keys()) {
                *dependents.entry(dependency.clone()).or_default() += 1;
            }
        }
        let mut counts: Vec<usize> = dependents.values().copied().collect();
        counts.sort_unstable_by(|left, right| right.cmp(left));
        assert!(counts[0] > 100, "the first hub has {} dependents", counts[0]);
        assert!(counts[0] > 20 * counts[counts.len() / 2], "{counts:?}");
    }
}
