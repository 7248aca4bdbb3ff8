//! The promises of a store, as functions that hold on every backend. Each takes an empty store.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use all_docs::error::ErrorKind;
use all_docs::lake::PartitionSet;
use all_docs::store::{EntryKind, ShardFile, Store};
use all_docs::version::FORMAT_VERSION;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::file::reader::ChunkReader;
use sha2::{Digest, Sha256};

/// The size of a part of an upload, and of the largest object that is put at once.
pub(crate) const PART_BYTES: usize = 8 << 20;
/// The writers of a race.
const WRITERS: usize = 16;

/// Checks every promise, each on a store that `fresh` returns. `objects` is the length of the long listing.
pub(crate) async fn conforms<F: Future<Output = Store>>(fresh: impl Fn() -> F, objects: usize) {
    objects_are_put_read_and_deleted(&fresh().await).await;
    a_put_replaces_as_a_whole(&fresh().await).await;
    one_of_many_creators_wins(&fresh().await).await;
    one_of_many_replacers_wins(&fresh().await).await;
    a_condition_holds_or_changes_nothing(&fresh().await).await;
    a_record_is_replaced_while_it_is_in_place(&fresh().await).await;
    many_objects_are_listed(&fresh().await, objects).await;
    odd_names_are_kept(&fresh().await).await;
    any_range_is_read(&fresh().await).await;
    an_open_shard_is_one_version(&fresh().await).await;
    staged_files_of_any_size_are_moved(&fresh().await).await;
    staged_files_and_objects_are_one_space(&fresh().await).await;
    an_upload_can_be_begun_and_aborted(&fresh().await).await;
    an_object_can_be_moved(&fresh().await).await;
}

/// Returns bytes without order; every 64 KiB of them differ.
pub(crate) fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut block = Vec::with_capacity(64 << 10);
    while block.len() < 64 << 10 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(length + block.len());
    while bytes.len() < length {
        let place = bytes.len() as u64;
        block[..8].copy_from_slice(&(place ^ seed).to_le_bytes());
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(length);
    bytes.into()
}

/// Does work that may block.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Stages a file.
pub(crate) async fn stage(store: &Store, path: &str, bytes: &Bytes) {
    let (store, path, bytes) = (store.clone(), path.to_owned(), bytes.clone());
    on_a_thread(move || {
        let mut staged = store.stage(&path).unwrap();
        bytes.chunks(1 << 20).for_each(|chunk| staged.write_all(chunk).unwrap());
        staged.finish().unwrap();
    })
    .await;
}

/// Reads a shard from its beginning to its end.
pub(crate) async fn read_all(file: ShardFile) -> Bytes {
    on_a_thread(move || {
        let mut bytes = Vec::new();
        file.into_read().read_to_end(&mut bytes).unwrap();
        Bytes::from(bytes)
    })
    .await
}

async fn objects_are_put_read_and_deleted(store: &Store) {
    store.create_root().await.unwrap();
    assert_eq!(store.any_entry().await.unwrap(), None);
    assert_eq!(store.get("a/b.json").await.unwrap(), None);
    assert_eq!(store.digest("a/b.json").await.unwrap(), None);
    assert!(store.open_shard("a/b.json").await.unwrap().is_none());
    assert!(store.open_whole("a/b.json").await.unwrap().is_none());
    for bytes in ["one", "", "two"] {
        store.put("a/b.json", bytes).await.unwrap();
        assert_eq!(store.get("a/b.json").await.unwrap().unwrap(), bytes);
        for file in [store.open_shard("a/b.json").await, store.open_whole("a/b.json").await] {
            let file = file.unwrap().unwrap();
            assert_eq!(file.size_bytes(), bytes.len() as u64);
            assert_eq!(read_all(file).await, bytes);
        }
        let digest = format!("{:x}", Sha256::digest(bytes));
        assert_eq!(store.digest("a/b.json").await.unwrap(), Some(digest));
    }
    store.put("ab/c", "beside").await.unwrap();
    store.put("a/d/e/f", "deep").await.unwrap();
    assert_eq!(store.list("a").await.unwrap(), ["a/b.json", "a/d/e/f"], "a folder, not all names that begin so");
    assert_eq!(store.list("nothing").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.entry("a/b.json").await.unwrap(), Some(EntryKind::File));
    assert_eq!(store.entry("a/d").await.unwrap(), Some(EntryKind::Folder));
    assert_eq!(store.entry("a/x").await.unwrap(), None);
    assert!(store.any_entry().await.unwrap().is_some());
    store.delete("a/b.json").await.unwrap();
    store.delete("a/b.json").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), ["a/d/e/f", "ab/c"]);
    store.delete_folder("a").await.unwrap();
    store.delete_folder("a").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), ["ab/c"]);
}

