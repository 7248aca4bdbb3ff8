//! `pivots`, and an ingest without any: even shares, from a lake or by requesting ranks.

use std::fs;
use std::path::Path;

use all_docs::lake::Pivots;
use all_docs::sample::World;
use all_docs::script::read_pivots;

use super::{answer, exit_code, pages_asked, run, small_lake};
use crate::support::{Env, shared_corpus, stderr};

/// Returns the number of `names`, in the order of bytes, in each range.
fn range_sizes(names: &[String], pivots: &Pivots) -> Vec<usize> {
    let mut cuts: Vec<usize> = pivots.keys().iter().map(|key| names.partition_point(|name| name < key)).collect();
    cuts.insert(0, 0);
    cuts.push(names.len());
    cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn assert_even(names: &[String], pivots: &Pivots, ranges: usize) {
    let sizes = range_sizes(names, pivots);
    assert_eq!(sizes.len(), ranges);
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
}

fn pivots_of_file(path: &Path) -> Pivots {
    read_pivots(&fs::read_to_string(path).unwrap(), path.to_str().unwrap()).unwrap()
}

#[test]
fn pivots_of_a_lake_and_of_its_registry_are_the_same() {
    let mut world = World::new();
    world.add_names((0..1_003).map(|n| format!("p{}", n * 7919 % 1_009)));
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    let env = Env::new(world);
    let asked = answer(&env, &["pivots", "--count", "7", "--origin", "ORIGIN"]);
    assert!(pages_asked(&env).len() <= 3, "1,003 names are one page");
    assert!(!env.lake().exists(), "nothing is written where there is no lake");
    answer(&env, &["ingest", "--origin", "ORIGIN", "--packuments", "none", "--partition-rows", "100"]);
    env.server.clear_requests();
    assert_eq!(answer(&env, &["pivots", "--count", "7"]), asked);
    assert!(env.server.requests().is_empty(), "the lake knows");
    assert_even(&names, &read_pivots(&asked, "pivots.json").unwrap(), 7);
    answer(&env, &["pivots", "--count", "7", "--ask", "--origin", "npm"]);
    assert!(!env.server.requests().is_empty());

    answer(&env, &["pivots", "--max-rows", "100", "--output", "pivots.js"]);
    let module = fs::read_to_string(env.folder.path().join("pivots.js")).unwrap();
    assert!(module.starts_with("export const pivots = [\n  null,"), "{module}");
    assert_even(&names, &pivots_of_file(&env.folder.path().join("pivots.js")), 11);
    let both = run(&env, &["pivots", "--count", "7", "--max-rows", "3"]);
    assert_eq!(exit_code(&both), Some(2), "{}", stderr(&both));
}

#[test]
fn an_ingest_without_pivots_asks_once_and_then_uses_the_lake() {
    let env = small_lake(&["a", "b", "c", "d", "e", "f"]);
    let set: serde_json::Value =
        serde_json::from_slice(&fs::read(env.lake().join("npm/partitions.json")).unwrap()).unwrap();
    assert_eq!(set["boundaries"], serde_json::json!(["c", "e"]));
    answer(&env, &["ingest", "--origin", "ORIGIN"]);
    let pages = pages_asked(&env);
    assert_eq!(pages.len(), 3, "one page a partition: {pages:?}");
    assert!(pages.iter().all(|page| page.starts_with("limit=10000")), "{pages:?}");
}

#[test]
fn real_names_are_parted_evenly_by_few_questions() {
    let Some(corpus) = shared_corpus() else { return };
    let file = fs::File::open(corpus.join("names.ndjson.zst")).unwrap();
    let lines = zstd::stream::read::Decoder::new(file).unwrap();
    let names = std::io::BufRead::lines(std::io::BufReader::new(lines));
    let mut names: Vec<String> = names.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    names.sort();
    names.dedup();
    let mut world = World::new();
    world.add_names(&names);
    let env = Env::new(world);
    let mut asked = Vec::new();
    for (count, most_requests_per_pivot) in [(26, 8.0), (100, 5.0)] {
        let pivots = answer(&env, &["pivots", "--count", &count.to_string(), "--origin", "ORIGIN"]);
        let requests = pages_asked(&env);
        assert_even(&names, &read_pivots(&pivots, "pivots.json").unwrap(), count);
        let per_pivot = requests.len() as f64 / (count - 1) as f64;
        eprintln!("{count} ranges of {} names: {per_pivot:.1} requests a pivot", names.len());
        assert!(per_pivot <= most_requests_per_pivot, "{} requests for {count} ranges", requests.len());
        asked.push(pivots);
    }
    answer(&env, &["partition", "refresh", "--origin", "ORIGIN"]);
    assert_eq!(answer(&env, &["pivots", "--count", "26"]), asked[0], "the lake and the registry agree");
    assert_even(&names, &read_pivots(&answer(&env, &["pivots", "--count", "999"]), "pivots.json").unwrap(), 999);
}
