//! The versions written into the files of a lake.

/// The format of a lake's files. A lake with a greater number is refused: a newer version of the tool wrote it.
///
/// 2: shards and manifests record the schema version of each table, and leases are held by partition.
pub const FORMAT_VERSION: u32 = 2;

/// The version of the tool, as recorded in manifests and in the metadata of shards.
pub const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");
