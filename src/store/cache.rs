//! A cache of pieces of far objects in a folder of the local disk, so that a later process need not request them again.
//!
//! A piece is named by the object's URL and ETag, so it is never out of date: another version has another name. The
//! folder is bounded, and may be deleted at any moment. Several processes may use it at once. A file of it that is
//! damaged, or cannot be read or written, is as good as none. Not here: the choice of what is kept.

use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use twox_hash::XxHash64;

/// The first bytes of a file of the cache; the digit is the version of its form.
const MAGIC: &[u8; 8] = b"ADCACHE1";
/// Bytes before a piece: the magic, the checksum of the rest, the length of the name.
const HEAD_BYTES: usize = 8 + 8 + 4;
/// The beginning of the name of a file that is being written.
const BEGUN: &str = ".begun-";
/// A file that was being written this long ago belongs to a process that died.
const LONGEST_WRITE: Duration = Duration::from_secs(60 * 60);
/// A process looks at the whole folder after it has written this share of the limit, and before it writes first. So the
/// folder exceeds the limit by this share for each process at most.
const SHARE_BETWEEN_SWEEPS: u64 = 16;
/// A sweep of a full folder leaves this many eighths of the limit.
const EIGHTHS_KEPT: u64 = 7;

/// Which part of an object a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its last bytes, as many as the piece has.
    End,
    /// As many bytes as the piece has, from this one on.
    From(u64),
}

/// The cache of one store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ObjectCache {
    folder: Arc<CacheFolder>,
    /// Tells apart stores that have the same URL.
    scope: Arc<str>,
}

#[derive(Debug)]
struct CacheFolder {
    path: PathBuf,
    limit_bytes: u64,
    /// Bytes that this process may write before it sweeps.
    left_bytes: AtomicU64,
}

impl ObjectCache {
    /// The limit of the folder unless another one is given, in bytes: the ends of all shards of npm take a fifth.
    pub const LIMIT_BYTES: u64 = 1 << 30;

    /// Makes the cache of a store in `folder`, which need not exist. `scope` tells apart stores that have the same URL,
    /// as two servers with a bucket of the same name. Reads and writes nothing.
    pub fn new(folder: PathBuf, scope: &str, limit_bytes: u64) -> ObjectCache {
        let folder = CacheFolder { path: folder, limit_bytes, left_bytes: AtomicU64::new(0) };
        ObjectCache { folder: Arc::new(folder), scope: scope.into() }
    }

    /// Returns a part of the version `e_tag` of the object at `url`, if it is kept.
    pub async fn get(&self, url: &str, e_tag: &str, part: Part) -> Option<Bytes> {
        let (folder, name) = (Arc::clone(&self.folder), self.name(url, e_tag, part));
        let read = tokio::task::spawn_blocking(move || folder.read(&name));
        match read.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(url, %error, "a file of the cache cannot be read");
                None
            }
            Err(_) => None,
        }
    }

    /// Keeps a part of the version `e_tag` of the object at `url`, if the disk lets it.
    pub async fn put(&self, url: &str, e_tag: &str, part: Part, piece: Bytes) {
        let (folder, name) = (Arc::clone(&self.folder), self.name(url, e_tag, part));
        let written = tokio::task::spawn_blocking(move || folder.write(&name, &piece));
        if let Ok(Err(error)) = written.await {
            tracing::debug!(url, %error, "a file of the cache cannot be written");
        }
    }

    fn name(&self, url: &str, e_tag: &str, part: Part) -> String {
        let part = match part {
            Part::Whole => "whole".to_owned(),
            Part::End => "end".to_owned(),
            Part::From(start) => format!("from {start}"),
        };
        [&self.scope, url, e_tag, &part].join("\n")
    }
}

impl CacheFolder {
    fn file(&self, name: &str) -> PathBuf {
        let digest = format!("{:x}", Sha256::digest(name));
        self.path.join(&digest[..2]).join(digest)
    }

    fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        let path = self.file(name);
        // A pipe of this name would be waited for without end.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Ok(None);
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        // Nobody writes a longer one, so the bytes that a damaged folder makes this process hold are bounded.
        (&file).take(self.limit_bytes).read_to_end(&mut text)?;
        let piece = piece_of(&text, name).map(|at| Bytes::from(text).slice(at..));
        match piece {
            // A sweep removes first those that were not used for longest.
            Some(_) => {
                let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
            }
            None => tracing::debug!(path = %path.display(), "a file of the cache is damaged"),
        }
        Ok(piece)
    }

    fn write(&self, name: &str, piece: &[u8]) -> io::Result<()> {
        let text = text_of(name, piece);
        let size_bytes = text.len() as u64;
        if size_bytes > self.limit_bytes / SHARE_BETWEEN_SWEEPS {
            return Ok(());
        }
        let spend = |left: u64| left.checked_sub(size_bytes);
        if self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            self.left_bytes.store(self.limit_bytes / SHARE_BETWEEN_SWEEPS, Ordering::Relaxed);
            self.sweep()?;
        }
        let path = self.file(name);
        let folder = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        // A temporary file is for this user only, as the objects may be.
        let mut begun = tempfile::Builder::new().prefix(BEGUN).tempfile_in(folder)?;
        begun.write_all(&text)?;
        begun.persist(&path)?;
        Ok(())
    }

    /// Removes files of dead processes; and if the folder is full, the files that were not used for longest.
    fn sweep(&self) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for folder in entries(&self.path)?.into_iter().filter(|folder| is_hex(folder, 2)) {
            for path in entries(&folder)? {
                // Another process may have removed it.
                let Ok(found) = path.metadata() else { continue };
                let used = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let is_begun = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(BEGUN));
                if is_begun && used.elapsed().unwrap_or_default() > LONGEST_WRITE {
                    let _ = fs::remove_file(path);
                } else if is_hex(&path, 64) && found.is_file() {
                    files.push((used, found.len(), path));
                }
            }
        }
        let mut total_bytes: u64 = files.iter().map(|(_, size_bytes, _)| size_bytes).sum();
        if total_bytes <= self.limit_bytes {
            return Ok(());
        }
        files.sort();
        for (_, size_bytes, path) in files {
            if total_bytes <= self.limit_bytes / 8 * EIGHTHS_KEPT {
                break;
            }
            let _ = fs::remove_file(path);
            total_bytes -= size_bytes;
        }
        Ok(())
    }
}

/// Returns the entries of a folder; none if there is no such folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(found) => found.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Returns whether the name of an entry is one that this cache gives. A user may have named a folder with other files.
fn is_hex(path: &Path, digits: usize) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.len() == digits && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn checksum(rest: &[u8]) -> [u8; 8] {
    XxHash64::oneshot(0, rest).to_le_bytes()
}

fn text_of(name: &str, piece: &[u8]) -> Vec<u8> {
    let name_bytes = u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes();
    let rest = [&name_bytes[..], name.as_bytes(), piece].concat();
    [&MAGIC[..], &checksum(&rest), &rest].concat()
}

