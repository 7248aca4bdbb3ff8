//! A lock of a partition or of a whole origin, as it stands in the lake: who holds it, since when, and until when.
//!
//! Pure data. The pipeline's lease takes, renews and lifts it.

use serde::{Deserialize, Serialize};

/// Who holds a lock. One process at a time writes a partition; reading needs no lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// Drawn anew for each holder: two holders are never taken for each other.
    pub holder: String,
    /// What it does, as a command of all-docs: `ingest`.
    pub purpose: String,
    /// The tool's version.
    pub tool_version: String,
    /// The name of its machine.
    pub host: String,
    /// The process's id on that machine.
    pub process_id: u32,
    /// What identifies the process beside its id, as far as the system tells: only a process of the same system may judge
    /// by the id whether the holder is alive.
    #[serde(rename = "process_place")]
    pub process_identity: Option<ProcessIdentity>,
    /// When it began, seconds since 1970.
    pub since_s: i64,
    /// When the lock lapses unless it is renewed, seconds since 1970.
    pub expires_at_s: i64,
}

/// What makes a process id unique: the system within which it is given, and when the process began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The running system, its space of process ids, and the user: an opaque text.
    pub system: String,
    /// When the process began, in the system's own ticks.
    pub started_ticks: u64,
}
