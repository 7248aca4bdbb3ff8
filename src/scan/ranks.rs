//! Asks a registry for ranks: finds the boundaries that divide its names into equal shares, without listing them.
//!
//! The response to `startkey=…&limit=1` gives in `offset` how many names sort below the key. So the search guesses keys
//! for all boundaries at the same time, round by round. Once a known rank is near enough, one page shows the names
//! there. That is two to five requests a boundary on real names. A registry that does not give ranks, or has fewer
//! pages than boundaries, is paged through instead.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::ops::Range;

use futures::{StreamExt, TryStreamExt, stream};

use super::PageSource;
use super::key_between::{key_after_beginning, key_between};
use crate::error::{Error, Result};
use crate::lake::{PartSize, boundary_between};
use crate::npm::{MAX_PAGE_ROWS, Page, PageQuery};

/// The largest page that ends the search for a boundary in the first round: some 20 kB compressed …
const FIRST_PAGE_ROWS: f64 = 1_000.0;
/// … and its growth with each round. Where guessing does not come near, a larger page is cheaper.
const PAGE_GROWTH: f64 = 1.2;
/// Rounds of guesses. After them, the search follows pages of [`MAX_PAGE_ROWS`] rows above the known rank, as many as
/// it takes.
const GUESSING_ROUNDS: u32 = 24;
/// Every third guess leaps over all names that begin alike, since halving passes through those slowly.
const LEAP_EVERY: u32 = 3;

/// A registry with at most this many pages is paged through in any case: guessing would hardly be quicker.
const WALKED_PAGES: u64 = 8;

/// The boundaries that divide a registry's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The registry's own count of its names.
    pub total_rows: u64,
    /// The boundaries between the shares, strictly ascending. Each is the shortest beginning of the name above it that
    /// sorts above the name below it.
    pub boundaries: Vec<String>,
}

/// Finds the boundaries between shares of `size`, with `concurrency` requests at a time. The same names always give the
/// same boundaries. While names come and go, the boundaries are as good as the ranks at the time of the requests.
///
/// # Errors
///
/// Those of the source; [`crate::error::ErrorKind::Network`] for a registry that does not say how many names it has.
pub async fn balanced_boundaries<S: PageSource>(
    source: &S,
    size: PartSize,
    concurrency: NonZeroUsize,
) -> Result<Balance> {
    search(source, size, concurrency, WALKED_PAGES).await
}

async fn search<S: PageSource>(
    source: &S,
    size: PartSize,
    concurrency: NonZeroUsize,
    walked_pages: u64,
) -> Result<Balance> {
    let first = source.page(&PageQuery { start: None, end: None, limit: 1 }).await?;
    let Some(total_rows) = first.total_rows else {
        return Err(Error::network("the registry does not say how many names it has")
            .hint("give pivots of your own: --pivots FILE"));
    };
    let mut search = Search::new(total_rows, size.cut_ranks(total_rows));
    let pages = total_rows.div_ceil(u64::from(MAX_PAGE_ROWS) - 1);
    search.walks = first.offset.is_none() || pages <= walked_pages.max(search.open.len() as u64);
    // If a server contradicts itself, the boundaries found so far must suffice.
    let most_rounds = pages.saturating_add(u64::from(GUESSING_ROUNDS)).saturating_mul(2);
    while !search.open.is_empty() && u64::from(search.round) < most_rounds {
        let answers = stream::iter(search.next_queries())
            .map(|query| async move { source.page(&query).await.map(|page| (query, page)) })
            .buffered(concurrency.get());
        let answers: Vec<(PageQuery, Page)> = answers.try_collect().await?;
        for (query, page) in answers {
            search.learn(&query, &page);
        }
        search.round += 1;
    }
    Ok(Balance { total_rows, boundaries: search.boundaries.into_iter().collect() })
}

/// A search in progress.
#[derive(Debug)]
struct Search {
    total_rows: u64,
    /// Ranks with unknown names.
    open: BTreeSet<u64>,
    boundaries: BTreeSet<String>,
    /// How many names sort below a key, ascending in both.
    known: BTreeMap<String, u64>,
    round: u32,
    /// Whether the search follows pages one after the other instead of guessing.
    walks: bool,
}

