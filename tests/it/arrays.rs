//! The Zarr arrays of a lake, read by zarr-python, xarray, scipy and dask.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use all_docs::array::{Counts, Downloads, Right};
use all_docs::lake::Layout;
use all_docs::pipeline::{PartitionMode, open_downloads};
use all_docs::sample::World;
use all_docs::store::Store;
use jiff::ToSpan;
use jiff::civil::{Date, date};

use crate::support::{Env, run, run_binary, run_python, stderr, stdout};

/// Returns the Pythons with the readers of arrays, of different versions; none, with a notice, where there are none. CI
/// fails then.
pub fn pythons() -> Vec<PathBuf> {
    match std::env::var_os("ALL_DOCS_ARRAYS_PYTHONS") {
        Some(pythons) => std::env::split_paths(&pythons).collect(),
        None => {
            assert!(std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_none(), "ALL_DOCS_ARRAYS_PYTHONS is not set");
            eprintln!(
                "skipped: set ALL_DOCS_ARRAYS_PYTHONS to Pythons with tests/tools/requirements-arrays.txt installed"
            );
            Vec::new()
        }
    }
}

/// A lake with a few hundred packages.
async fn lake() -> Env {
    let env = Env::new(World::seeded(77, 400));
    let mut options = env.options(&["d", "m", "t"]);
    options.partitions = PartitionMode::Exact;
    run(options).await.unwrap();
    env
}

/// Records some downloads of each package, and returns the known ones: name, day, count.
async fn record_downloads(store: &Store) -> (Downloads, Vec<(String, Date, u64)>) {
    let today = date(2026, 11, 29);
    let (axis, downloads) = open_downloads(store, &Layout::origin("sample"), today, today, &[]).await.unwrap();
    let right: Right = Arc::new(|| Ok(()));
    let mut known = Vec::new();
    for block in downloads.blocks() {
        let mut writer = downloads.writer(&block, &right).await.unwrap();
        for row in block.rows.clone().filter(|row| row % 7 != 3) {
            let since = date(2025, 10, 1) - i64::from(row % 300).days();
            // Leading zeros, days that have not landed, and zeros between.
            let count = |day: u64| match day {
                0..3 => Some(0),
                _ if (day + u64::from(row)).is_multiple_of(11) => None,
                _ if day.is_multiple_of(5) => Some(0),
                _ => Some(day * u64::from(row % 17) * 1_000_003 % 4_294_967_295),
            };
            let counts: Vec<Option<u64>> = (0..200).map(count).collect();
            let days = (0..).zip(&counts).skip_while(|(_, count)| count.unwrap_or_default() == 0);
            let cells =
                days.filter_map(|(day, count)| Some((axis.name(row).to_owned(), since + day.days(), (*count)?)));
            known.extend(cells);
            writer.record(Counts { row, since, counts }).await.unwrap();
        }
        writer.finish().await.unwrap();
    }
    downloads.finish().await.unwrap();
    (downloads, known)
}

fn write_expected(folder: &Path, known: &[(String, Date, u64)]) -> String {
    let path = folder.join("expected_downloads.json");
    let known: Vec<_> = known.iter().map(|(name, day, count)| (name, day.to_string(), count)).collect();
    std::fs::write(&path, serde_json::to_string(&known).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn zarr_python_xarray_scipy_and_dask_read_what_the_tables_and_the_counts_say() {
    let env = lake().await;
    let (_, known) = record_downloads(&env.store()).await;
    assert!(known.len() > 10_000);
    let output = run_binary(env.folder.path(), &["arrays", "--lake", "lake", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let built = &summary["origins"][0];
    assert!(built["graph_edges"].as_u64().unwrap() > 200 && built["versions"].as_u64().unwrap() > 500, "{summary}");
    let output = run_binary(env.folder.path(), &["arrays", "--lake", "lake"]);
    assert!(stderr(&output).contains("0 objects written"), "{}", stderr(&output));
    let output = run_binary(env.folder.path(), &["verify", "--lake", "lake"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let expected = write_expected(env.folder.path(), &known);
    let origin = crate::support::origin_folder(&env.lake());
    for python in pythons() {
        let told = run_python(&python, "read_arrays.py", &[origin.to_str().unwrap(), &expected]);
        assert!(told.contains(&format!("{} known downloads", known.len())), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_zarr_python_wrote_are_read_and_kept_by_the_next_fold() {
    let Some(python) = pythons().pop() else { return };
    let env = lake().await;
    let (downloads, _) = record_downloads(&env.store()).await;
    let path = crate::support::origin_folder(&env.lake()).join("downloads.zarr");
    let program = "import sys, zarr\n\
        counts = zarr.open_array(sys.argv[1] + '/downloads', mode='r+')\n\
        counts[5, -3:] = [7, 2**32 - 1, 2**32 - 2]\n\
        counts[200:300, 100] = 9";
    let output = std::process::Command::new(python).args(["-c", program, path.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let last = downloads.last_day();
    let read =
        async |row: u32, days: std::ops::RangeInclusive<Date>| downloads.read(&[row], days).await.unwrap().remove(0);
    assert_eq!(read(5, last - 2.days()..=last).await, [Some(7), None, Some(4_294_967_294)]);
    let right: Right = Arc::new(|| Ok(()));
    let mut writer = downloads.writer(&downloads.blocks()[0], &right).await.unwrap();
    writer.record(Counts { row: 3, since: last, counts: vec![Some(1)] }).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(read(5, last - 2.days()..=last).await, [Some(7), None, Some(4_294_967_294)]);
    assert_eq!(read(3, last..=last).await, [Some(1)]);
    let day = date(2015, 1, 10) + 100.days();
    assert_eq!(read(250, day..=day).await, [Some(9)]);
}
