//! Statements while shards are replaced: at each single call of the store, on a disk and in a store without open files.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::AsArray;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::json;

use super::lake::TestLake;
use crate::error::ErrorKind;
use crate::query::{Session, SessionOptions};
use crate::store::ObjectCache;
use crate::table::TableKind;

pub(super) type BeforeCall = dyn Fn(usize, &str) -> Result<()> + Send + Sync;

/// A disk that does something before each call.
pub(super) struct Scripted {
    disk: LocalFileSystem,
    calls: AtomicUsize,
    /// Whether objects are read like those of a bucket, by their ETag and not from an open file.
    is_bucket: bool,
    /// Gets the number of the call, from 0.
    before: Box<BeforeCall>,
}

impl Scripted {
    pub(super) fn new(
        is_bucket: bool,
        before: impl Fn(usize, &str) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<Scripted> {
        Arc::new(Scripted {
            disk: LocalFileSystem::new(),
            calls: AtomicUsize::new(0),
            is_bucket,
            before: Box::new(before),
        })
    }

    /// Returns how often it was called.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn call(&self, path: &str) -> Result<()> {
        (self.before)(self.calls.fetch_add(1, Ordering::Relaxed), path)
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl ObjectStore for Scripted {
    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(StoreError::NotImplemented { operation: String::new(), implementer: String::new() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(StoreError::NotImplemented { operation: String::new(), implementer: String::new() })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.call(location.as_ref())?;
        let (is_head, found) = (options.head, self.disk.get_opts(location, options).await?);
        if !self.is_bucket {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = if is_head { futures::stream::empty().boxed() } else { found.into_stream() };
        Ok(GetResult { payload: GetResultPayload::Stream(bytes), meta, range, attributes })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.disk.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.call("") {
            Ok(()) => self.disk.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.disk.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.disk.copy_opts(from, to, options).await
    }
}

/// Joins a table with itself and with another one, so each shard is read twice.
const SQL: &str = "select one.name, one.version, other.version as again from versions one join versions other \
     on one.name = other.name and one.version = other.version join packages on packages.name = one.name order by 1, 2";

/// A lake whose shard of `versions` from `c` on can be replaced by one of another size.
struct Scene {
    lake: TestLake,
}

impl Scene {
    fn new() -> Scene {
        Scene { lake: TestLake::small() }
    }

    fn session(&self, store: Arc<Scripted>) -> Session {
        self.session_with(store, None)
    }

    fn session_with(&self, store: Arc<Scripted>, cache: Option<ObjectCache>) -> Session {
        let options = SessionOptions { threads: 2, ..SessionOptions::default() };
        match store.is_bucket {
            true => self.lake.session_in_bucket(store, cache.as_ref(), &options),
            false => self.lake.session_in(store, &options),
        }
    }

    /// Prepares a new version, and returns the file that is to be renamed to the shard, and the shard.
    fn new_version(&self, version: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let row = json!({"name": "c", "version": version, "version_index": 0, "is_latest": true,
                         "license": "a text that makes the shard longer ".repeat(version.len() * 7)});
        self.lake.put("aside", TableKind::Versions, None, None, &[row]);
        let aside = self.lake.shard("aside", TableKind::Versions, None, None);
        let shard = self.lake.shard("npm", TableKind::Versions, Some("c"), None);
        let prepared = shard.with_extension(version);
        std::fs::rename(aside, &prepared).unwrap();
        (prepared, shard)
    }
}

/// Returns the versions of `c` that a statement sees, after it has asserted that the other rows are right.
async fn versions_of_c(session: &Session) -> crate::error::Result<Vec<String>> {
    let batches: Vec<_> = session.query(SQL).await?.try_collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let text = |column: usize, row: usize| batch.column(column).as_string_view().value(row).to_owned();
        rows.extend((0..batch.num_rows()).map(|row| (text(0, row), text(1, row))));
    }
    let of_others: Vec<_> = rows.iter().filter(|(name, _)| name != "c").map(|(_, version)| version.as_str()).collect();
    assert_eq!(of_others, ["1.0.0", "2.0.0", "1.0.0"]);
    Ok(rows.into_iter().filter(|(name, _)| name == "c").map(|(_, version)| version).collect())
}

#[tokio::test]
async fn a_shard_that_is_replaced_before_any_call_of_the_store_is_read_at_one_version() {
    for (is_bucket, is_cached) in [(false, false), (true, false), (true, true)] {
        let folder = tempfile::tempdir().unwrap();
        let cache = || is_cached.then(|| ObjectCache::new(folder.path().to_owned(), "", 1 << 20));
        let calls_of = async |scene: &Scene| {
            let store = Scripted::new(is_bucket, |_, _| Ok(()));
            let session = scene.session_with(Arc::clone(&store), cache());
            assert_eq!(versions_of_c(&session).await.unwrap(), ["0.1.0"]);
            store.calls.load(Ordering::Relaxed)
        };
        let calls = calls_of(&Scene::new()).await;
        assert!(calls >= 5, "{calls}");
        for replaced_before in 0..calls {
            let scene = Scene::new();
            if is_cached {
                // The ends of the first version are in the cache, and with them all of such small shards.
                calls_of(&scene).await;
                let cached = calls_of(&scene).await;
                assert!(cached < calls, "{cached} of {calls}");
            }
            let (prepared, shard) = scene.new_version("0.1.1");
            let replace = move |call, _: &str| {
                if call == replaced_before {
                    std::fs::rename(&prepared, &shard).unwrap();
                }
                Ok(())
            };
            let store = Scripted::new(is_bucket, replace);
            let session = scene.session_with(Arc::clone(&store), cache());
            let seen = versions_of_c(&session).await;
            let seen = seen.unwrap_or_else(|error| panic!("bucket {is_bucket}, call {replaced_before}: {error:?}"));
            assert!(seen == ["0.1.0"] || seen == ["0.1.1"], "bucket {is_bucket}, call {replaced_before}: {seen:?}");
            if store.calls.load(Ordering::Relaxed) > replaced_before {
                assert_eq!(versions_of_c(&session).await.unwrap(), ["0.1.1"], "the next statement sees the new one");
            }
        }
    }
}

#[tokio::test]
async fn a_writer_that_replaces_a_shard_before_every_call_ends_no_statement_on_a_disk() {
    let scene = Scene::new();
    let versions: Vec<_> = (0..60).map(|number| scene.new_version(&format!("0.2.{number}"))).collect();
    let replace = move |call: usize, _: &str| {
        if let Some((prepared, shard)) = versions.get(call) {
            std::fs::rename(prepared, shard).unwrap();
        }
        Ok(())
    };
    let session = scene.session(Scripted::new(false, replace));
    for _ in 0..5 {
        let seen = versions_of_c(&session).await.unwrap();
        assert!(seen.len() == 1 && seen[0].starts_with("0.2."), "{seen:?}");
    }
}

#[tokio::test]
async fn a_bucket_whose_shard_is_replaced_all_the_time_ends_the_statement_with_a_hint_and_no_damage() {
    let scene = Scene::new();
    let (prepared, shard) = scene.new_version("0.1.1");
    let copy_again = move |_, path: &str| {
        if path.ends_with("63-z.parquet") {
            let next = shard.with_extension("next");
            std::fs::copy(&prepared, &next).unwrap();
            std::fs::rename(next, &shard).unwrap();
        }
        Ok(())
    };
    let store = Scripted::new(true, copy_again);
    let error = versions_of_c(&scene.session(Arc::clone(&store))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
    assert!(error.message().contains("was replaced while it was read"), "{error:?}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("again")), "{error:?}");
    assert!(store.calls.load(Ordering::Relaxed) > crate::query::query_stream::MAX_PLANS, "it was planned again");
}

#[tokio::test]
async fn a_planned_statement_keeps_its_shards_and_a_removed_one_is_planned_without_it() {
    let scene = Scene::new();
    let session = scene.lake.session();
    let planned = session.query("select name, version from versions").await.unwrap();
    let (prepared, shard) = scene.new_version("0.1.1");
    std::fs::rename(&prepared, &shard).unwrap();
    std::fs::remove_file(&shard).unwrap();
    let rows: Vec<_> = planned.try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 4, "the rows of the time of the plan");

    let scene = Scene::new();
    let shard = scene.lake.shard("npm", TableKind::Versions, Some("c"), None);
    let remove = move |_, path: &str| {
        if path.ends_with("versions/63-z.parquet") {
            let _ = std::fs::remove_file(&shard);
        }
        Ok(())
    };
    assert_eq!(versions_of_c(&scene.session(Scripted::new(false, remove))).await.unwrap(), Vec::<String>::new());
}

/// EACCES, EIO, ENOTDIR, EMFILE and ENFILE: the numbers are the same on Linux, macOS and the BSDs.
const REFUSALS: [i32; 5] = [13, 5, 20, 24, 23];

#[tokio::test]
async fn a_refusal_of_the_system_is_never_called_damage() {
    for number in REFUSALS {
        for refused in 0..6 {
            let scene = Scene::new();
            let refuse = move |call, path: &str| match call {
                call if call == refused => Err(StoreError::Generic {
                    store: "disk",
                    source: Box::new(std::io::Error::from_raw_os_error(number)),
                }),
                _ => {
                    assert!(FilePath::new(path).is_relative());
                    Ok(())
                }
            };
            let error = versions_of_c(&scene.session(Scripted::new(true, refuse))).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
            assert!(!error.report().contains("damaged") && error.is_of_system(), "{number}: {error:?}");
            assert_eq!(error.hint_text().is_some_and(|hint| hint.contains("ulimit -n")), number >= 23, "{error:?}");
        }
    }
}

/// Puts `count` rows that hardly compress into the lake's one shard of `docs`, or beside it.
fn put_docs(lake: &TestLake, origin: &str, count: u64) {
    let rev = |number: u64| format!("{:016x}", (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(2);
    let rows: Vec<_> = (0..count).map(|number| json!({"name": format!("{number:06}"), "rev": rev(number)})).collect();
    lake.put(origin, TableKind::Docs, None, None, &rows);
}

#[tokio::test]
async fn a_shard_that_is_replaced_after_its_footer_came_from_the_cache_is_read_at_one_version() {
    let sql = "select count(*) as n, max(rev) as rev from docs where rev <> ''";
    let rows_of = async |session: &Session| {
        let batches: Vec<_> = session.query(sql).await.unwrap().try_collect().await.unwrap();
        batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
    };
    let mut seen = Vec::new();
    for replaced_before in 0.. {
        let (lake, folder) = (TestLake::empty(), tempfile::tempdir().unwrap());
        put_docs(&lake, "npm", 9_000);
        put_docs(&lake, "aside", 8_000);
        let shard = lake.shard("npm", TableKind::Docs, None, None);
        let aside = lake.shard("aside", TableKind::Docs, None, None);
        assert!(shard.metadata().unwrap().len() > 200_000);
        let cache = Some(ObjectCache::new(folder.path().to_owned(), "", 1 << 20));
        let options = SessionOptions { threads: 2, ..SessionOptions::default() };
        let session = |store| lake.session_in_bucket(store, cache.as_ref(), &options);
        assert_eq!(rows_of(&session(Scripted::new(true, |_, _| Ok(())))).await, 9_000);
        let replace = move |call, _: &str| {
            if call == replaced_before {
                std::fs::rename(&aside, &shard).unwrap();
            }
            Ok(())
        };
        let store = Scripted::new(true, replace);
        let rows = rows_of(&session(Arc::clone(&store) as _)).await;
        if store.calls.load(Ordering::Relaxed) <= replaced_before {
            assert_eq!(rows, 9_000);
            break;
        }
        seen.push(rows);
    }
    // The listing, and at least one read of rows: both lead to the new version.
    assert!(seen.len() >= 2 && seen.iter().all(|rows| *rows == 8_000), "{seen:?}");
}