impl Search {
    fn new(total_rows: u64, targets: Vec<u64>) -> Self {
        Search {
            total_rows,
            open: targets.into_iter().collect(),
            boundaries: BTreeSet::new(),
            known: BTreeMap::from([(String::new(), 0)]),
            round: 0,
            walks: false,
        }
    }

    /// Returns the queries of this round: each once, and at least one.
    fn next_queries(&self) -> Vec<PageQuery> {
        let points: Vec<(&String, u64)> = self.known.iter().map(|(key, rank)| (key, *rank)).collect();
        let growth = PAGE_GROWTH.powi(i32::try_from(self.round).unwrap_or(i32::MAX));
        let most_rows = if self.walks || self.round >= GUESSING_ROUNDS {
            u64::from(MAX_PAGE_ROWS)
        } else {
            (FIRST_PAGE_ROWS * growth).min(f64::from(MAX_PAGE_ROWS)) as u64
        };
        // The rows of a page from each known key, and guesses.
        let mut pages: BTreeMap<&str, u64> = BTreeMap::new();
        let mut guesses: BTreeSet<String> = BTreeSet::new();
        for &target in &self.open {
            // The name below the target is needed too, so the page begins at it or below.
            let above = points.partition_point(|(_, rank)| *rank < target);
            let Some(&(low, low_rank)) = above.checked_sub(1).and_then(|below| points.get(below)) else { continue };
            let rows = target - low_rank + 1;
            let high = points.get(above);
            if rows <= most_rows {
                let widest = pages.entry(low).or_insert(rows);
                *widest = rows.max(*widest);
                continue;
            }
            let high_rank = high.map_or(self.total_rows, |(_, rank)| *rank).max(target + 1);
            match self.guess(low, high.map(|(key, _)| key.as_str()), target - low_rank, high_rank - low_rank) {
                Some(key) => {
                    guesses.insert(key);
                }
                None => {
                    pages.insert(low, u64::from(MAX_PAGE_ROWS));
                }
            }
        }
        let pages = pages.into_iter().map(|(key, rows)| query(key, u32::try_from(rows).unwrap_or(MAX_PAGE_ROWS)));
        pages.chain(guesses.iter().map(|key| query(key, 1))).collect()
    }

    fn guess(&self, low: &str, high: Option<&str>, rows_to_target: u64, rows_between: u64) -> Option<String> {
        if self.walks || self.round >= GUESSING_ROUNDS {
            return None;
        }
        let halves = self.round % 2 == 1;
        let fraction = if halves { 0.5 } else { rows_to_target as f64 / rows_between as f64 };
        let leap = if self.round % LEAP_EVERY == LEAP_EVERY - 1 { key_after_beginning(low, high) } else { None };
        leap.or_else(|| key_between(low, high, fraction)).or_else(|| key_after_beginning(low, high))
    }

    /// Learns from a page: new known ranks, and the boundaries that it shows.
    fn learn(&mut self, query: &PageQuery, page: &Page) {
        let start = query.start.clone().unwrap_or_default();
        // A page without an offset has the rank known for its first key.
        let Some(offset) = page.offset.or_else(|| self.known.get(&start).copied()) else { return };
        self.note(start, offset);
        let mut before: Option<&str> = None;
        for (rank, row) in (offset..).zip(&page.rows) {
            let name = row.name.as_str();
            if let Some(before) = before.filter(|before| *before < name)
                && self.open.remove(&rank)
            {
                self.boundaries.insert(boundary_between(before, name).to_owned());
            }
            before = Some(name);
        }
        let last_rank = offset + (page.rows.len() as u64).saturating_sub(1);
        if let Some(first) = page.rows.first() {
            self.note(first.name.as_str().to_owned(), offset);
        }
        if let Some(last) = page.rows.last() {
            self.note(last.name.as_str().to_owned(), last_rank);
        }
        if query.limit > 1 {
            self.settle(offset..offset.saturating_add(u64::from(query.limit)), page);
        }
    }

    /// Gives up the boundaries that a page should have shown and did not, because names went meanwhile or its rows are
    /// unusable: the last boundary that it did show serves instead.
    fn settle(&mut self, covered: Range<u64>, page: &Page) {
        let missed: Vec<u64> = self.open.range(covered).copied().collect();
        for rank in missed {
            // A page begins below its target; its own first row may be another's target.
            if Some(rank) != page.offset {
                self.open.remove(&rank);
                if let [.., before, name] = page.rows.as_slice()
                    && before.name < name.name
                {
                    self.boundaries.insert(boundary_between(before.name.as_str(), name.name.as_str()).to_owned());
                }
            }
        }
    }