/// Readers beside writers see one version or the other, never a part.
async fn a_put_replaces_as_a_whole(store: &Store) {
    store.create_root().await.unwrap();
    let versions = [noise(200_000, 1), noise(90_000, 2)];
    store.put("x/record", versions[0].clone()).await.unwrap();
    let writer = async {
        for round in 1..=20 {
            store.put("x/record", versions[round % 2].clone()).await.unwrap();
        }
    };
    let reader = async {
        for _ in 0..20 {
            let seen = store.get("x/record").await.unwrap().unwrap();
            assert!(versions.contains(&seen), "a mixture of {} bytes", seen.len());
        }
    };
    futures::join!(writer, reader);
    assert_eq!(store.list("").await.unwrap(), ["x/record"]);
}

async fn one_of_many_creators_wins(store: &Store) {
    store.create_root().await.unwrap();
    for round in 0..3 {
        let path = format!("x/lock-{round}");
        let tries = (0..WRITERS).map(|number| {
            let (store, path) = (store.clone(), path.clone());
            tokio::spawn(
                async move { store.put_if_absent(&path, format!("by {number}")).await.unwrap().then_some(number) },
            )
        });
        let tries: Vec<_> = tries.collect();
        let winners: Vec<_> = stream::iter(tries).then(|won| async { won.await.unwrap() }).collect().await;
        let winners: Vec<usize> = winners.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(store.get(&path).await.unwrap().unwrap(), format!("by {}", winners[0]));
    }
}

