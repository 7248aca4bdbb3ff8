//! The promises of a scan, against a server that really has names, keys and limits. The faults are numbered as those of
//! the system that this one replaces.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;

use super::range::{LongestPage, RangeScan};
use super::test_server::{Edit, Habits, TestServer};
use super::*;
use crate::error::{Error, ErrorKind};
use crate::lake::{Partition, Pivots};
use crate::npm::{DocRow, MAX_PAGE_ROWS};

fn ranges(pivots: &[&str]) -> Vec<Partition> {
    let pivots = Pivots::new(pivots.iter().map(|&key| key.to_owned()).collect()).unwrap();
    pivots.ranges().collect()
}

fn options(page_rows: u32, concurrency: usize) -> ScanOptions {
    ScanOptions { page_rows, concurrency: NonZeroUsize::new(concurrency).unwrap() }
}

/// Returns the names of each range in the order of arrival, and the report.
async fn scan(
    server: &Arc<TestServer>,
    ranges: Vec<Partition>,
    options: ScanOptions,
) -> Result<(Vec<Vec<String>>, ScanReport)> {
    let mut names = vec![Vec::new(); ranges.len()];
    let mut scan = scan_all(Arc::clone(server), ranges, options);
    while let Some(page) = scan.next().await {
        let page = page?;
        names[page.range_index].extend(page.rows.iter().map(|row| row.name.to_string()));
    }
    let report = scan.into_report();
    assert_eq!(report.rows_by_range, names.iter().map(|names| names.len() as u64).collect::<Vec<_>>());
    Ok((names, report))
}

