//! The packages of a sample registry and the feed of their changes: a server serves views of them.
//!
//! Not here: making a world (`seeded/`, `odd/`, `ndjson.rs`) and editing one package (`edits.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::counts::Counts;
use super::document::Document;
use super::small::{small_document, small_revision};

/// A registry's packages in byte order of their names, and the feed of their changes.
///
/// All of it is a function of its construction and its edits: no clock, no chance.
#[derive(Default)]
pub struct World {
    /// Sorted by name: a vector, because a page's `offset` is the rank of its first row.
    pub(super) packages: Vec<Package>,
    pub(super) departed: BTreeMap<Arc<str>, Departed>,
    pub(super) blocked: BTreeSet<Box<str>>,
    /// Each name once, at the number of its last change.
    pub(super) feed: BTreeMap<u64, Arc<str>>,
    pub(super) update_seq: u64,
    pub(super) counts: Counts,
}

/// The size of a [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorldCounts {
    /// Names that `_all_docs` lists.
    pub packages: usize,
    /// Names that are gone, each with its `deleted` row in the feed.
    pub departed: usize,
    /// The newest number of the feed.
    pub update_seq: u64,
}

/// A package that `_all_docs` lists.
pub(super) struct Package {
    pub(super) name: Arc<str>,
    pub(super) seq: u64,
    pub(super) content: Content,
    /// The document of a stale response.
    pub(super) previous: Option<Arc<Document>>,
}

/// The source of a package's document.
pub(super) enum Content {
    /// A small document that the name alone determines. It is not kept, so names are cheap.
    Small,
    /// A document with its announced revision.
    Stored { revision: Box<str>, document: Arc<Document> },
}

/// A package that is gone.
pub(super) struct Departed {
    pub(super) seq: u64,
    pub(super) revision: String,
    /// The document that its address still returns with 200; without it the address returns 404.
    pub(super) tombstone: Option<Arc<Document>>,
}

impl Package {
    pub(super) fn stored(name: &str, revision: &str, document: Document) -> Self {
        let content = Content::Stored { revision: revision.into(), document: Arc::new(document) };
        Package { name: name.into(), seq: 0, content, previous: None }
    }

    pub(super) fn revision(&self) -> std::borrow::Cow<'_, str> {
        match &self.content {
            Content::Small => small_revision(&self.name).into(),
            Content::Stored { revision, .. } => (&**revision).into(),
        }
    }

    pub(super) fn document(&self) -> Arc<Document> {
        match &self.content {
            Content::Small => Arc::new(Document::from_bytes(small_document(&self.name).into())),
            Content::Stored { document, .. } => document.clone(),
        }
    }
}

impl World {
    /// Makes a registry without packages.
    pub fn new() -> Self {
        World::default()
    }

    /// Adds small packages of one version for names that do not exist yet. Their documents are made on demand, so a
    /// name costs little more than its own bytes.
    pub fn add_names<N: AsRef<str>>(&mut self, names: impl IntoIterator<Item = N>) {
        let new: Vec<Package> = names
            .into_iter()
            .filter(|name| self.find(name.as_ref()).is_none())
            .map(|name| Package { name: name.as_ref().into(), seq: 0, content: Content::Small, previous: None })
            .collect();
        self.extend(new);
    }

    /// Puts a document of any bytes in a name's place and announces it at `revision`; the bytes need not be JSON.
    pub fn put_raw(&mut self, name: &str, revision: &str, bytes: impl Into<Bytes>) {
        self.put(name, revision, Document::from_bytes(bytes.into()));
    }

    /// Returns its size.
    pub fn counts(&self) -> WorldCounts {
        WorldCounts { packages: self.packages.len(), departed: self.departed.len(), update_seq: self.update_seq }
    }

    /// Returns the names that `_all_docs` lists, in its order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().map(|package| &*package.name)
    }

    /// Returns the announced revision of a name.
    pub fn revision(&self, name: &str) -> Option<String> {
        self.find(name).map(|package| package.revision().into_owned())
    }

    /// Returns the bytes of a full packument as served.
    pub fn document(&self, name: &str) -> Option<Bytes> {
        self.find(name).map(|package| package.document().full().plain().clone())
    }

    /// Returns the bytes of an abbreviated packument as served.
    pub fn abbreviated_document(&self, name: &str) -> Option<Bytes> {
        self.find(name).map(|package| package.document().abbreviated().plain().clone())
    }

    /// Compresses all full documents now, on this many threads, so a bench does not measure it. Otherwise each is
    /// compressed at the first request for it.
    pub fn prepare(&self, thread_count: usize) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..thread_count.max(1) {
                scope.spawn(|| {
                    while let Some(package) = self.packages.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Content::Stored { document, .. } = &package.content {
                            document.full().gzip();
                            document.full().tag();
                        }
                    }
                });
            }
        });
    }

    pub(super) fn position(&self, name: &str) -> Result<usize, usize> {
        self.packages.binary_search_by(|package| (*package.name).cmp(name))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Package> {
        self.position(name).ok().and_then(|position| self.packages.get(position))
    }

    /// Returns the changes after `since`, oldest first.
    pub(super) fn changes_after(&self, since: u64) -> impl DoubleEndedIterator<Item = (u64, &Arc<str>)> {
        self.feed.range((Bound::Excluded(since), Bound::Unbounded)).map(|(seq, name)| (*seq, name))
    }

    /// Adds many packages at once; of several with one name the last stays.
    pub(super) fn extend(&mut self, new: Vec<Package>) {
        for mut package in new {
            if let Some(departed) = self.departed.remove(&package.name) {
                self.feed.remove(&departed.seq);
            }
            package.seq = self.announce(&package.name);
            self.packages.push(package);
        }
        self.packages.sort_by(|left, right| left.name.cmp(&right.name).then(right.seq.cmp(&left.seq)));
        let feed = &mut self.feed;
        self.packages.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            if same {
                feed.remove(&later.seq);
                kept.previous = Some(later.document());
            }
            same
        });
    }

    /// Puts a document in a name's place and moves the name to the end of the feed.
    pub(super) fn put(&mut self, name: &str, revision: &str, document: Document) {
        let shared: Arc<str> = name.into();
        if let Some(departed) = self.departed.remove(name) {
            self.feed.remove(&departed.seq);
        }
        let mut package = Package::stored(name, revision, document);
        package.name = shared;
        match self.position(name) {
            Ok(position) => {
                if let Some(old) = self.packages.get_mut(position) {
                    self.feed.remove(&old.seq);
                    package.previous = Some(old.document());
                    package.seq = announce(&mut self.feed, &mut self.update_seq, &package.name);
                    *old = package;
                }
            }
            Err(position) => {
                package.seq = self.announce(&package.name);
                self.packages.insert(position, package);
            }
        }
    }

    pub(super) fn announce(&mut self, name: &Arc<str>) -> u64 {
        announce(&mut self.feed, &mut self.update_seq, name)
    }
}

/// Gives a name the next number of the feed. Numbers have gaps of 3 to 6, and the newest number of the registry is
/// ahead of the newest row's, as npm's are.
fn announce(feed: &mut BTreeMap<u64, Arc<str>>, update_seq: &mut u64, name: &Arc<str>) -> u64 {
    let seq = *update_seq + 2 + (*update_seq / 2) % 4;
    feed.insert(seq, name.clone());
    *update_seq = seq + 1;
    seq
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
