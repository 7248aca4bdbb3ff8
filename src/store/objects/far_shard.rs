//! A shard in a bucket that is open for reading by threads that may block. It is one version of the object: each read
//! asks for the ETag that the first one found. Reads come in windows, which grow while a reader goes forward.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error as ObjectError, GetOptions, GetRange, ObjectStore};
use tokio::runtime::Handle;

use super::retrying::{Retrying, read_now};
use super::transient::status;
use crate::error::{Error, ErrorKind, Result};
use crate::store::refusal::refusal;

/// The first read takes this much of the end: the footer and the index of nearly every shard.
const TAIL_BYTES: u64 = 64 << 10;
/// The size of a reader's first window.
const FIRST_WINDOW_BYTES: u64 = 64 << 10;
/// The size of a window that does not grow further.
const LARGEST_WINDOW_BYTES: u64 = 4 << 20;
/// The windows of one open shard keep at most this much memory, beside the end of the shard.
const KEPT_BYTES: usize = 8 << 20;

/// An open shard of a bucket.
pub struct FarShard {
    client: Retrying,
    path: Path,
    /// The path from the root of the lake.
    name: String,
    size_bytes: u64,
    e_tag: Option<String>,
    tail: Window,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The window that was used last is the last one.
    windows: VecDeque<Window>,
    /// The kind, the message and the hint of the last failed read. The library that decodes pages reports it as text only.
    failure: Option<(ErrorKind, String, Option<String>)>,
    /// Whether a read failed because the object is another one now, or gone.
    is_replaced: bool,
}

/// Bytes of the object from a place on.
#[derive(Clone)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Returns the bytes from a place on; `None` if there are fewer than `least`.
    fn from(&self, place: u64, least: usize) -> Option<Bytes> {
        let skipped = usize::try_from(place.checked_sub(self.start)?).ok()?;
        let rest = self.bytes.len().checked_sub(skipped)?;
        (rest >= least.max(1)).then(|| self.bytes.slice(skipped..))
    }
}

impl std::fmt::Debug for FarShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FarShard({})", self.name)
    }
}

impl FarShard {
    /// Opens an object by one request; `None` if there is none.
    pub(super) async fn open(client: &Retrying, path: Path, name: &str) -> Result<Option<FarShard>> {
        let options = GetOptions { range: Some(GetRange::Suffix(TAIL_BYTES)), ..GetOptions::default() };
        let found = match read_now(client, &path, options).await {
            // A range of an object without bytes is refused.
            Err(error) if status(&error) == Some(416) => read_now(client, &path, GetOptions::default()).await,
            found => found,
        };
        let Some((meta, range, bytes)) = found.map_err(|error| refusal("read", name, error))? else { return Ok(None) };
        Ok(Some(FarShard {
            client: client.clone(),
            path,
            name: name.to_owned(),
            size_bytes: meta.size,
            e_tag: meta.e_tag,
            tail: Window { start: range.start, bytes },
            runtime: Handle::current(),
            state: Mutex::default(),
        }))
    }

    /// Returns the size of the object in bytes.
    pub(in crate::store) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns the ETag of the version that is open.
    pub fn e_tag(&self) -> Option<&str> {
        self.e_tag.as_deref()
    }

    /// Returns bytes from a place on: at least `least` of them, or as many as there are up to the end of the object. None
    /// at the end.
    pub(in crate::store) fn read(&self, place: u64, least: usize) -> io::Result<Bytes> {
        let rest = self.size_bytes.saturating_sub(place);
        let least = u64::try_from(least).unwrap_or(u64::MAX).min(rest);
        let least = usize::try_from(least).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if rest == 0 {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.tail.from(place, least) {
            return Ok(bytes);
        }
        let size = {
            let mut state = self.state();
            let found = state.windows.iter().position(|window| window.from(place, least).is_some());
            if let Some(window) = found.and_then(|found| state.windows.remove(found)) {
                let bytes = window.from(place, least);
                state.windows.push_back(window);
                return Ok(bytes.unwrap_or_default());
            }
            // A reader that has come to the end of a window goes on: its next window is larger.
            let is_before = |window: &Window| window.start < place && place <= window.end();
            let before = state.windows.iter().position(is_before).and_then(|found| state.windows.remove(found));
            before.map_or(FIRST_WINDOW_BYTES, |window| (window.bytes.len() as u64 * 2).min(LARGEST_WINDOW_BYTES))
        };
        let end = (place + size.max(least as u64)).min(self.size_bytes);
        let bytes = self.fetch(place, end)?;
        let mut state = self.state();
        state.windows.push_back(Window { start: place, bytes: bytes.clone() });
        let mut kept: usize = state.windows.iter().map(|window| window.bytes.len()).sum();
        while kept > KEPT_BYTES && state.windows.len() > 1 {
            kept -= state.windows.pop_front().map_or(0, |window| window.bytes.len());
        }
        Ok(bytes)
    }

    fn fetch(&self, start: u64, end: u64) -> io::Result<Bytes> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(start..end)),
            if_match: self.e_tag.clone(),
            ..GetOptions::default()
        };
        let fetched = async { self.client.get_opts(&self.path, options).await?.bytes().await };
        let _runtime = self.runtime.enter();
        let fetched = futures::executor::block_on(fetched);
        fetched.map_err(|error| {
            if matches!(error, ObjectError::Precondition { .. } | ObjectError::NotFound { .. }) {
                self.state().is_replaced = true;
            }
            let failure = self.explained(error);
            let kept = (failure.kind(), failure.message().to_owned(), failure.hint_text().map(str::to_owned));
            self.state().failure = Some(kept);
            io::Error::other(failure)
        })
    }

    fn explained(&self, error: ObjectError) -> Error {
        match error {
            ObjectError::Precondition { .. } | ObjectError::NotFound { .. } => {
                Error::lake(format!("{} was replaced while it was read", self.name))
                    .hint("another process works on the lake; run the same command again")
                    .source(error)
                    .of_system()
            }
            error => refusal("read", &self.name, error),
        }
    }

    /// Returns the error of the last read that the bucket failed, if there was one.
    pub(in crate::store) fn failure(&self) -> Option<Error> {
        let (kind, message, hint) = self.state().failure.clone()?;
        let error = Error::new(kind, message).of_system();
        Some(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    /// Returns whether a read has failed because the object is another one now, or gone.
    pub(in crate::store) fn is_replaced(&self) -> bool {
        self.state().is_replaced
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