async fn one_of_many_replacers_wins(store: &Store) {
    store.create_root().await.unwrap();
    store.put("x/count", "0").await.unwrap();
    // Each of them counts three times. No count is lost.
    let tasks = (0..WRITERS).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for _ in 0..3 {
                loop {
                    let held = store.get("x/count").await.unwrap().unwrap();
                    let next: u32 = std::str::from_utf8(&held).unwrap().parse::<u32>().unwrap() + 1;
                    if store.replace_if_unchanged("x/count", &held, next.to_string()).await.unwrap() {
                        break;
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(store.get("x/count").await.unwrap().unwrap(), (3 * WRITERS).to_string());
    // Of many that expect the same bytes, one succeeds.
    let expected = store.get("x/count").await.unwrap().unwrap();
    let tries = (0..WRITERS).map(|number| {
        let (store, expected) = (store.clone(), expected.clone());
        tokio::spawn(
            async move { store.replace_if_unchanged("x/count", &expected, format!("by {number}")).await.unwrap() },
        )
    });
    let mut won = 0;
    for tried in tries.collect::<Vec<_>>() {
        won += u32::from(tried.await.unwrap());
    }
    assert_eq!(won, 1);
    assert_eq!(store.list("").await.unwrap(), ["x/count"], "nothing is left behind");
}

async fn a_condition_holds_or_changes_nothing(store: &Store) {
    store.create_root().await.unwrap();
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    assert!(!store.replace_if_unchanged("x", &first, "other").await.unwrap(), "there is nothing to replace");
    assert!(!store.delete_if_unchanged("x", &first).await.unwrap());
    assert!(store.put_if_absent("x", first.clone()).await.unwrap());
    assert!(!store.put_if_absent("x", "other").await.unwrap());
    assert!(!store.put_if_absent("x", first.clone()).await.unwrap(), "the same bytes are an object too");
    assert!(!store.replace_if_unchanged("x", &second, "other").await.unwrap());
    assert!(store.replace_if_unchanged("x", &first, second.clone()).await.unwrap());
    assert!(!store.replace_if_unchanged("x", &first, "other").await.unwrap());
    assert!(!store.delete_if_unchanged("x", &first).await.unwrap());
    assert_eq!(store.get("x").await.unwrap().unwrap(), second);
    assert!(store.delete_if_unchanged("x", &second).await.unwrap());
    assert!(store.put_if_absent("x", first).await.unwrap(), "what was deleted can be created again");
}

async fn a_record_is_replaced_while_it_is_in_place(store: &Store) {
    store.create_root().await.unwrap();
    let set = |boundary: &str| PartitionSet {
        format_version: FORMAT_VERSION,
        rows_per_partition: None,
        pivots: Vec::new(),
        boundaries: vec![boundary.to_owned()],
    };
    let created = store.create_record("x", set("a")).await.unwrap().unwrap();
    assert!(store.create_record("x", set("b")).await.unwrap().is_none());
    let replaced = store.replace_record("x", &created, set("b")).await.unwrap().unwrap();
    assert!(store.replace_record("x", &created, set("c")).await.unwrap().is_none(), "it is another one");
    let found = store.find_record::<PartitionSet>("x").await.unwrap().unwrap();
    assert_eq!(found.record, set("b"));
    let last = store.replace_record("x", &found, set("c")).await.unwrap().unwrap();
    assert!(store.replace_record("x", &replaced, set("d")).await.unwrap().is_none(), "it is another one");
    assert!(store.delete_record("x", &last).await.unwrap());
    assert!(store.replace_record("x", &last, set("d")).await.unwrap().is_none(), "there is nothing to replace");
    assert_eq!(store.get("x").await.unwrap(), None);
}

/// Puts and lists so many objects, in folders; a bucket lists 1,000 at a time.
pub(crate) async fn many_objects_are_listed(store: &Store, objects: usize) {
    store.create_root().await.unwrap();
    let mut expected: Vec<String> = (0..objects).map(|number| format!("t/{}/{number}.json", number % 7)).collect();
    let puts = stream::iter(expected.iter()).map(|path| store.put(path, "{}"));
    puts.buffer_unordered(32).try_collect::<()>().await.unwrap();
    expected.sort_unstable();
    assert_eq!(store.list("t").await.unwrap(), expected);
    let part: Vec<&String> = expected.iter().filter(|path| path.starts_with("t/3/")).collect();
    assert_eq!(store.list("t/3").await.unwrap().iter().collect::<Vec<_>>(), part);
    store.delete_folder("t").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), Vec::<String>::new());
}

async fn odd_names_are_kept(store: &Store) {
    store.create_root().await.unwrap();
    let mut names: BTreeSet<String> = (' '..='~').filter(|odd| *odd != '/').map(|odd| format!("n/a{odd}b")).collect();
    // Not U+2028: the client's reader of XML takes it for the end of a line in a list.
    let odd = [
        "n/%",
        "n/%2F",
        "n/%2f%25",
        "n/+",
        "n/a b",
        "n/ ",
        "n/a+b&c=d;e?f#g",
        "n/{p}",
        "n/'\"<>`",
        "n/\\",
        "n/~",
        "n/..a",
        "n/a..",
        "n/.hidden",
        "n/...",
        "n/é",
        "n/e\u{301}",
        "n/日本語",
        "n/😀",
        "n/_x/-y",
        "n/x=1/y=2",
        "n/*",
        "n/CON",
        "n/a.",
        "n/$HOME",
        "n/:",
        "n/|",
    ];
    names.extend(odd.map(str::to_owned));
    names.insert(format!("n/{}", "long".repeat(50)));
    let puts = stream::iter(&names).map(|name| store.put(name, name.clone()));
    puts.buffer_unordered(8).try_collect::<()>().await.unwrap();
    assert_eq!(store.list("n").await.unwrap(), names.iter().cloned().collect::<Vec<_>>());
    for name in &names {
        assert_eq!(store.get(name).await.unwrap().unwrap(), *name);
        assert_eq!(store.entry(name).await.unwrap(), Some(EntryKind::File), "{name}");
    }
    assert!(!store.put_if_absent("n/%2F", "other").await.unwrap());
    assert!(store.replace_if_unchanged("n/%", &Bytes::from_static(b"n/%"), "other").await.unwrap());
    for name in &names {
        store.delete(name).await.unwrap();
    }
    assert_eq!(store.list("").await.unwrap(), Vec::<String>::new());
}

async fn any_range_is_read(store: &Store) {
    store.create_root().await.unwrap();
    for length in [1_usize, 65_536, 65_537, 1_000_000] {
        let bytes = noise(length, length as u64);
        store.put("t/x", bytes.clone()).await.unwrap();
        let file = store.open_shard("t/x").await.unwrap().unwrap();
        on_a_thread(move || {
            let places = [0, 1, length / 3, length / 2, length.saturating_sub(65_537), length - 1, length];
            for start in places {
                for wanted in [0, 1, 1_000, 70_000, 300_000, length - start] {
                    let end = (start + wanted).min(length);
                    let read = file.get_bytes(start as u64, end - start).unwrap();
                    assert_eq!(read, bytes[start..end], "{start}..{end} of {length}");
                }
                let mut rest = Vec::new();
                file.get_read(start as u64).unwrap().read_to_end(&mut rest).unwrap();
                assert_eq!(rest, bytes[start..], "from {start} of {length}");
            }
            for (start, wanted) in [(0, length + 1), (length, 1), (1, usize::MAX)] {
                assert!(file.get_bytes(start as u64, wanted).is_err(), "{wanted} from {start} of {length}");
            }
            assert!(file.get_bytes(u64::MAX, 2).is_err());
        })
        .await;
    }
}

/// A shard that is replaced while it is open is read as it was, or not at all.
async fn an_open_shard_is_one_version(store: &Store) {
    store.create_root().await.unwrap();
    let (old, new) = (noise(300_000, 1), noise(300_000, 2));
    store.put("t/x", old.clone()).await.unwrap();
    let (open, whole) =
        (store.open_shard("t/x").await.unwrap().unwrap(), store.open_whole("t/x").await.unwrap().unwrap());
    store.put("t/x", new.clone()).await.unwrap();
    assert_eq!(read_all(whole).await, old, "a whole copy stays what it is");
    let replaced = open.clone();
    let read = on_a_thread(move || ChunkReader::get_bytes(&open, 0, 100).map_err(|error| error.to_string())).await;
    match read {
        Ok(read) => assert_eq!(read, old[..100]),
        Err(_) => {
            let error = replaced.failure(|| all_docs::error::Error::lake("it is damaged"));
            assert!(error.message().contains("was replaced") && error.is_of_system(), "{error:?}");
        }
    }
    let again = store.open_shard("t/x").await.unwrap().unwrap();
    assert_eq!(read_all(again).await, new);
}

async fn staged_files_of_any_size_are_moved(store: &Store) {
    store.create_root().await.unwrap();
    for length in [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 5] {
        let bytes = noise(length, 7);
        stage(store, "s/x.staged", &bytes).await;
        assert!(store.promote("s/x.staged", "t/x").await.unwrap());
        assert!(!store.promote("s/x.staged", "t/x").await.unwrap(), "it is staged no more");
        let whole = store.open_whole("t/x").await.unwrap().unwrap();
        assert_eq!(whole.size_bytes(), length as u64);
        assert!(read_all(whole).await == bytes, "{length} bytes");
        assert_eq!(store.list("").await.unwrap(), ["t/x"]);
    }
    let bytes = noise(300_000, 8);
    let digest = Some(format!("{:x}", Sha256::digest(&bytes)));
    stage(store, "s/x.staged", &bytes).await;
    assert_eq!(store.digest("s/x.staged").await.unwrap(), digest);
    assert!(store.promote("s/x.staged", "t/x").await.unwrap());
    assert_eq!(store.digest("t/x").await.unwrap(), digest);
}

async fn staged_files_and_objects_are_one_space(store: &Store) {
    store.create_root().await.unwrap();
    let bytes = noise(100_000, 3);
    stage(store, "s/p/a.staged", &bytes).await;
    store.put("s/p/b.json", "{}").await.unwrap();
    assert_eq!(store.list("s").await.unwrap(), ["s/p/a.staged", "s/p/b.json"]);
    assert_eq!(store.entry("s/p/a.staged").await.unwrap(), Some(EntryKind::File));
    assert_eq!(store.entry("s/p").await.unwrap(), Some(EntryKind::Folder));
    for file in [store.open_shard("s/p/a.staged").await, store.open_whole("s/p/a.staged").await] {
        assert_eq!(read_all(file.unwrap().unwrap()).await, bytes);
    }
    // A copy in the bucket outlives the scratch folder. A disk needs none.
    store.back_up("s/p/a.staged", "s/p/a.copy").await.unwrap();
    assert!(store.get("s/p/a.copy").await.unwrap().is_none_or(|copy| copy == bytes));
    store.delete("s/p/a.copy").await.unwrap();
    assert_eq!(store.list("s").await.unwrap(), ["s/p/a.staged", "s/p/b.json"]);
    store.delete("s/p/a.staged").await.unwrap();
    assert_eq!(store.list("s").await.unwrap(), ["s/p/b.json"]);
    stage(store, "s/p/a.staged", &bytes).await;
    store.delete_folder("s/p").await.unwrap();
    assert_eq!(store.list("").await.unwrap(), Vec::<String>::new());
    // Staged again, it is another file.
    stage(store, "s/p/a.staged", &noise(10, 1)).await;
    stage(store, "s/p/a.staged", &noise(20, 2)).await;
    assert!(store.promote("s/p/a.staged", "t/a").await.unwrap());
    assert_eq!(store.get("t/a").await.unwrap().unwrap(), noise(20, 2));
}

async fn an_upload_can_be_begun_and_aborted(store: &Store) {
    store.create_root().await.unwrap();
    let (small, large) = (noise(10, 1), noise(PART_BYTES + 100, 2));
    assert!(store.begin_upload("s/x.staged", "t/x").await.unwrap().is_none(), "nothing is staged");
    stage(store, "s/x.staged", &small).await;
    assert!(store.begin_upload("s/x.staged", "t/x").await.unwrap().is_none(), "one put is enough");
    stage(store, "s/x.staged", &large).await;
    if let Some(upload) = store.begin_upload("s/x.staged", "t/x").await.unwrap() {
        // The next owner of the partition aborts it: then the process that began it changes nothing any more.
        store.put("t/x", "of the next owner").await.unwrap();
        store.abort_upload("t/x", &upload).await.unwrap();
        store.abort_upload("t/x", &upload).await.unwrap();
        let error = store.promote_upload("s/x.staged", "t/x", Some(&upload)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
        assert_eq!(store.get("t/x").await.unwrap().unwrap(), "of the next owner");
    }
    let upload = store.begin_upload("s/x.staged", "t/x").await.unwrap();
    assert!(store.promote_upload("s/x.staged", "t/x", upload.as_ref()).await.unwrap());
    assert_eq!(store.get("t/x").await.unwrap().unwrap(), large);
    assert_eq!(store.list("").await.unwrap(), ["t/x"]);
}

/// A repair moves objects that are in place.
async fn an_object_can_be_moved(store: &Store) {
    store.create_root().await.unwrap();
    for length in [0, 10, PART_BYTES + 100] {
        let bytes = noise(length, 4);
        store.put("t/x", bytes.clone()).await.unwrap();
        assert!(store.promote("t/x", "set-aside/x").await.unwrap());
        assert!(!store.promote("t/x", "set-aside/x").await.unwrap());
        assert!(store.get("set-aside/x").await.unwrap().unwrap() == bytes);
        assert_eq!(store.list("").await.unwrap(), ["set-aside/x"]);
    }
}