/// Returns the pages of all names as one range.
async fn pages(server: &TestServer, page_rows: u32) -> Vec<ScannedPage> {
    let mut scan = RangeScan::new(server, Partition::ALL, page_rows, LongestPage::default());
    let mut pages = Vec::new();
    while let Some(page) = scan.next_page().await.unwrap() {
        pages.push(page);
    }
    pages
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[tokio::test]
async fn a_server_that_returns_fewer_rows_than_requested_is_listed_completely() {
    let names: Vec<String> = (0..2_500).map(|number| format!("name-{number:05}")).collect();
    let habits = Habits { most_rows: Some(1_000), ..Habits::default() };
    let server = Arc::new(TestServer::new(names).with_habits(habits));
    let pivots = ["b", "name-00700", "o", "p"];
    let (names, report) = scan(&server, ranges(&pivots), ScanOptions::default()).await.unwrap();
    assert_eq!(names.concat(), server.names());
    assert_eq!(report.missing_rows(), Some(0));
    let (names, _) = scan(&server, ranges(&pivots), options(MAX_PAGE_ROWS, 1)).await.unwrap();
    assert_eq!(names.concat(), server.names());
}

#[tokio::test]
async fn a_scan_continues_after_a_short_page_only_if_none_was_longer() {
    let names = |letter: char, count: u32| (0..count).map(move |number| format!("{letter}{number:02}"));
    let server = Arc::new(TestServer::new(names('a', 20).chain(names('k', 30)).chain(names('x', 25))));
    scan(&server, ranges(&["k", "x"]), options(MAX_PAGE_ROWS, 1)).await.unwrap();
    let starts: Vec<_> = server.queries().into_iter().map(|query| query.start.unwrap_or_default()).collect();
    assert_eq!(starts, ["", "a19", "k", "k29", "x"], "25 rows are fewer than 30, which were all there were");
}

#[tokio::test]
async fn fault_1_a_range_of_more_than_10_000_rows_is_listed_whole() {
    let server = Arc::new(TestServer::new((0..25_001).map(|number| format!("name-{number:05}"))));
    let (names, report) = scan(&server, ranges(&["b"]), ScanOptions::default()).await.unwrap();
    assert!(names[0].is_empty());
    assert_eq!(names[1], server.names());
    assert_eq!((report.missing_rows(), report.ranges_done), (Some(0), 2));
    assert!(report.oddities.is_empty() && report.misplaced.is_empty());
    let starts: Vec<_> = server.queries().into_iter().filter_map(|query| query.start).collect();
    assert_eq!(starts, ["b", "name-09999", "name-19998"]);
    assert!(server.queries().iter().all(|query| query.limit == MAX_PAGE_ROWS));
}

#[tokio::test]
async fn fault_2_names_before_the_first_and_after_the_last_pivot_are_listed() {
    let server = Arc::new(TestServer::new(["!", "-", "0", "@a/b", "a", "m", "z", "zz", "~", "é", "😀"]));
    let (names, _) = scan(&server, ranges(&["0", "m", "z"]), ScanOptions::default()).await.unwrap();
    assert_eq!(names, [vec!["!", "-"], vec!["0", "@a/b", "a"], vec!["m"], vec!["z", "zz", "~", "é", "😀"]]);
}

#[tokio::test]
async fn fault_3_a_name_equal_to_a_pivot_is_in_one_range_whatever_the_server_takes_its_end_for() {
    for has_inclusive_end in [false, true] {
        let habits = Habits { has_inclusive_end, ..Habits::default() };
        let server = Arc::new(TestServer::new(["a", "b", "b0", "c"]).with_habits(habits));
        let (names, report) = scan(&server, ranges(&["b", "c"]), options(2, 1)).await.unwrap();
        assert_eq!(names, [vec!["a"], vec!["b", "b0"], vec!["c"]]);
        assert!(report.oddities.is_empty());
    }
}

#[tokio::test]
async fn the_first_row_of_a_page_is_kept_if_it_is_not_the_cursor() {
    // After the first page ends with "c", "c" is deleted: the next page begins with "d", which is new.
    let server = TestServer::new(["a", "b", "c", "d", "e"]).with_edits([Edit::Delete("c".to_owned())]);
    let pages = pages(&server, 3).await;
    let names: Vec<_> = pages.iter().flat_map(|page| &page.rows).map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_range_that_fills_its_last_page_ends_with_a_page_of_the_cursor_alone() {
    let server = TestServer::new(["a", "b", "c"]);
    let pages = pages(&server, 3).await;
    let sizes: Vec<_> = pages.iter().map(|page| (page.rows.len(), page.is_last)).collect();
    assert_eq!(sizes, [(3, false), (0, true)]);
}

#[tokio::test]
async fn a_server_that_ignores_the_start_key_is_found_out() {
    let habits = Habits { ignores_start: true, ..Habits::default() };
    let server = Arc::new(TestServer::new((0..50).map(|number| format!("n{number:02}"))).with_habits(habits));
    let error = scan(&server, ranges(&[]), options(10, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.report().contains("startkey"), "{error:?}");
    assert!(server.queries().len() < 5);
}

#[tokio::test]
async fn a_scan_ends_after_pages_without_usable_rows() {
    let habits = Habits { unusable_rows: 4, ..Habits::default() };
    let server = Arc::new(TestServer::new(["a", "b"]).with_habits(habits));
    let error = scan(&server, ranges(&[]), options(4, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    let (names, report) = scan(&server, ranges(&[]), options(9, 1)).await.unwrap();
    assert_eq!((names, report.oddities.unusable), (vec![vec!["a".to_owned(), "b".to_owned()]], 4));
}

#[tokio::test]
async fn a_repeated_row_is_kept_once_at_its_later_revision() {
    let server = TestServer::new(["a", "b"]).with_habits(Habits { stutters: true, ..Habits::default() });
    let pages = pages(&server, 10).await;
    assert_eq!(pages[0].rows, [DocRow::new("a", "2-x"), DocRow::new("b", "2-x")]);
    assert_eq!((pages[0].oddities.repeated, pages[0].oddities.out_of_order), (2, 0));
    assert_eq!(pages[0].oddities.examples[0], "\"a\" came twice");
}

#[tokio::test]
async fn the_registry_s_own_count_shows_what_is_missing() {
    let server = Arc::new(TestServer::new(["a", "b", "c", "d"]).with_edits([Edit::Publish("e".to_owned())]));
    let mut two_of_three = ranges(&["b", "c"]);
    two_of_three.remove(1);
    let (_, report) = scan(&server, two_of_three, options(10, 1)).await.unwrap();
    assert_eq!((report.total_rows_at_first, report.total_rows_at_last), (Some(4), Some(5)));
    assert_eq!((report.listed_rows(), report.missing_rows()), (4, Some(0)));
    let (_, report) = scan(&server, ranges(&["b", "c"])[..2].to_vec(), options(10, 1)).await.unwrap();
    assert_eq!((report.listed_rows(), report.missing_rows()), (2, Some(3)));
}

/// Fails in the range that begins with `b`, and never responds in the one that begins with `c`.
#[derive(Default)]
struct BrokenSource {
    requests_under_way: Arc<AtomicUsize>,
}

impl PageSource for BrokenSource {
    async fn page(&self, query: &PageQuery) -> Result<Page> {
        struct Guard(Arc<AtomicUsize>);
        impl Drop for Guard {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.requests_under_way.fetch_add(1, Ordering::Relaxed);
        let _guard = Guard(Arc::clone(&self.requests_under_way));
        match query.start.as_deref() {
            Some("b") => Err(Error::network("connection reset")),
            Some("c") => std::future::pending().await,
            _ => Ok(Page { rows: vec![DocRow::new("a", "1-x")], ..Page::default() }),
        }
    }
}

#[tokio::test]
async fn an_error_is_returned_in_order_with_its_position_and_ends_the_scan() {
    let source = Arc::new(BrokenSource::default());
    let mut scan = scan_all(Arc::clone(&source), ranges(&["b", "c", "d"]), options(10, 3));
    assert_eq!(scan.next().await.unwrap().unwrap().rows.len(), 1);
    let error = scan.next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains(r#"listing the names of ["b", "c")"#), "{error}");
    assert!(scan.next().await.is_none());
    settle().await;
    assert_eq!(source.requests_under_way.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn dropping_a_scan_ends_its_requests() {
    let source = Arc::new(BrokenSource::default());
    let mut scan = scan_all(Arc::clone(&source), ranges(&["c"]), options(10, 2));
    scan.next().await.unwrap().unwrap();
    settle().await;
    assert_eq!(source.requests_under_way.load(Ordering::Relaxed), 1);
    drop(scan);
    settle().await;
    assert_eq!(source.requests_under_way.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn ranges_ahead_fill_their_channels_and_no_more() {
    let server = Arc::new(TestServer::new((0..900).map(|number| format!("{}{number:03}", number / 100))));
    let mut scan = scan_all(Arc::clone(&server), ranges(&["1", "2", "3", "4", "5", "6", "7", "8"]), options(10, 3));
    scan.next().await.unwrap().unwrap();
    settle().await;
    // One page taken, and of each of three ranges two that wait and one that waits to be put there.
    assert_eq!(server.queries().len(), 1 + 3 * 3);
    assert_eq!(
        scan.map_ok(|page| page.rows.len()).try_fold(0, |sum, rows| async move { Ok(sum + rows) }).await.unwrap(),
        890
    );
}

/// Lets every task run until all of them wait.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn misplaced_rows_beyond_the_bound_are_an_error() {
    let mut misplaced = super::misplaced::Misplaced::default();
    for number in 0..super::misplaced::MAX_MISPLACED_ROWS {
        assert!(misplaced.add(DocRow::new(number.to_string(), "1-x")).unwrap());
    }
    assert!(!misplaced.add(DocRow::new("0", "2-x")).unwrap());
    let error = misplaced.add(DocRow::new("x", "1-x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert_eq!(misplaced.into_rows()[0], DocRow::new("0", "2-x"));
}

#[test]
fn misplaced_rows_are_put_back_once_and_errors_are_passed_on() {
    let rows = || ["b", "d"].map(|name| Ok(DocRow::new(name, "2-x")));
    let misplaced =
        || vec![DocRow::new("a", "1-x"), DocRow::new("b", "1-x"), DocRow::new("d", "3-x"), DocRow::new("e", "1-x")];
    let merged: Vec<_> = with_misplaced(rows(), misplaced()).map(Result::unwrap).collect();
    let told: Vec<_> = merged.iter().map(|row| format!("{}@{}", row.name, row.rev)).collect();
    assert_eq!(told, ["a@1-x", "b@2-x", "d@3-x", "e@1-x"]);
    let broken = rows().into_iter().chain([Err(Error::lake("damaged")), Ok(DocRow::new("z", "1-x"))]);
    let merged: Vec<_> = with_misplaced(broken, misplaced()).collect();
    assert_eq!((merged.len(), merged[3].is_err()), (4, true));
}

/// Names that differ in prefixes, case and neighbours.
const NAMES: &str = "[-@/0aAbBzé😀]{1,3}";

fn some_ranges() -> impl Strategy<Value = Vec<Partition>> {
    proptest::collection::btree_set("[-@/0aAbBzé]{1,2}", 0..6)
        .prop_map(|keys| Pivots::new(keys.into_iter().collect()).unwrap().ranges().collect())
}

fn some_edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit =
        (NAMES, any::<bool>()).prop_map(|(name, is_new)| if is_new { Edit::Publish(name) } else { Edit::Delete(name) });
    proptest::collection::vec(edit, 0..40)
}

proptest! {
    #[test]
    fn every_stable_name_is_given_once_in_order_whatever_changes_between_pages(
        names in proptest::collection::btree_set(NAMES, 0..60),
        edits in some_edits(),
        ranges in some_ranges(),
        page_rows in prop_oneof![2u32..9, 9u32..60],
        concurrency in 1usize..4,
        has_inclusive_end in any::<bool>(),
        most_rows in proptest::option::of(10u32..30),
    ) {
        let touched: BTreeSet<&String> =
            edits.iter().map(|edit| match edit { Edit::Publish(name) | Edit::Delete(name) => name }).collect();
        let habits = Habits { has_inclusive_end, most_rows, ..Habits::default() };
        let server = Arc::new(TestServer::new(names.clone()).with_edits(edits.clone()).with_habits(habits));
        let (listed, report) = block_on(scan(&server, ranges.clone(), options(page_rows, concurrency))).unwrap();

        for (range, listed) in ranges.iter().zip(&listed) {
            prop_assert!(listed.iter().all(|name| range.contains(name)));
        }
        let listed = listed.concat();
        prop_assert!(listed.windows(2).all(|pair| pair[0] < pair[1]), "{listed:?}");
        let stable = names.iter().filter(|name| !touched.contains(name));
        for name in stable {
            prop_assert!(listed.contains(name), "{name:?} is missing");
        }
        prop_assert!(report.oddities.is_empty() && report.misplaced.is_empty());
        if edits.is_empty() {
            prop_assert_eq!(report.missing_rows(), Some(0));
        }
    }

    /// In any order of the server's, the ranges lead from an open end to an open end, so each name lies in some range
    /// of the server's; a name given in a wrong one is kept aside.
    #[test]
    fn no_name_is_lost_where_the_server_sorts_otherwise(
        names in proptest::collection::btree_set(NAMES, 0..60),
        ranges in some_ranges(),
        page_rows in 2u32..9,
        has_inclusive_end in any::<bool>(),
        ignores_end in any::<bool>(),
        folds_case in any::<bool>(),
    ) {
        let habits = Habits { folds_case, has_inclusive_end, ignores_end, ..Habits::default() };
        let server = Arc::new(TestServer::new(names.clone()).with_habits(habits));
        let (listed, report) = block_on(scan(&server, ranges, options(page_rows, 2))).unwrap();
        let listed = listed.concat();
        prop_assert!(listed.windows(2).all(|pair| pair[0] < pair[1]), "{listed:?}");
        let rows = listed.iter().map(|name| Ok(DocRow::new(name.as_str(), "1-x")));
        let merged: Vec<String> =
            with_misplaced(rows, report.misplaced).map(|row| row.unwrap().name.to_string()).collect();
        prop_assert_eq!(merged, names.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_server_that_ignores_keys_ends_in_an_error_or_a_whole_listing(
        names in proptest::collection::btree_set(NAMES, 0..40),
        ranges in some_ranges(),
        page_rows in 2u32..9,
        folds_case in any::<bool>(),
        stutters in any::<bool>(),
    ) {
        let habits = Habits { ignores_start: true, ignores_end: true, folds_case, stutters, ..Habits::default() };
        let server = Arc::new(TestServer::new(names.clone()).with_habits(habits));
        if let Ok((listed, report)) = block_on(scan(&server, ranges, options(page_rows, 2))) {
            let rows = listed.concat().into_iter().map(|name| Ok(DocRow::new(name, "1-x"))).collect::<Vec<_>>();
            let merged = with_misplaced(rows, report.misplaced).map(|row| row.unwrap().name.to_string());
            prop_assert_eq!(merged.collect::<BTreeSet<_>>(), names);
        }
    }
}
