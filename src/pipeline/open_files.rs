//! Open files: how much is worked on at once, so that a process stays within its limit of open files and sockets.

use crate::store::open_file_limit;

/// Files that a process needs besides those of its partitions: its standard streams, the runtime, folders that are locked
/// or synced, records that are written, the spool, the files of the shared limiter, and the connections of a scan. The
/// built-in registry has the other end of each connection open too.
const RESERVED: usize = 56;

/// The limit of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenFiles {
    limit: usize,
}

impl OpenFiles {
    pub(super) fn of_process() -> OpenFiles {
        OpenFiles { limit: open_file_limit() }
    }

    #[cfg(test)]
    pub(super) fn of_limit(limit: usize) -> OpenFiles {
        OpenFiles { limit }
    }

    /// Returns how many files the work may have open at once.
    pub(super) fn for_work(self) -> usize {
        self.limit.saturating_sub(RESERVED)
    }

    /// Returns the limit without some files, which other work opens.
    pub(super) fn without(self, files: usize) -> OpenFiles {
        OpenFiles { limit: self.limit.saturating_sub(files) }
    }

    /// Returns how many pieces of work that open `files_each` are done at once: at least one, at most `wanted`.
    pub(super) fn at_once(self, files_each: usize, wanted: usize) -> usize {
        let at_once = (self.for_work() / files_each.max(1)).clamp(1, wanted.max(1));
        if at_once < wanted {
            tracing::info!(limit = self.limit, at_once, wanted, "the limit of open files allows less work at once");
        }
        at_once
    }
}
