//! The lake's model: pivots, partitions, tables, manifests, and the path of each of its files.
//!
//! Pure data. `store/` reads and writes the files; `shard/` encodes the shards.

mod age;
mod balance;
mod catalog;
mod derive;
mod event_paths;
mod follow;
mod held;
mod item;
mod layout;
mod lock;
mod manifest;
mod overlay;
mod partition;
mod pivots;
mod record;
mod shard_meta;
mod undelivered;

pub use age::{OldTable, OriginAge, TableAge, newer_than_known};
pub use balance::PartSize;
pub use catalog::{LakeInfo, OriginInfo};
pub use derive::{DEFAULT_ROWS_PER_PARTITION, Derivation, boundary_between, exact_partition_set};
pub use follow::{FeedPlace, FollowRecord, LaggingName};
pub use held::HeldOutcome;
pub use item::{
    Item, ItemError, ItemKind, ItemResult, KeptResult, PackumentPayload, PartitionPayload, PartitionSetPayload, Payload,
};
pub use layout::{FileRole, Layout, OriginLayout};
pub use lock::{LockRecord, ProcessIdentity};
pub use manifest::{CommitIntent, EventsFile, Manifest};
pub use overlay::{Delta, Overlay, newest_of_each};
pub use partition::{Partition, PartitionSet, hex_key};
pub use pivots::{PivotElement, Pivots, PivotsText, shown_pivot};
pub use record::Record;
pub use shard_meta::ShardMeta;
pub use undelivered::Undelivered;
