//! A lock of a partition or of a whole origin, as stored in the lake: its holder, its start, and its expiry.
//!
//! Pure data. The pipeline's lease takes, renews and releases it.

use serde::{Deserialize, Serialize};

/// The holder of a lock. One process at a time writes a partition; reading needs no lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// Drawn at random for each holder, so two holders are never confused.
    pub holder: String,
    /// The command of all-docs that it runs: `ingest`.
    pub purpose: String,
    /// The version of the tool.
    pub tool_version: String,
    /// The name of its machine.
    pub host: String,
    /// The id of the process on that machine.
    pub process_id: u32,
    /// Identifies the process beside its id, if the system provides it. Only a process of the same system may use the
    /// id to decide whether the holder is alive.
    #[serde(rename = "process_place")]
    pub process_identity: Option<ProcessIdentity>,
    /// The time at which it began, in seconds since 1970.
    pub since_s: i64,
    /// The time at which the lock lapses unless it is renewed, in seconds since 1970.
    pub expires_at_s: i64,
}

/// Makes a process id unique: the system within which the id is given, and the time at which the process began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The running system, its space of process ids, and the user: an opaque text.
    pub system: String,
    /// The time at which the process began, in the system's own ticks.
    pub started_ticks: u64,
}