    /// Keeps a rank unless it contradicts its neighbours, as it may while names come and go.
    fn note(&mut self, key: String, rank: u64) {
        let below = self.known.range(..key.clone()).next_back().is_none_or(|(_, below)| *below <= rank);
        let above = self.known.range(key.clone()..).find(|(at, _)| **at != key).is_none_or(|(_, above)| *above >= rank);
        if below && above {
            self.known.insert(key, rank);
        }
    }
}

fn query(start: &str, limit: u32) -> PageQuery {
    let start = if start.is_empty() { None } else { Some(start.to_owned()) };
    PageQuery { start, end: None, limit }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroU64;

    use super::super::test_server::{Edit, Habits, TestServer};
    use super::*;

    async fn balance(server: &TestServer, parts: u64) -> Balance {
        let size = PartSize::Count(NonZeroU64::new(parts).unwrap());
        search(server, size, NonZeroUsize::new(8).unwrap(), 0).await.unwrap()
    }

    /// Returns the number of the server's names in each part.
    fn part_sizes(server: &TestServer, boundaries: &[String]) -> Vec<usize> {
        let names = server.names();
        let mut cuts: Vec<usize> =
            boundaries.iter().map(|boundary| names.partition_point(|name| name < boundary)).collect();
        cuts.insert(0, 0);
        cuts.push(names.len());
        cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn assert_even(server: &TestServer, parts: u64) -> usize {
        let balance = futures::executor::block_on(balance(server, parts));
        let sizes = part_sizes(server, &balance.boundaries);
        assert_eq!(sizes.len() as u64, parts.min(balance.total_rows));
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        let requests = server.queries().len();
        assert!(server.queries().iter().all(|query| (1..=MAX_PAGE_ROWS).contains(&query.limit)));
        requests
    }

    #[test]
    fn shares_differ_by_one_name_at_most() {
        let lumps = (0..30_000).map(|n| format!("react-native-{n:05}"));
        let names = lumps.chain((0..5_000).map(|n| format!("@types/x{n}"))).chain((0..5_000).map(|n| format!("{n}")));
        let names: Vec<String> = names.collect();
        for parts in [1, 2, 3, 26] {
            let requests = assert_even(&TestServer::new(names.clone()), parts);
            assert!(requests <= 24 + 6 * parts as usize, "{requests} requests for {parts} parts");
        }
        assert!(assert_even(&TestServer::new(names.clone()), 1_000) <= 6, "a walk through five pages is cheaper");
        for few in [0, 1, 2, 5] {
            let few = TestServer::new(names.iter().take(few).cloned());
            let parts = futures::executor::block_on(balance(&few, 3)).boundaries.len() + 1;
            assert_eq!(parts, few.names().len().clamp(1, 3));
        }
    }

    #[test]
    fn the_same_names_give_the_same_boundaries() {
        let server = TestServer::new((0..20_000).map(|n| format!("n{}", n * 7919 % 20_011)));
        let first = futures::executor::block_on(balance(&server, 9));
        assert_eq!(futures::executor::block_on(balance(&server, 9)), first);
    }

    #[test]
    fn a_faulty_server_gets_a_bounded_number_of_requests() {
        let names = || (0..25_000).map(|n| format!("{}{n}", if n % 2 == 0 { "A" } else { "a" }));
        for habits in [
            Habits { folds_case: true, ..Habits::default() },
            Habits { stutters: true, ..Habits::default() },
            Habits { ignores_start: true, ..Habits::default() },
            Habits { unusable_rows: 3, ..Habits::default() },
        ] {
            let server = TestServer::new(names()).with_habits(habits);
            let found = futures::executor::block_on(balance(&server, 5)).boundaries;
            assert!(found.len() <= 4 && found.is_sorted(), "{habits:?}: {found:?}");
            assert!(server.queries().len() < 300, "{habits:?}: {}", server.queries().len());
        }
        let edits = (0..200).map(|n| Edit::Delete(format!("a{}", n * 2 + 1)));
        let server = TestServer::new(names()).with_edits(edits);
        assert_eq!(futures::executor::block_on(balance(&server, 5)).boundaries.len(), 4);
    }
}
