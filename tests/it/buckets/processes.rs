//! The binary with a lake in a bucket: every command, two processes at once, and processes that are killed.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use all_docs::sample::World;

use super::fixture::Bucket;
use crate::doubles::proxy::{Fault, Operation};
use crate::support::{Env, ORIGIN, assert_same_lake, origin_folder, stderr, stdout};

const PIVOTS: [&str; 2] = ["g", "p"];
/// The partition of the names from `g` to `p`.
const MIDDLE: &str = "67-70";

/// Runs a command that must end with one of these codes.
fn ends_with(codes: &[i32], command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let told = || format!("{command:?}: {}\n{}{}", output.status, stdout(&output), stderr(&output));
    assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{}", told());
    output
}

fn ingest(bucket: &Bucket, env: &Env, pivots: &[&str]) {
    ends_with(&[0, 6], &mut bucket.ingest(env, pivots));
}

/// Fails unless the lake has the bytes of a local one that is ingested now.
async fn assert_as_on_a_disk(bucket: &Bucket, env: &Env, pivots: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let copy = bucket.download(folder.path().join("copy")).await;
    // The binary names the origin after the address of the registry.
    std::fs::rename(origin_folder(&copy), copy.join(ORIGIN)).unwrap();
    let mut options = env.options(pivots);
    let quiet = folder.path().join("quiet");
    options.store = all_docs::store::Store::open(quiet.to_str().unwrap()).unwrap();
    crate::support::run(options).await.unwrap();
    assert_same_lake(&copy, &quiet);
}

/// Returns the number of files in a scratch folder, without its locks.
pub(super) fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_none_or(|suffix| suffix != "lock"));
    files.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

async fn every_command_works(bucket: Bucket) {
    let env = Env::new(World::seeded(82, 60));
    let folder = env.folder.path();
    let run = |codes: &[i32], arguments: &[&str]| ends_with(codes, &mut bucket.command(folder, arguments));
    ingest(&bucket, &env, &PIVOTS);
    assert_as_on_a_disk(&bucket, &env, &PIVOTS).await;

    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    env.server.world().publish(&names[7], "88.0.0");
    env.server.world().delete(&names[9]);
    env.packuments_asked();
    ingest(&bucket, &env, &PIVOTS);
    assert_eq!(env.packuments_asked(), [names[7].clone()]);
    assert_as_on_a_disk(&bucket, &env, &PIVOTS).await;

    let origin = ["--origin", env.server.url()];
    run(&[0], &["status"]);
    run(&[0], &["verify"]);
    let document = run(&[0], &["packument", "show", &names[7]]);
    assert!(stdout(&document).contains("88.0.0"), "{}", stdout(&document));
    #[cfg(feature = "query")]
    {
        let run_sql = |sql: &str| stdout(&run(&[0], &["query", sql, "--format", "csv"]));
        let listed = env.server.world().names().count();
        assert_eq!(run_sql("select count(*) as n from docs"), format!("n\n{listed}\n"));
        let sql = format!("select version from versions where name = '{}' and version = '88.0.0'", names[7]);
        assert_eq!(run_sql(&sql), "version\n88.0.0\n");
    }

    // A shard with a wrong bit, and one that is gone.
    let store = bucket.store_behind();
    let listed = store.list("").await.unwrap();
    let name = listed.iter().find_map(|path| path.strip_suffix("/partitions.json")).unwrap().to_owned();
    let shards = [format!("{name}/versions/{MIDDLE}.parquet"), format!("{name}/docs/{MIDDLE}.parquet")];
    let mut bytes = store.get(&shards[0]).await.unwrap().unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    store.put(&shards[0], bytes).await.unwrap();
    store.delete(&shards[1]).await.unwrap();
    let told = stdout(&run(&[4], &["verify"]));
    assert!(told.contains("versions/67-70.parquet") && told.contains("docs/67-70.parquet"), "{told}");
    run(&[0], &["verify", "--repair", origin[0], origin[1]]);
    run(&[0], &["verify"]);
    run(&[0], &["rebuild"]);
    assert_as_on_a_disk(&bucket, &env, &PIVOTS).await;
    assert_eq!(bucket.begun_uploads(), Vec::<String>::new());
    assert_eq!(files_below(&folder.join("scratch")), 0, "files stayed in the scratch folder");
}

async fn two_processes_share_the_work(bucket: Bucket) {
    let pivots: Vec<String> = ('b'..'y').step_by(2).map(String::from).collect();
    let pivots: Vec<&str> = pivots.iter().map(String::as_str).collect();
    let env = Env::new(World::seeded(83, 150));
    let spawn = || bucket.ingest(&env, &pivots).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for process in [spawn(), spawn()] {
        let output = process.wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    }
    let asked = env.packuments_asked();
    assert_eq!(asked.len(), env.server.world().names().count(), "a document was requested twice");
    assert_as_on_a_disk(&bucket, &env, &pivots).await;
    ends_with(&[0], &mut bucket.command(env.folder.path(), &["verify"]));
    let names = bucket.names().await;
    assert!(!names.iter().any(|name| name.contains("/leases/")), "{names:?}");
    assert_eq!(bucket.begun_uploads(), Vec::<String>::new());
}

