//! Tests what only this module can see of a bucket: its steps, its scratch folder, and which failures pass.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::Error as ObjectError;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use url::Url;

use super::MemoryBucket;
use super::transient::{is_transient, status};
use super::upload::PART_LENGTH;
use crate::error::{Error, Result};
use crate::store::{Failure, Step, Store};

fn stage(store: &Store, path: &str, bytes: &[u8]) -> Result<()> {
    let mut staged = store.stage(path)?;
    staged.write_all(bytes).map_err(|error| Error::lake("cannot write a shard").source(error))?;
    staged.finish()
}

fn store_of(bucket: &MemoryBucket, scratch: &tempfile::TempDir) -> Store {
    let url = Url::parse("s3://bucket/lake/").unwrap();
    Store::of_objects(Arc::new(bucket.clone()), url, Path::from("lake"), Some(scratch.path().to_owned()))
}

#[tokio::test]
async fn the_steps_of_the_scratch_and_of_the_bucket_are_one_sequence() {
    let store = Store::memory();
    let large = vec![7; PART_LENGTH + 1];
    stage(&store, "s/x", &large).unwrap();
    assert!(store.promote("s/x", "t/x").await.unwrap());
    store.put("a", "1").await.unwrap();
    store.delete_folder("t").await.unwrap();
    let steps: Vec<(Step, String)> =
        store.take_reached().into_iter().map(|reached| (reached.step, reached.path)).collect();
    let expected = [
        (Step::CreateFolder, "s"),
        (Step::SyncFolder, ""),
        (Step::Delete, "s/x"),
        (Step::CreateFile, "s/x"),
        (Step::Write, "s/x"),
        (Step::SyncFile, "s/x"),
        (Step::BeginUpload, "t/x"),
        (Step::PutPart, "t/x"),
        (Step::PutPart, "t/x"),
        (Step::CompleteUpload, "t/x"),
        (Step::Delete, "s/x"),
        (Step::Put, "a"),
        (Step::Delete, "t/x"),
    ];
    assert_eq!(steps, expected.map(|(step, path)| (step, path.to_owned())));
}

/// Stages, and moves by an upload whose id is known.
async fn build_and_move(store: &Store, bytes: &[u8]) -> Result<()> {
    stage(store, "s/x", bytes)?;
    store.back_up("s/x", "s/x").await?;
    let upload = store.begin_upload("s/x", "t/x").await?;
    store.promote_upload("s/x", "t/x", upload.as_ref()).await?;
    store.delete("s/x").await
}

#[tokio::test]
async fn a_death_at_any_step_leaves_the_old_object_or_the_new_one_with_and_without_the_scratch() {
    let (old, new) = (Bytes::from_static(b"old"), Bytes::from(vec![7; 2 * PART_LENGTH + 5]));
    for loses_scratch in [false, true] {
        let (mut seen_old, mut seen_new) = (0, 0);
        for number in 1.. {
            let bucket = Arc::new(MemoryBucket::new());
            let store = Store::of_memory(&bucket);
            store.put("t/x", old.clone()).await.unwrap();
            let dying = store.failing_at(number, Failure::Death);
            let moved = build_and_move(&dying, &new).await;
            let next = if loses_scratch { Store::of_memory(&bucket) } else { store.clone() };
            let found = next.get("t/x").await.unwrap().unwrap();
            assert!(found == old || found == new, "{} bytes", found.len());
            let Some(step) = dying.failed_at() else {
                moved.unwrap();
                assert!(found == new);
                break;
            };
            assert!(moved.is_err(), "a death before {step}");
            (seen_old, seen_new) = (seen_old + u32::from(found == old), seen_new + u32::from(found == new));
            build_and_move(&next, &new).await.unwrap();
            assert!(next.get("t/x").await.unwrap().unwrap() == new, "after a death before {step}");
            assert_eq!(next.list("").await.unwrap(), ["t/x"], "after a death before {step}");
        }
        assert!(seen_old > 5 && seen_new > 1, "{seen_old} and {seen_new}");
    }
}

#[test]
fn a_full_scratch_disk_gives_an_error_that_names_the_option() {
    for number in 1..=6 {
        let full = Store::memory().failing_at(number, Failure::FullDisk);
        let error = stage(&full, "s/x", b"rows").unwrap_err();
        let hint = error.hint_text().unwrap();
        assert!(hint.contains("free some space") && hint.contains("--scratch"), "{number}: {hint}");
        assert!(error.report().contains("scratch folder"), "{}", error.report());
        assert!(full.failed_at().is_some());
    }
}

#[tokio::test]
async fn a_scratch_folder_that_cannot_be_used_gives_an_error_that_names_the_option() {
    let (bucket, folder) = (MemoryBucket::new(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let url = Url::parse("s3://bucket/").unwrap();
    let store = Store::of_objects(Arc::new(bucket), url, Path::ROOT, Some(folder.path().join("file")));
    for error in [stage(&store, "s/x", b"rows"), store.check_moves("s", &[], &[]).await] {
        let error = error.unwrap_err();
        assert!(error.hint_text().unwrap().contains("--scratch"), "{error:?}");
    }
    store.put("a", "1").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), ["a"], "a reader needs no scratch folder");
}

