//! Lists the names that the registry has: each range is paged to its end, many ranges ahead, in name order.
//!
//! Not here: how a page is asked for and decoded (`registry`), and what a new listing means (`diff`).
//!
//! Two promises. Every name that is in the registry from the beginning to the end of a scan is given once, whatever
//! comes and goes beside it. And what is given is strictly ascending by bytes; what the server lists out of that
//! order is put in its place where its page allows, and otherwise kept aside and handed over at the end
//! ([`ScanReport::misplaced`]), for the server's order is documented nowhere (npm-facts B).

mod all;
mod key_between;
mod misplaced;
mod range;
mod ranks;
mod report;
mod sieve;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;

pub use all::{RangePage, Scan, ScanOptions, scan_all};
pub use misplaced::with_misplaced;
pub use range::ScannedPage;
pub use ranks::{Balance, balanced_boundaries};
pub use report::{Oddities, ScanReport};

use crate::error::Result;
use crate::npm::{Page, PageQuery};

/// Whoever answers for `_all_docs`.
pub trait PageSource {
    /// One page, as the server gives it: rows from `query.start` (inclusive) to below `query.end`, in the server's
    /// order, `query.limit` at most. Retries, waits and limits are the source's own affair; an error is final.
    fn page(&self, query: &PageQuery) -> impl Future<Output = Result<Page>> + Send;
}

impl<S: PageSource> PageSource for &S {
    fn page(&self, query: &PageQuery) -> impl Future<Output = Result<Page>> + Send {
        (**self).page(query)
    }
}

impl<S: PageSource> PageSource for Arc<S> {
    fn page(&self, query: &PageQuery) -> impl Future<Output = Result<Page>> + Send {
        (**self).page(query)
    }
}
