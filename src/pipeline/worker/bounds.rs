//! Bounds: how much may be in progress at once, over all partitions of a run.

use std::time::Duration;

use crate::fetch::SegmentBound;
use crate::pipeline::open_files::OpenFiles;
use crate::table::TableKind;

/// Columns are passed to the writers when they hold this many bytes …
pub(in crate::pipeline) const FLUSH_BYTES: usize = 8 << 20;
/// … or this many documents, whichever is first. The limit bounds memory, and changes no byte of a shard.
pub(in crate::pipeline) const FLUSH_DOCUMENTS: usize = 512;
/// Raw documents are passed on at this size: they are still in the processor's cache then.
pub(in crate::pipeline) const FLUSH_RAW_BYTES: usize = 256 << 10;
/// Documents of this size are made into rows one at a time: each temporarily needs several times its size.
pub(in crate::pipeline) const LARGE_DOCUMENT_BYTES: usize = 16 << 20;

/// Documents requested and not yet durable, over all partitions: the requests that a killed process may have sent in
/// vain. Of them, [`REQUESTED`] are in flight, and the rest wait until their segment is full. The [`BETWEEN`] documents
/// between the network and a builder are counted as well.
const UNSTAGED_DOCUMENTS: usize = 256;
/// More than twice the number of concurrent requests to a host, so a slow response holds up few others.
const REQUESTED: usize = 144;
/// Enough to bridge the compression of a row group.
const BETWEEN: usize = 24;
/// Bytes of the same documents: of bodies in memory, and of segments that are not full. A single document may be
/// larger; the oldest of a partition is never held up.
const DOCUMENT_BYTES_IN_FLIGHT: u64 = 48 << 20;
const SEGMENT_BYTES: usize = 16 << 20;
/// How long an answer may wait until its segment is full.
const STAGED_WITHIN: Duration = Duration::from_secs(10);
/// Partitions beyond one per core: they keep the network busy while others end. Each costs the memory of its writers,
/// some 60 MB, so more than [`MAX_PARTITIONS`] are never in progress.
const EXTRA_PARTITIONS: usize = 1;
const MAX_PARTITIONS: usize = 8;
/// Commits at once, and partitions beyond those that are built whose commit may wait for the store. A partition takes longer to
/// fetch than to upload, so a few suffice.
const COMMITS: usize = 2;

/// The open files of a partition in progress: for each table the previous shard and the new one, and a segment or a record.
const FILES_PER_PARTITION: usize = 2 * TableKind::ALL.len() + 4;
/// The open files of a request: its connection, and that of the built-in registry to its other end.
const FILES_PER_REQUEST: usize = 2;
/// The open files of a commit: the staged shards that are uploaded at once, the connections of their parts, and a record.
const FILES_PER_COMMIT: usize = 16;
/// The requests that a partition has in flight even if few files may be open.
const LEAST_REQUESTS: usize = 4;

/// The bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) struct Bounds {
    /// Partitions that are planned, fetched and built at once.
    pub(super) partitions: usize,
    /// Partitions that are committed at once, besides those.
    pub(super) commits: usize,
    /// Requests for documents that a partition keeps in flight; the limiter of the host decides how many are sent.
    pub(super) requests_per_partition: usize,
    /// Documents between the network and a partition's builder.
    pub(super) fetched_per_partition: usize,
    /// The bound at which a partition's builder makes its answers durable.
    pub(in crate::pipeline) segment: SegmentBound,
    /// Bytes of bodies in memory over all partitions.
    pub(super) document_bytes_in_flight: u64,
}

impl Bounds {
    pub(in crate::pipeline) fn of_this_machine() -> Bounds {
        Bounds::new(std::thread::available_parallelism().map_or(1, usize::from), OpenFiles::of_process())
    }

    /// Returns the bounds of a run that works on one partition at a time.
    pub(super) fn of_one_partition() -> Bounds {
        Bounds::bounded(1, OpenFiles::of_process())
    }

    /// Returns the bounds for a machine with this many cores, and a process with this limit of open files.
    pub(super) fn new(cores: usize, files: OpenFiles) -> Bounds {
        Bounds::bounded((cores + EXTRA_PARTITIONS).min(MAX_PARTITIONS), files)
    }

    fn bounded(partitions: usize, files: OpenFiles) -> Bounds {
        // At most a quarter of the files, so that few of them are no reason to do nothing.
        let commits = (files.for_work() / 4 / FILES_PER_COMMIT).min(COMMITS);
        let files = files.without(commits * FILES_PER_COMMIT);
        let partitions = files.at_once(FILES_PER_PARTITION + FILES_PER_REQUEST * LEAST_REQUESTS, partitions);
        let requests = files.for_work().saturating_sub(partitions * FILES_PER_PARTITION) / FILES_PER_REQUEST;
        let requests = requests.clamp(LEAST_REQUESTS * partitions, REQUESTED);
        Bounds {
            partitions,
            commits,
            requests_per_partition: requests / partitions,
            fetched_per_partition: BETWEEN / partitions,
            segment: SegmentBound {
                answers: (UNSTAGED_DOCUMENTS - REQUESTED - BETWEEN) / partitions,
                bytes: SEGMENT_BYTES / partitions,
                age: STAGED_WITHIN,
            },
            document_bytes_in_flight: DOCUMENT_BYTES_IN_FLIGHT,
        }
    }

    /// Returns how many documents of one partition may be requested and not yet durable.
    #[cfg(test)]
    pub(in crate::pipeline) fn unstaged_per_partition(&self) -> usize {
        self.requests_per_partition + self.fetched_per_partition + self.segment.answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_crash_does_not_grow_with_the_machine() {
        for cores in [1, 2, 3, 4, 7, 8, 64, 1024] {
            let bounds = Bounds::new(cores, OpenFiles::of_limit(1 << 20));
            assert_eq!((bounds.partitions, bounds.requests_per_partition), {
                let partitions = (cores + EXTRA_PARTITIONS).min(MAX_PARTITIONS);
                (partitions, REQUESTED / partitions)
            });
            assert!(bounds.partitions * bounds.unstaged_per_partition() <= UNSTAGED_DOCUMENTS, "{bounds:?}");
            assert!(bounds.fetched_per_partition > 0 && bounds.segment.answers > 0, "{bounds:?}");
            let bytes = bounds.document_bytes_in_flight + (bounds.partitions * bounds.segment.bytes) as u64;
            assert!(bytes <= 64 << 20, "{bounds:?}");
        }
    }

    #[test]
    fn a_low_limit_of_open_files_is_kept_on_any_machine() {
        for (limit, cores) in [(128, 1), (128, 64), (160, 2), (160, 64), (256, 2), (256, 64), (1024, 64)] {
            let files = OpenFiles::of_limit(limit);
            let bounds = Bounds::new(cores, files);
            let requests = bounds.partitions * bounds.requests_per_partition;
            let open = bounds.partitions * FILES_PER_PARTITION + requests * FILES_PER_REQUEST;
            let open = open + bounds.commits * FILES_PER_COMMIT;
            assert!(open <= files.for_work() && requests >= LEAST_REQUESTS, "{limit}: {bounds:?}");
        }
        // A limit below the least work is not a reason to do nothing.
        assert_eq!(Bounds::new(8, OpenFiles::of_limit(0)).partitions, 1);
    }
}
