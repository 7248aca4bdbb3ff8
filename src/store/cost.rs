//! The price of a store's operations, at the list prices of its provider. Not here: counting them (`objects/metered`).

use super::options::StoreUsage;
use super::reach::{Provider, Target};

/// The bytes of a GB in the price lists.
const BYTES_PER_GB: f64 = 1e9;

/// The list prices of a provider, in US dollars: its standard class of storage, in its largest region in the USA, without
/// free quotas and discounts. Requests to delete are free at all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListPrices {
    /// A million operations that write or list ("class A").
    pub usd_per_million_writes: f64,
    /// A million operations that read ("class B").
    pub usd_per_million_reads: f64,
    /// A GB that leaves the provider's network.
    pub usd_per_gb_out: f64,
}

/// Amazon S3 Standard, us-east-1: <https://aws.amazon.com/s3/pricing/> as of November 2026. PUT, POST and LIST $0.005 per
/// 1,000, GET and HEAD $0.0004 per 1,000, transfer to the internet $0.09 per GB for the first 10 TB of a month.
const S3: ListPrices = ListPrices { usd_per_million_writes: 5.0, usd_per_million_reads: 0.4, usd_per_gb_out: 0.09 };
/// Cloudflare R2 Standard: <https://developers.cloudflare.com/r2/pricing/> as of November 2026. Class A $4.50 per million,
/// class B $0.36 per million, transfer to the internet free.
const R2: ListPrices = ListPrices { usd_per_million_writes: 4.5, usd_per_million_reads: 0.36, usd_per_gb_out: 0.0 };
/// Google Cloud Storage Standard, us-central1: <https://cloud.google.com/storage/pricing> as of November 2026. Class A
/// $0.005 per 1,000, class B $0.0004 per 1,000, transfer to the internet $0.12 per GB for the first TB of a month.
const GCS: ListPrices = ListPrices { usd_per_million_writes: 5.0, usd_per_million_reads: 0.4, usd_per_gb_out: 0.12 };

impl ListPrices {
    /// Returns the prices of a bucket; `None` for a server that the user chose, which has prices of its own.
    pub(super) fn of(target: &Target) -> Option<ListPrices> {
        match target.provider {
            _ if target.is_own_server => None,
            Provider::S3 => Some(S3),
            Provider::R2 => Some(R2),
            Provider::Gcs => Some(GCS),
        }
    }

    /// Returns the price of the operations.
    pub fn operations_usd(&self, usage: &StoreUsage) -> f64 {
        let writes = usage.puts + usage.creates + usage.updates + usage.lists;
        let writes = writes + usage.uploads_begun + usage.parts + usage.uploads_completed;
        let reads = usage.gets + usage.heads;
        (writes as f64 * self.usd_per_million_writes + reads as f64 * self.usd_per_million_reads) / 1e6
    }

    /// Returns the price of the bytes that were read, if they left the provider's network: within a region they are free.
    pub fn transfer_usd(&self, usage: &StoreUsage) -> f64 {
        usage.bytes_down as f64 / BYTES_PER_GB * self.usd_per_gb_out
    }
}

impl StoreUsage {
    /// Returns the number of operations of all kinds.
    pub fn operations(&self) -> u64 {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }

    /// Returns the number of operations of each kind, with its name in the plural.
    pub fn by_kind(&self) -> [(&'static str, u64); 11] {
        [
            ("puts", self.puts),
            ("creates", self.creates),
            ("updates", self.updates),
            ("gets", self.gets),
            ("heads", self.heads),
            ("lists", self.lists),
            ("deletes", self.deletes),
            ("uploads begun", self.uploads_begun),
            ("parts", self.parts),
            ("uploads completed", self.uploads_completed),
            ("uploads aborted", self.uploads_aborted),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_cost_by_their_class_and_deletions_nothing() {
        let usage = StoreUsage {
            puts: 100_000,
            creates: 50_000,
            updates: 50_000,
            lists: 100_000,
            uploads_begun: 100_000,
            parts: 500_000,
            uploads_completed: 100_000,
            uploads_aborted: 7,
            deletes: 9_000_000,
            gets: 900_000,
            heads: 100_000,
            retries: 5,
            bytes_up: 1 << 40,
            bytes_down: 10_000_000_000,
        };
        let told = |prices: ListPrices| [prices.operations_usd(&usage), prices.transfer_usd(&usage)];
        let is_near = |told: [f64; 2], right: [f64; 2]| told.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(is_near(told(S3), [5.4, 0.9]), "{:?}", told(S3));
        assert!(is_near(told(R2), [4.86, 0.0]), "{:?}", told(R2));
        assert!(is_near(told(GCS), [5.4, 1.2]), "{:?}", told(GCS));
        assert_eq!(usage.operations(), 11_000_007);
    }
}
