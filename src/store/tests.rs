//! Tests the promises of a store on each backend.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use super::*;
use crate::error::{Context, Error, ErrorKind};

impl Store {
    /// Returns all objects with their bytes.
    pub(crate) async fn contents(&self) -> BTreeMap<String, Bytes> {
        let mut contents = BTreeMap::new();
        for path in self.list("").await.unwrap() {
            let bytes = self.get(&path).await.unwrap().unwrap();
            contents.insert(path, bytes);
        }
        contents
    }
}

async fn conforms(store: &Store) {
    store.create_root().await.unwrap();
    assert_eq!(store.get("a/b.json").await.unwrap(), None);
    store.put("a/b.json", "one").await.unwrap();
    store.put("a/b.json", "two").await.unwrap();
    assert_eq!(store.get("a/b.json").await.unwrap().unwrap(), "two");
    let staging = store.clone();
    tokio::task::spawn_blocking(move || {
        let mut staged = staging.stage("s/x.parquet").unwrap();
        std::io::Write::write_all(&mut staged, b"rows").unwrap();
        staged.finish().unwrap();
    })
    .await
    .unwrap();
    assert_eq!(store.list("").await.unwrap(), ["a/b.json", "s/x.parquet"]);
    assert!(store.promote("s/x.parquet", "t/x.parquet").await.unwrap());
    assert!(!store.promote("s/x.parquet", "t/x.parquet").await.unwrap());
    assert_eq!(store.get("t/x.parquet").await.unwrap().unwrap(), "rows");
    assert!(store.open_shard("t/x.parquet").await.unwrap().is_some());
    assert!(store.open_shard("t/y.parquet").await.unwrap().is_none());
    store.delete("t/x.parquet").await.unwrap();
    store.delete("t/x.parquet").await.unwrap();
    store.delete_folder("a").await.unwrap();
    store.delete_folder("a").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn memory_keeps_the_promises() {
    conforms(&Store::memory()).await;
}

#[tokio::test]
async fn a_local_disk_keeps_the_promises_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("new/lake").to_str().unwrap()).unwrap();
    conforms(&store).await;
}

#[test]
fn a_location_of_another_kind_is_refused() {
    for location in ["s3://", "r2://bucket", "ftp://x/y"] {
        assert_eq!(Store::open(location).unwrap_err().kind(), ErrorKind::Input, "{location}");
    }
}

/// Puts under a condition: of many that try at once, one succeeds.
async fn conditions_hold(store: &Store) {
    store.create_root().await.unwrap();
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    assert!(!store.replace_if_unchanged("x/lock", &first, "other").await.unwrap(), "there is nothing to replace");
    assert!(store.put_if_absent("x/lock", first.clone()).await.unwrap());
    assert!(!store.put_if_absent("x/lock", "other").await.unwrap());
    assert!(!store.replace_if_unchanged("x/lock", &second, "other").await.unwrap());
    assert!(store.replace_if_unchanged("x/lock", &first, second.clone()).await.unwrap());
    assert!(!store.replace_if_unchanged("x/lock", &first, "other").await.unwrap());
    assert!(!store.delete_if_unchanged("x/lock", &first).await.unwrap());
    assert_eq!(store.get("x/lock").await.unwrap().unwrap(), second);

    let tries = (0..20).map(|number| {
        let (store, second) = (store.clone(), second.clone());
        tokio::spawn(
            async move { store.replace_if_unchanged("x/lock", &second, format!("by {number}")).await.unwrap() },
        )
    });
    let won = futures::future::join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!(won, 1);
    let held = store.get("x/lock").await.unwrap().unwrap();
    assert!(store.delete_if_unchanged("x/lock", &held).await.unwrap());
    let tries = (0..20).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.put_if_absent("x/lock", format!("by {number}")).await.unwrap() })
    });
    let won = futures::future::join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    assert_eq!(won, 1);
    assert_eq!(store.list("x").await.unwrap(), ["x/lock"], "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_holds_in_memory_and_on_a_local_disk() {
    conditions_hold(&Store::memory()).await;
    let folder = tempfile::tempdir().unwrap();
    conditions_hold(&Store::open(folder.path().to_str().unwrap()).unwrap()).await;
}

#[tokio::test]
async fn a_folder_that_vanished_is_an_error_and_not_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("lake").to_str().unwrap()).unwrap();
    store.create_root().await.unwrap();
    store.put("a", "1").await.unwrap();
    std::fs::remove_dir_all(folder.path().join("lake")).unwrap();
    let error = store.put("npm/b", "2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake);
    assert!(error.message().contains("is gone"), "{error}");
    assert!(store.stage("npm/staging/c").is_err());
    assert!(!folder.path().join("lake").exists());
}

