//! Lists the names in the registry: pages each range to its end, many ranges ahead, in name order.
//!
//! Not here: requesting and decoding a page (`registry`), and the meaning of a new listing (`diff`).
//!
//! The module makes two promises. A scan returns every name exactly once that is in the registry from the scan's
//! beginning to its end, whatever other names change meanwhile. The returned names are strictly ascending by bytes. A
//! row that the server lists out of that order is put in its place if its page allows it. Otherwise it is kept aside
//! and returned at the end ([`ScanReport::misplaced`]), because the server's order is not documented (npm-facts B).

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

/// A source of `_all_docs` pages.
pub trait PageSource {
    /// Returns one page as the server sends it: rows from `query.start` (inclusive) up to `query.end` (exclusive), in
    /// the server's order, `query.limit` at most. The source handles retries, waits and limits; an error is final.
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