#[tokio::test]
async fn old_files_of_dead_processes_are_removed_from_the_scratch_folder_and_no_others() {
    let (bucket, folder) = (MemoryBucket::new(), tempfile::tempdir().unwrap());
    let old = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    {
        let store = store_of(&bucket, &folder);
        for path in ["s/old", "s/new"] {
            stage(&store, path, b"rows").unwrap();
        }
        let mut found = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let root = found.find(|path| path.is_dir()).unwrap();
        let file = std::fs::File::options().write(true).open(root.join("s/old")).unwrap();
        file.set_modified(old).unwrap();
        stage(&store, "s/more", b"rows").unwrap();
        assert_eq!(store.list("").await.unwrap(), ["s/more", "s/new", "s/old"], "this process may still need them");
        store_of(&bucket, &folder).check_moves("s", &[], &[]).await.unwrap();
        assert_eq!(store.list("").await.unwrap(), ["s/more", "s/new", "s/old"], "a process that lives may need them");
    }
    let next = store_of(&bucket, &folder);
    assert_eq!(next.list("").await.unwrap(), ["s/more", "s/new", "s/old"], "a reader removes nothing");
    next.check_moves("s", &[], &[]).await.unwrap();
    assert_eq!(next.list("").await.unwrap(), ["s/more", "s/new"], "a run that goes on may use what is new");
}

#[test]
fn temporary_scratch_folders_of_dead_processes_are_removed_and_no_others() {
    let parent = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        std::fs::create_dir(parent.path().join(name)).unwrap();
        std::fs::write(parent.path().join(name).join("rows"), "1").unwrap();
        std::fs::File::create(parent.path().join(name).with_extension("lock")).unwrap()
    };
    let (own, alive) = (make("all-docs-scratch-1"), make("all-docs-scratch-2"));
    alive.try_lock_shared().unwrap();
    drop((own, make("all-docs-scratch-3"), make("others")));
    super::scratch::remove_temporary(&parent.path().join("all-docs-scratch-1"));
    let mut left: Vec<String> = std::fs::read_dir(parent.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let [one, two, others] = ["all-docs-scratch-1", "all-docs-scratch-2", "others"];
    assert_eq!(left, [one, &format!("{one}.lock"), two, &format!("{two}.lock"), others, &format!("{others}.lock")]);
}

#[tokio::test]
async fn a_temporary_scratch_folder_and_the_copies_of_shards_are_gone_with_the_store() {
    let store = Store::memory();
    stage(&store, "s/x", b"rows").unwrap();
    store.put("t/x", "rows").await.unwrap();
    let crate::store::Backend::Objects(objects) = &store.backend else { unreachable!("memory is a bucket") };
    let root = objects.scratch.disk.root().to_owned();
    let copy = store.open_whole("t/x").await.unwrap().unwrap();
    let names: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["s"], "the copy has no name");
    assert_eq!(copy.size_bytes(), 4);
    drop(store);
    assert!(!root.exists());
}

#[test]
fn a_failure_passes_or_not() {
    let generic = |source: Box<dyn std::error::Error + Send + Sync>| ObjectError::Generic { store: "S3", source };
    let of_status = |status: &str| generic(format!("Server returned non-2xx status code: {status}: <Error/>").into());
    for passing in ["500 Internal Server Error", "502 Bad Gateway", "503 Slow Down", "504 x", "429 x", "408 x"] {
        assert!(is_transient(&of_status(passing)), "{passing}");
    }
    for lasting in ["400 Bad Request", "403 Forbidden", "404 Not Found", "416 x", "501 Not Implemented", "301 x"] {
        assert!(!is_transient(&of_status(lasting)), "{lasting}");
    }
    assert_eq!(status(&of_status("416 Range Not Satisfiable")), Some(416));
    assert_eq!(status(&generic("no number".into())), None);
    assert!(is_transient(&of_status("400 Bad Request: <Code>RequestTimeout</Code>")));
    let of_http = |kind| generic(Box::new(HttpError::new(kind, std::io::Error::other("x"))));
    for passing in [HttpErrorKind::Connect, HttpErrorKind::Interrupted, HttpErrorKind::Timeout, HttpErrorKind::Decode] {
        assert!(is_transient(&of_http(passing)), "{passing:?}");
    }
    assert!(is_transient(&generic("one of many: We encountered an internal error (code: InternalError)".into())));
    assert!(!is_transient(&generic("an option is wrong".into())));
}

/// The console of S3 marks a folder by an object of its name without bytes.
#[tokio::test]
async fn the_mark_of_a_folder_is_no_object() {
    let store = Store::memory();
    for (path, bytes) in [("npm", ""), ("npm/docs", ""), ("npm/docs/x", "1"), ("npm/empty", ""), ("npm0", "")] {
        store.put(path, bytes).await.unwrap();
    }
    assert_eq!(store.list("").await.unwrap(), ["npm/docs/x", "npm/empty", "npm0"]);
    store.delete_folder("npm").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), ["npm", "npm0"]);
}
