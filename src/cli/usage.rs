//! The operations of a run in buckets, and their price, for people and for programs. Not here: the counts and the prices
//! (`store`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::log;
use super::printer::Printer;
use crate::store::{ListPrices, Store, StoreUsage};

/// A result with the use of a bucket beside it.
#[derive(Serialize)]
pub(super) struct WithUsage<'a, T> {
    #[serde(flatten)]
    result: &'a T,
    /// The use of the lake's bucket; none on a local disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Report>,
}

impl<'a, T> WithUsage<'a, T> {
    pub(super) fn new(result: &'a T, store: &Store) -> Self {
        WithUsage { result, store: Report::of(store) }
    }
}

/// The use of a bucket.
#[derive(Serialize)]
pub(super) struct Report {
    location: String,
    /// How many operations of each kind were sent.
    operations: BTreeMap<&'static str, u64>,
    retries: u64,
    bytes_up: u64,
    bytes_down: u64,
    /// The price of the operations; none for a server without a list of prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    operations_usd: Option<f64>,
    /// The price of the bytes that were read, if all of them left the provider's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_usd_at_most: Option<f64>,
}

impl Report {
    /// Returns the use of a store; `None` if it is a disk, or was not used.
    pub(super) fn of(store: &Store) -> Option<Report> {
        let (usage, prices) = (store.usage(), store.list_prices());
        (usage.operations() > 0).then(|| Report {
            location: store.location(),
            operations: usage.by_kind().into_iter().filter(|(_, count)| *count > 0).collect(),
            retries: usage.retries,
            bytes_up: usage.bytes_up,
            bytes_down: usage.bytes_down,
            operations_usd: prices.map(|prices| prices.operations_usd(&usage)),
            transfer_usd_at_most: prices.map(|prices| prices.transfer_usd(&usage)),
        })
    }
}

/// Prints the use of each store that is a bucket.
pub(super) fn tell(printer: &Printer, stores: &[Store]) {
    for store in stores {
        let usage = store.usage();
        if usage.operations() > 0 {
            printer.note(&format!("  bucket   {}: {}", store.location(), describe(&usage, store.list_prices())));
        }
    }
}

/// Describes a use: `1,234 operations (410 puts, …), 1.2 GB up, 30.0 MB down, about $0.01 at list prices`.
fn describe(usage: &StoreUsage, prices: Option<ListPrices>) -> String {
    let kinds = usage.by_kind().into_iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{} {kind}", log::count(count))).collect();
    let mut text = format!(
        "{} operations ({}), {} up, {} down",
        log::count(usage.operations()),
        kinds.join(", "),
        log::bytes(usage.bytes_up),
        log::bytes(usage.bytes_down),
    );
    if usage.retries > 0 {
        text.push_str(&format!(", {} retries", log::count(usage.retries)));
    }
    if let Some(prices) = prices {
        text.push_str(&format!(", {} at list prices", usd(prices.operations_usd(usage))));
        let transfer = prices.transfer_usd(usage);
        if transfer >= 0.005 {
            text.push_str(&format!(", and {} more if what came down left the provider's network", usd(transfer)));
        }
    }
    text
}

fn usd(amount: f64) -> String {
    if amount < 0.005 { "less than $0.01".to_owned() } else { format!("about ${amount:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_described_with_its_price() {
        let prices = ListPrices { usd_per_million_writes: 5.0, usd_per_million_reads: 0.4, usd_per_gb_out: 0.09 };
        let usage = StoreUsage {
            puts: 1_410,
            gets: 824,
            retries: 2,
            bytes_up: 1_200_000_000,
            bytes_down: 30_000_000,
            ..StoreUsage::default()
        };
        let counts = "2,234 operations (1,410 puts, 824 gets), 1.2 GB up, 30.0 MB down, 2 retries";
        assert_eq!(describe(&usage, None), counts);
        assert_eq!(describe(&usage, Some(prices)), format!("{counts}, about $0.01 at list prices"));
        let usage = StoreUsage { gets: 2, bytes_down: 2_000_000_000, ..StoreUsage::default() };
        assert_eq!(
            describe(&usage, Some(prices)),
            "2 operations (2 gets), 0 B up, 2.0 GB down, less than $0.01 at list prices, and about $0.18 more if what \
            came down left the provider's network"
        );
    }
}
