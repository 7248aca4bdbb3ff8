//! Zarr arrays of an origin: download counts, releases, and the dependency graph. They share one package axis.
//!
//! The arrays are of Zarr version 3, on regular grids, with shards (`sharding_indexed`) and zstd, so that zarr-python,
//! xarray, dask and zarrs read them. Every object is put by `store`, at once and durably, wherever the lake is. Days and
//! generations are given by the caller.
//!
//! Not here: the requests for counts, reading the tables of a lake, and leases (all `pipeline`).

mod axis;
mod axis_file;
mod axis_recovery;
mod check;
mod copy;
mod day;
mod downloads;
mod form;
mod graph;
mod group;
mod numbers;
mod packages;
mod reader;
mod releases;
mod rows;
mod shard_change;
mod shards;
mod spec;
mod status;

pub use axis::PackageAxis;
pub use check::{ArrayExtent, ArrayFault, ArrayFinding, ArraysProof, check_arrays};
pub use copy::{CopiedObjects, CopyPart, GroupCopy};
pub use downloads::{
    Block, BlockWriter, Counts, DAYS_COUNTED, Downloads, DownloadsShape, FIRST_DAY, PACKAGES_ASKED, PACKAGES_COUNTED,
    Recent, RowState, UNKNOWN,
};
pub use graph::{Csr, DependencyGraph, EDGE_KINDS, Edges, NodeEdges, Side, StoredGraph};
pub use releases::{Releases, StoredReleases};
pub use rows::{Piece, Rows, Tile};
pub use shards::{Right, Written};
pub use status::{GroupMetadata, note_tables, refuse_others};
