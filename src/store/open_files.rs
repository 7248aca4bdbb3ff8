//! Open files: the limit of this process, and the count of shards that statements keep open.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit where the system does not tell it: macOS's default, the lowest that is usual.
const USUAL_LIMIT: usize = 256;
/// Statements keep at most this share of the limit open: the rest is for readers, sorts on disk, and connections.
const KEPT_SHARE: usize = 2;
/// Statements open at most this share of the limit for a single read, beyond those that they keep.
const BRIEF_SHARE: usize = 8;
/// More than that are never kept, however high the limit is.
const MOST_KEPT: usize = 16_384;

/// The files that statements of this process keep open.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// Raises this process's limit of open files as far as the system allows without privileges. The low default is for
/// programs that use `select`, which this one does not.
pub fn raise_open_file_limit() {
    // Where it cannot be raised, less is open at once.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

/// Returns how many files and sockets this process may have open at once.
pub fn open_file_limit() -> usize {
    let limit = rlimit::Resource::NOFILE.get_soft().ok();
    limit.map_or(USUAL_LIMIT, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Returns how many files statements may open at once for a single read.
pub fn brief_files() -> usize {
    (open_file_limit() / BRIEF_SHARE).clamp(1, MOST_KEPT)
}

/// The right to keep one file open for longer than a read. Ends when it is dropped.
#[derive(Debug)]
pub struct KeptFile {
    /// The count that it is part of.
    kept: &'static AtomicUsize,
}

impl KeptFile {
    /// Takes the right; `None` if as many files are kept as may be.
    pub fn take() -> Option<KeptFile> {
        KeptFile::take_of(&KEPT, (open_file_limit() / KEPT_SHARE).min(MOST_KEPT))
    }

    fn take_of(kept: &'static AtomicUsize, most: usize) -> Option<KeptFile> {
        let taken = kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| (kept < most).then_some(kept + 1));
        // Only a right that was taken may be dropped.
        taken.is_ok().then(|| KeptFile { kept })
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rights_are_given_than_there_are_however_often_they_are_refused() {
        static KEPT: AtomicUsize = AtomicUsize::new(0);
        let take = || KeptFile::take_of(&KEPT, 2);
        let (first, second) = (take(), take());
        assert!(first.is_some() && second.is_some());
        for _ in 0..5 {
            assert!(take().is_none());
        }
        drop(first);
        let third = take();
        assert!(third.is_some() && take().is_none());
        drop((second, third));
        assert_eq!(KEPT.load(Ordering::Relaxed), 0);
    }
}
