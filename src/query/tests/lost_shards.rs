//! Tests statements on a lake that has lost shards, and on one that a writer changes meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;

use super::beside_a_writer::Scripted;
use super::lake::TestLake;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Manifest, OriginAge};
use crate::query::{Session, SessionOptions};
use crate::table::TableKind;

const COUNT: &str = "select name from versions";

/// A lake whose manifests name all of its shards of `versions`.
struct Scene {
    lake: TestLake,
    manifests: Vec<PathBuf>,
    shard: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        let lake = TestLake::small();
        let tables = [TableKind::Packages, TableKind::Versions];
        let manifests = vec![lake.put_manifest(None, Some("c"), &tables), lake.put_manifest(Some("c"), None, &tables)];
        let shard = lake.shard("npm", TableKind::Versions, Some("c"), None);
        Scene { lake, manifests, shard }
    }

    fn options(&self) -> SessionOptions {
        let texts = self.manifests.iter().map(|path| fs::read(path).unwrap());
        let manifests: Vec<Manifest> = texts.map(|text| serde_json::from_slice(&text).unwrap()).collect();
        let ages = BTreeMap::from([("npm".to_owned(), OriginAge::of(&manifests))]);
        SessionOptions { threads: 2, ages, ..SessionOptions::default() }
    }

    fn session(&self) -> Session {
        self.lake.session_in(Arc::new(LocalFileSystem::new()), &self.options())
    }
}

async fn rows(session: &Session, sql: &str) -> Result<usize> {
    let batches: Vec<_> = session.query(sql).await?.try_collect().await?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

fn assert_lost(error: &Error, told: &str) {
    assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
    assert!(error.message().contains("npm/versions/63-z.parquet") && error.message().contains(told), "{error:?}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("verify")), "{error:?}");
}

#[tokio::test]
async fn a_statement_that_needs_a_lost_shard_fails_and_any_other_runs() {
    let scene = Scene::new();
    assert_eq!(rows(&scene.session(), COUNT).await.unwrap(), 4);
    fs::remove_file(&scene.shard).unwrap();
    assert_lost(&rows(&scene.session(), COUNT).await.unwrap_err(), "is gone, and its manifest names it");
    assert_lost(&rows(&scene.session(), "select name from versions where name = 'c'").await.unwrap_err(), "is gone");
    assert_eq!(rows(&scene.session(), "select name from versions where name = 'a'").await.unwrap(), 2);
    assert_eq!(rows(&scene.session(), "select name from packages").await.unwrap(), 4);

    fs::write(&scene.shard, "").unwrap();
    assert_lost(&rows(&scene.session(), COUNT).await.unwrap_err(), "is empty");
    fs::remove_file(&scene.shard).unwrap();
    fs::create_dir(&scene.shard).unwrap();
    assert_lost(&rows(&scene.session(), COUNT).await.unwrap_err(), "is gone");
}

#[cfg(unix)]
#[tokio::test]
async fn a_table_whose_disk_is_away_has_lost_its_shards() {
    let scene = Scene::new();
    let folder = scene.shard.parent().unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert!(rows(&scene.session(), COUNT).await.unwrap_err().message().contains("is gone"));
    std::os::unix::fs::symlink("/nowhere/at/all", folder).unwrap();
    assert!(rows(&scene.session(), COUNT).await.unwrap_err().message().contains("is gone"));
}

#[tokio::test]
async fn what_no_manifest_names_is_not_missed() {
    let scene = Scene::new();
    let session = scene.session();
    // The origin was removed after the session had begun: the manifest first, then the shards.
    fs::remove_file(&scene.manifests[1]).unwrap();
    fs::remove_file(&scene.shard).unwrap();
    assert_eq!(rows(&session, COUNT).await.unwrap(), 3);
    // A hidden file is no shard, and neither is one of no bytes that no manifest names.
    fs::write(scene.shard.with_file_name("._63-z.parquet"), "of macOS").unwrap();
    fs::write(&scene.shard, "").unwrap();
    assert_eq!(rows(&session, COUNT).await.unwrap(), 3);
}

#[tokio::test]
async fn a_shard_that_a_writer_puts_after_the_listing_is_not_lost() {
    for is_bucket in [false, true] {
        let scene = Scene::new();
        let aside = scene.shard.with_extension("aside");
        fs::rename(&scene.shard, &aside).unwrap();
        let (from, to) = (aside, scene.shard.clone());
        // The first read of a manifest comes after the listing.
        let store = Scripted::new(is_bucket, move |_, path: &str| {
            if path.ends_with(".json") && from.exists() {
                fs::rename(&from, &to).unwrap();
            }
            Ok(())
        });
        let session = scene.lake.session_in(store, &scene.options());
        assert_eq!(rows(&session, COUNT).await.unwrap(), 4, "bucket {is_bucket}");
    }
}