#[tokio::test]
async fn remains_of_a_put_of_a_dead_process_are_removed_and_hide_no_empty_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    std::fs::write(folder.path().join(".put-a1b2c3"), "half").unwrap();
    assert_eq!(store.any_entry().await.unwrap(), None);
    store.put("npm/manifest/0-z.json", "{}").await.unwrap();
    std::fs::write(folder.path().join("npm/manifest/.put-a1b2c3"), "half").unwrap();
    store.sweep("", Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(store.list("").await.unwrap().len(), 3, "a put that began just now may be another one's");
    store.sweep("npm", Duration::ZERO).await.unwrap();
    assert_eq!(store.list("npm").await.unwrap(), ["npm/manifest/0-z.json"]);
}

#[tokio::test]
async fn puts_and_moves_on_a_disk_are_durable_when_they_return() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let store = Store::open(root.to_str().unwrap()).unwrap();
    let steps = || -> Vec<(Step, String)> {
        store.take_reached().into_iter().map(|reached| (reached.step, reached.path)).collect()
    };
    let path = |step: Step, path: &str| (step, path.to_owned());
    let put = |object: &str, folder: &str| {
        let bytes = [Step::CreateFile, Step::Write, Step::SyncFile, Step::Rename].map(|step| path(step, object));
        [&bytes[..], &[path(Step::SyncFolder, folder)]].concat()
    };
    store.put("a/b/c", "1").await.unwrap();
    let folders = [
        path(Step::CreateFolder, "a"),
        path(Step::CreateFolder, "a/b"),
        path(Step::SyncFolder, "a"),
        path(Step::SyncFolder, ""),
    ];
    assert_eq!(steps(), [&folders[..], &put("a/b/c", "a/b")].concat(), "new folders, the bytes, and then the name");
    store.put("a/b/c", "2").await.unwrap();
    assert_eq!(steps(), put("a/b/c", "a/b"));
    assert!(store.put_if_absent("a/d", "1").await.unwrap());
    assert_eq!(steps(), put("a/d", "a"));
    assert!(store.replace_if_unchanged("a/d", &Bytes::from_static(b"1"), "2").await.unwrap());
    assert_eq!(steps(), put("a/d", "a"));
    assert!(store.delete_if_unchanged("a/d", &Bytes::from_static(b"2")).await.unwrap());
    assert_eq!(steps(), [path(Step::Delete, "a/d"), path(Step::SyncFolder, "a")]);
    store.stage("s/x").unwrap().finish().unwrap();
    let staged = [Step::Delete, Step::CreateFile, Step::SyncFile].map(|step| path(step, "s/x"));
    let folders = [path(Step::CreateFolder, "s"), path(Step::SyncFolder, "")];
    assert_eq!(steps(), [&folders[..], &staged].concat());
    assert!(store.promote("s/x", "t/x").await.unwrap());
    let moved = [path(Step::Rename, "t/x"), path(Step::SyncFolder, "t")];
    let folders = [path(Step::CreateFolder, "t"), path(Step::SyncFolder, "")];
    assert_eq!(steps(), [&folders[..], &moved].concat());
}

/// Checks that `path` holds the old object or the new one, whichever step of `change` was the last.
async fn old_or_new<F: Future<Output = Result<()>>>(
    path: &str,
    change: impl Fn(Store) -> F,
    [old, new]: [Option<&str>; 2],
) {
    let mut seen = Vec::new();
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap()).unwrap();
        store.put("o/staging/x", "new").await.unwrap();
        if let Some(old) = old {
            store.put("o/x", old.to_owned()).await.unwrap();
        }
        let dying = store.failing_at(number, Failure::Death);
        let changed = change(dying.clone()).await;
        let found = store.get(path).await.unwrap().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let Some(step) = dying.failed_at() else {
            changed.unwrap();
            assert_eq!(found.as_deref(), new);
            break;
        };
        changed.unwrap_err();
        assert!([old, new].contains(&found.as_deref()), "{found:?} after a death before {step}");
        seen.push(found);
        let others = store.list("o").await.unwrap();
        let is_known = |other: &String| Store::is_put_begun(other) || ["o/x", "o/staging/x"].contains(&other.as_str());
        assert!(others.iter().all(is_known), "{others:?} after a death before {step}");
    }
    assert!(seen.iter().any(|found| found.as_deref() == old), "{seen:?}");
    assert!(
        seen.len() >= 2 && seen.last().unwrap().as_deref() == new,
        "no death came after the change itself: {seen:?}"
    );
}

#[tokio::test]
async fn a_death_between_any_two_steps_on_a_disk_leaves_the_old_object_or_the_new_one() {
    let (old, new) = (Some("old"), Some("new"));
    let expected = Bytes::from_static(b"old");
    for before in [None, old] {
        old_or_new("o/x", async |store| store.put("o/x", "new").await, [before, new]).await;
        old_or_new("o/x", async |store| store.promote("o/staging/x", "o/x").await.map(drop), [before, new]).await;
    }
    old_or_new("o/x", async |store| store.put_if_absent("o/x", "new").await.map(drop), [None, new]).await;
    old_or_new("o/x", async |store| store.replace_if_unchanged("o/x", &expected, "new").await.map(drop), [old, new])
        .await;
    old_or_new("o/x", async |store| store.delete_if_unchanged("o/x", &expected).await.map(drop), [old, None]).await;
}