/// Returns where the piece begins in the text of a file; `None` if the text is not that of a whole file of this name.
fn piece_of(text: &[u8], name: &str) -> Option<usize> {
    let rest = text.strip_prefix(MAGIC)?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let (name_bytes, named) = rest.split_first_chunk::<4>()?;
    let is_whole = *sum == checksum(rest) && u32::from_le_bytes(*name_bytes) as usize == name.len();
    (is_whole && named.starts_with(name.as_bytes())).then_some(HEAD_BYTES + name.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cache(folder: &Path, limit_bytes: u64) -> ObjectCache {
        ObjectCache::new(folder.join("made/when/needed"), "", limit_bytes)
    }

    fn files(cache: &ObjectCache) -> Vec<PathBuf> {
        let folders = entries(&cache.folder.path).unwrap().into_iter().filter(|path| path.is_dir());
        folders.collect::<Vec<_>>().iter().flat_map(|folder| entries(folder).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_piece_is_found_by_all_parts_of_its_name_in_another_process_too() {
        let folder = tempfile::tempdir().unwrap();
        let first = cache(folder.path(), 1 << 20);
        assert_eq!(first.get("s3://b/x", "\"1\"", Part::End).await, None);
        first.put("s3://b/x", "\"1\"", Part::End, Bytes::from_static(b"piece")).await;
        first.put("s3://b/empty", "\"1\"", Part::Whole, Bytes::new()).await;
        let second = cache(folder.path(), 1 << 20);
        assert_eq!(second.get("s3://b/x", "\"1\"", Part::End).await.unwrap(), "piece");
        assert_eq!(second.get("s3://b/empty", "\"1\"", Part::Whole).await.unwrap(), "");
        let elsewhere = ObjectCache::new(folder.path().join("made/when/needed"), "http://127.0.0.1:9", 1 << 20);
        assert_eq!(elsewhere.get("s3://b/x", "\"1\"", Part::End).await, None);
        for (url, e_tag, part) in [
            ("s3://b/y", "\"1\"", Part::End),
            ("s3://b/x", "\"2\"", Part::End),
            ("s3://b/x", "\"1\"", Part::Whole),
            ("s3://b/x", "\"1\"", Part::From(4)),
        ] {
            assert_eq!(second.get(url, e_tag, part).await, None, "{url} {e_tag} {part:?}");
        }
    }

    #[tokio::test]
    async fn any_damage_of_a_file_is_a_miss_and_the_next_put_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        let piece = Bytes::from_static(b"the bytes of a piece");
        cache.put("u", "e", Part::End, piece.clone()).await;
        let file = files(&cache).pop().unwrap();
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            fs::write(&file, &damaged).unwrap();
            assert_eq!(cache.get("u", "e", Part::End).await, None, "byte {at}");
            fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(cache.get("u", "e", Part::End).await, None, "cut to {at}");
        }
        fs::write(&file, [&whole[..], b"more"].concat()).unwrap();
        assert_eq!(cache.get("u", "e", Part::End).await, None);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(cache.get("u", "e", Part::End).await, None, "a folder in its place");
        fs::remove_dir_all(&cache.folder.path).unwrap();
        cache.put("u", "e", Part::End, piece.clone()).await;
        assert_eq!(cache.get("u", "e", Part::End).await.unwrap(), piece);
        // A folder stands in the place of the file.
        let file = cache.folder.file(&cache.name("u", "e", Part::End));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(cache.get("u", "e", Part::End).await, None);
        fs::remove_dir_all(&cache.folder.path).unwrap();
        fs::write(&cache.folder.path, "no folder").unwrap();
        cache.put("u", "e", Part::End, piece).await;
        assert_eq!(cache.get("u", "e", Part::End).await, None);
    }

    /// Sets the time at which the file of a piece was used last.
    fn set_used(cache: &ObjectCache, url: &str, seconds: u64) {
        let path = cache.folder.file(&cache.name(url, "e", Part::End));
        let used = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::open(path).unwrap().set_times(FileTimes::new().set_modified(used)).unwrap();
    }

    #[tokio::test]
    async fn a_full_folder_loses_the_pieces_that_were_not_used_for_longest_and_nothing_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let limit_bytes = 32 << 10;
        let piece = Bytes::from(vec![7; 1 << 10]);
        let urls: Vec<String> = (0..64).map(|number| format!("u{number}")).collect();
        let writer = cache(folder.path(), limit_bytes);
        for (number, url) in (0..).zip(&urls[..31]) {
            writer.put(url, "e", Part::End, piece.clone()).await;
            set_used(&writer, url, 1_000 + number);
        }
        let foreign = [writer.folder.path.join("notes"), writer.folder.path.join("00/notes")];
        for path in &foreign {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; 64 << 10]).unwrap();
            File::open(path).unwrap().set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
        }
        let begun = writer.folder.path.join("00/.begun-x");
        fs::write(&begun, "half").unwrap();
        File::open(&begun).unwrap().set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
        for url in &urls[31..] {
            // A use makes the oldest the newest.
            assert!(writer.get(&urls[0], "e", Part::End).await.is_some());
            cache(folder.path(), limit_bytes).put(url, "e", Part::End, piece.clone()).await;
            let total: u64 =
                files(&writer).iter().filter(|path| is_hex(path, 64)).map(|path| path.metadata().unwrap().len()).sum();
            assert!(total <= limit_bytes + limit_bytes / SHARE_BETWEEN_SWEEPS, "{total}");
        }
        assert!(writer.get(&urls[0], "e", Part::End).await.is_some());
        assert_eq!(writer.get(&urls[1], "e", Part::End).await, None);
        assert!(writer.get(&urls[63], "e", Part::End).await.is_some());
        assert!(foreign.iter().all(|path| path.exists()) && !begun.exists());
        writer.put("large", "e", Part::End, Bytes::from(vec![0; 8 << 10])).await;
        assert_eq!(writer.get("large", "e", Part::End).await, None, "a piece that would take the place of many");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn processes_that_read_write_and_delete_at_once_see_whole_pieces_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = (0..8_u8).map(|task| {
            let cache = cache(folder.path(), 16 << 10);
            tokio::spawn(async move {
                for round in 0..100_usize {
                    let url = format!("u{}", round % 7);
                    let piece = Bytes::from(vec![u8::try_from(round % 7).unwrap(); 500 + round % 7]);
                    if task == 0 && round % 10 == 9 {
                        let _ = fs::remove_dir_all(&cache.folder.path);
                    }
                    cache.put(&url, "e", Part::Whole, piece.clone()).await;
                    assert!(cache.get(&url, "e", Part::Whole).await.is_none_or(|found| found == piece));
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}