/// An operation at which a process is killed: its name, and how it is told from others.
type Moment = (&'static str, fn(Operation, &str) -> bool);

/// A process that is killed here has sent all its requests for documents, and the responses are in the bucket.
const AFTER_THE_FETCH: &[Moment] = &[
    ("the intent", |operation, name| is_put(operation) && name.ends_with("/commit.json")),
    ("the first shard", |operation, name| operation == Operation::Put && name.ends_with(".parquet")),
    ("a shard in the middle", |operation, name| operation == Operation::Put && name.contains("/versions/")),
    ("the shard of outcomes", |operation, name| operation == Operation::Put && name.contains("/outcomes/")),
    ("the shard of docs", |operation, name| operation == Operation::Put && name.contains("/docs/")),
    ("the manifest", |operation, name| is_put(operation) && name.contains("/manifest/")),
    ("the end", |operation, name| operation == Operation::Delete && !name.contains("/leases/")),
];

const LARGE: &[Moment] = &[
    ("the first part", |operation, _| operation == Operation::MultipartPart),
    ("the end of an upload", |operation, _| operation == Operation::MultipartComplete),
];

const IN_THE_FETCH: &[Moment] =
    &[("the first segment", |operation, name| is_put(operation) && name.ends_with(".segment"))];

fn is_put(operation: Operation) -> bool {
    matches!(operation, Operation::Put | Operation::Create | Operation::Update)
}

/// The fate of the request at which a process is killed.
#[derive(Clone, Copy)]
enum Last {
    /// It is lost, and so is the scratch folder of the process.
    LostWithTheScratch,
    /// The store does it after the death of the process, whose scratch folder stays.
    Done,
}

/// Kills a process at each of these moments, and runs the next one: it ends in the bytes of a quiet run. Returns the
/// requests for documents that it sent, by moment.
async fn killed_at(bucket: &Bucket, world: impl Fn() -> World, moments: &[Moment], last: Last) -> Vec<usize> {
    let mut asked = Vec::new();
    for (what, is_it) in moments {
        for path in bucket.names().await {
            bucket.store_behind().delete(&path).await.unwrap();
        }
        let env = Env::new(world());
        let held = bucket.proxy.hold(*is_it);
        let mut process = bucket.ingest(&env, &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while !held.has_come() {
            assert!(process.try_wait().unwrap().is_none(), "a process ended without {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        match last {
            Last::LostWithTheScratch => {
                held.let_go(Some(Fault::Reset));
                std::fs::remove_dir_all(env.folder.path().join("scratch")).unwrap();
            }
            Last::Done => held.let_go(None),
        }
        bucket.proxy.play(|_, _| None);
        env.packuments_asked();
        ingest(bucket, &env, &[]);
        asked.push(env.packuments_asked().len());
        ends_with(&[0], &mut bucket.command(env.folder.path(), &["verify"]));
        assert_as_on_a_disk(bucket, &env, &[]).await;
        assert_eq!(bucket.begun_uploads(), Vec::<String>::new(), "{what}");
        let staged = bucket.names().await.into_iter().filter(|name| name.contains("/staging/"));
        assert_eq!(staged.collect::<Vec<_>>(), Vec::<String>::new(), "{what}");
        assert_eq!(files_below(&env.folder.path().join("scratch")), 0, "{what}");
    }
    asked
}

fn small() -> World {
    World::seeded(84, 30)
}

/// Returns a world with a document that does not fit into one put.
fn large() -> World {
    let mut chance = fastrand::Rng::with_seed(85);
    let readme: String = (0..14 << 20).map(|_| chance.alphanumeric()).collect();
    let document = serde_json::json!({
        "_id": "large", "_rev": "1-a", "name": "large", "dist-tags": {"latest": "1.0.0"}, "readme": readme,
        "versions": {"1.0.0": {"name": "large", "version": "1.0.0"}},
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    World::from_ndjson([file.path()]).unwrap()
}

async fn a_killed_process_is_resumed(bucket: Bucket, last: Last) {
    killed_at(&bucket, small, IN_THE_FETCH, last).await;
    let asked = killed_at(&bucket, small, AFTER_THE_FETCH, last).await;
    assert_eq!(asked, vec![0; AFTER_THE_FETCH.len()], "documents that were staged were requested again");
    let asked = killed_at(&bucket, large, LARGE, last).await;
    assert_eq!(asked, vec![0; LARGE.len()], "a document that was staged was requested again");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_s3() {
    let Some(bucket) = Bucket::s3("commands") else { return };
    every_command_works(bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_google_cloud_storage() {
    every_command_works(Bucket::gcs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_work_on_s3() {
    let Some(bucket) = Bucket::s3("processes") else { return };
    two_processes_share_the_work(bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_work_on_google_cloud_storage() {
    two_processes_share_the_work(Bucket::gcs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_resumed_on_s3_without_its_scratch_folder() {
    let Some(bucket) = Bucket::s3("killed") else { return };
    a_killed_process_is_resumed(bucket, Last::LostWithTheScratch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_resumed_on_google_cloud_storage() {
    a_killed_process_is_resumed(Bucket::gcs(), Last::Done).await;
}