#[test]
fn a_full_disk_gives_a_hint_for_every_kind_of_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    store.stage("s/before").unwrap().finish().unwrap();
    for number in 1..=3 {
        let full = store.failing_at(1 + number, Failure::FullDisk);
        let written = full.stage("s/x").and_then(|mut staged| {
            staged.write_all(b"rows").or_error(ErrorKind::Lake, || "cannot write a shard".to_owned())?;
            staged.finish()
        });
        let error = written.unwrap_err();
        let hint = error.hint_text().unwrap();
        assert!(
            hint.contains("free some space") && hint.contains("staged is kept"),
            "{}: {hint}",
            full.failed_at().unwrap()
        );
    }
}

/// A process that was suspended while another took its place still has the file open that it had begun.
#[test]
fn a_file_staged_again_is_not_the_file_that_another_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    let mut first = store.stage("o/staging/p/docs.parquet").unwrap();
    first.write_all(b"first").unwrap();
    let mut second = store.stage("o/staging/p/docs.parquet").unwrap();
    second.write_all(b"second").unwrap();
    second.finish().unwrap();
    first.write_all(b" goes on for longer").unwrap();
    first.flush().unwrap();
    assert_eq!(std::fs::read(folder.path().join("o/staging/p/docs.parquet")).unwrap(), b"second");
}

#[tokio::test]
async fn a_disk_without_hard_links_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap().without_links();
    conditions_hold(&store).await;
    store.delete_folder("x").await.unwrap();
    conforms(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hard_links_one_of_many_creators_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap().without_links();
    let tries = (0..20).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.put_if_absent("x/lease", number.to_string()).await.unwrap() })
    });
    let mut created = 0;
    for tried in tries.collect::<Vec<_>>() {
        created += u32::from(tried.await.unwrap());
    }
    assert_eq!(created, 1);
    assert_eq!(store.list("").await.unwrap(), ["x/lease"]);
}

/// The number of EXDEV, which is the same on Linux, macOS and the BSDs.
const CROSSES_DEVICES: i32 = 18;

#[tokio::test]
async fn a_folder_into_which_nothing_can_be_moved_is_named_and_nothing_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Store::open(folder.path().to_str().unwrap()).unwrap();
    for path in ["npm/docs/0-z.parquet", "npm/versions/0-z.parquet", "npm/stars/0-z.parquet"] {
        whole.put(path, "rows").await.unwrap();
    }
    let before = whole.list("").await.unwrap();
    let tables = ["npm/docs", "npm/versions", "npm/missing", "npm/stars"].map(str::to_owned);
    whole.check_moves("npm/staging", &tables, &[String::new(), "npm/leases".to_owned()]).await.unwrap();
    assert_eq!(whole.folders_elsewhere("npm/staging", &tables).await.unwrap(), Vec::<String>::new());
    for (number, hint) in [(CROSSES_DEVICES, "move the whole lake"), (30, "may write to"), (13, "may write to")] {
        let store = whole.refusing(move |access, path| {
            (access == Access::MoveTo && path.starts_with("npm/versions")).then_some(number)
        });
        let error = store.check_moves("npm/staging", &tables, &[]).await.unwrap_err();
        assert!(error.message().contains("npm/versions"), "{error:?}");
        assert!(error.hint_text().is_some_and(|told| told.contains(hint)), "{error:?}");
    }
    assert_eq!(whole.list("").await.unwrap(), before);
}

#[tokio::test]
async fn an_open_shard_stays_what_it_was_and_says_when_the_system_refused_a_read() {
    use parquet::file::reader::ChunkReader;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap()).unwrap();
    store.put("t/x", "the first version").await.unwrap();
    let open = store.open_shard("t/x").await.unwrap().unwrap();
    store.put("t/x", "another").await.unwrap();
    assert_eq!(open.size_bytes(), 17);
    assert_eq!(ChunkReader::get_bytes(&open, 4, 5).unwrap(), "first");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut open.clone().into_read(), &mut text).unwrap();
    assert_eq!(text, "the first version");
    let damaged = || Error::lake("it is damaged");
    for (start, length) in [(10, 8), (17, 1), (u64::MAX, 2), (0, usize::MAX)] {
        let error = ChunkReader::get_bytes(&open, start, length).unwrap_err();
        assert_eq!(open.failure(|| damaged().source(error)).message(), "it is damaged");
    }

    let refusing = store.refusing(|access, _| (access == Access::Read).then_some(5));
    let open = refusing.open_shard("t/x").await.unwrap().unwrap();
    assert!(ChunkReader::get_bytes(&open, 0, 3).is_err());
    let error = open.failure(damaged);
    assert!(error.message().starts_with("cannot read") && error.is_of_system(), "{error:?}");
    let refusing = store.refusing(|access, _| (access == Access::Open).then_some(24));
    assert!(refusing.open_shard("t/x").await.unwrap_err().is_out_of_files());
}
