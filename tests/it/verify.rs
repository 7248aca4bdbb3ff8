//! Tests `verify`: it accepts an intact lake and reports every kind of damage; `--repair` repairs it.

mod foreign_files;
mod records;

use std::fs;
use std::path::{Path, PathBuf};

use all_docs::encode::ShardWriter;
use all_docs::sample::{Action, Fault, FaultScript, World};
use all_docs::table::TableKind;
use all_docs::table::{DocsBuilder, schema};
use sha2::Digest;

use crate::support::{Env, all_docs, assert_same_lake, origin_folder, run_binary, stderr, stdout};

const PIVOTS: [&str; 2] = ["g", "p"];

/// A registry, and a lake that the binary made of it, kept to damage copies of it.
struct Sound {
    env: Env,
    kept: PathBuf,
}

impl Sound {
    fn new() -> Sound {
        let mut world = World::seeded(51, 90);
        world.add_odd_documents();
        let env = Env::new(world);
        let output = env.ingest_command(&PIVOTS).arg("--quiet").output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
        let kept = env.folder.path().join("kept");
        copy(&env.lake(), &kept);
        env.packuments_asked();
        Sound { env, kept }
    }

    /// Restores the lake as it was.
    fn restore(&self) -> PathBuf {
        fs::remove_dir_all(self.env.lake()).unwrap();
        copy(&self.kept, &self.env.lake());
        origin_folder(&self.env.lake())
    }

    fn verify(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = run_binary(self.env.folder.path(), &[&["verify", "--quiet"], arguments].concat());
        (output.status.code(), stdout(&output) + &stderr(&output))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(drop).unwrap() }
    }
}

/// Makes a manifest name the shard as it is now, so its bytes do not reveal the change.
fn forge(origin: &Path, table: &str, stem: &str, rows: u64) {
    let path = origin.join("manifest").join(format!("{stem}.json"));
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let bytes = fs::read(origin.join(table).join(format!("{stem}.parquet"))).unwrap();
    let sha256: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let shard = &mut manifest["shards"][table];
    shard["rows"] = rows.into();
    shard["size_bytes"] = bytes.len().into();
    shard["sha256"] = sha256.into();
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

fn rows(origin: &Path, table: &str, stem: &str) -> u64 {
    let path = origin.join("manifest").join(format!("{stem}.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    manifest["shards"][table]["rows"].as_u64().unwrap()
}

/// Replaces a shard by one without rows, with a manifest that agrees.
fn empty(origin: &Path, table: TableKind, stem: &str) {
    let writer = ShardWriter::new(table, schema(table), Vec::new()).unwrap();
    fs::write(origin.join(format!("{table}/{stem}.parquet")), writer.finish().unwrap().0).unwrap();
    forge(origin, table.as_str(), stem, 0);
}

fn flip_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn swap(one: &Path, other: &Path) {
    let (first, second) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    fs::write(one, second).unwrap();
    fs::write(other, first).unwrap();
}

/// A kind of damage: the change to an origin's folder, and the expected messages.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const MIDDLE: &str = "67-70";
/// The partition of the odd documents that have contributors and quirks.
const LAST: &str = "70-z";

const DAMAGES: &[Damage] = &[
    ("a flipped byte", |o| flip_byte(&o.join("versions/67-70.parquet")), &["versions/67-70.parquet", "digest"]),
    (
        "a file cut short",
        |o| {
            let path = o.join("packages/67-70.parquet");
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
        &["packages/67-70.parquet", "bytes, and its manifest says"],
    ),
    ("an emptied file", |o| fs::write(o.join("docs/67-70.parquet"), "").unwrap(), &["docs/67-70.parquet", "0 bytes"]),
    (
        "a deleted shard",
        |o| fs::remove_file(o.join("outcomes/67-70.parquet")).unwrap(),
        &["outcomes/67-70.parquet", "gone"],
    ),
    (
        "two shards that changed places",
        |o| swap(&o.join("docs/67-70.parquet"), &o.join("docs/0-67.parquet")),
        &["docs/67-70.parquet", "docs/0-67.parquet"],
    ),
    (
        "a manifest that is none",
        |o| fs::write(o.join("manifest/67-70.json"), "{\"shards\":").unwrap(),
        &["manifest/67-70.json", "damaged"],
    ),
    (
        "a manifest of another partition",
        |o| fs::copy(o.join("manifest/0-67.json"), o.join("manifest/67-70.json")).map(drop).unwrap(),
        &["manifest/67-70.json", "but in the place of"],
    ),
    (
        "a deleted manifest",
        |o| fs::remove_file(o.join("manifest/67-70.json")).unwrap(),
        &["versions/67-70.parquet", "has no manifest"],
    ),
    (
        "rows that were lost with a manifest that agrees",
        |o| empty(o, TableKind::Versions, MIDDLE),
        &["packages/67-70.parquet", "version_count", "dependencies/67-70.parquet", "a version that is not in versions"],
    ),
    (
        "packages that were lost with a manifest that agrees",
        |o| empty(o, TableKind::Packages, LAST),
        &[
            "has rows and is not in packages",
            "versions/70-z.parquet",
            "dependencies/70-z.parquet",
            "dist_tags/70-z.parquet",
            "maintainers/70-z.parquet",
            "contributors/70-z.parquet",
            "scripts/70-z.parquet",
            "stars/70-z.parquet",
            "unpublished/70-z.parquet",
        ],
    ),
    (
        "documents that were lost with a manifest that agrees",
        |o| empty(o, TableKind::Packuments, LAST),
        &["quirks/70-z.parquet", "has rows and is not in packuments", "packages/70-z.parquet"],
    ),
    (
        "a shard of another partition with a manifest that agrees",
        |o| {
            fs::copy(o.join("packages/0-67.parquet"), o.join("packages/67-70.parquet")).unwrap();
            forge(o, "packages", MIDDLE, rows(o, "packages", "0-67"));
        },
        &["packages/67-70.parquet", "does not lie in its partition", "not in docs"],
    ),
    (
        "names out of order with a manifest that agrees",
        |o| {
            let mut builder = DocsBuilder::new();
            for name in ["h", "j", "i"] {
                builder.push(&all_docs::npm::DocRow::new(name, "1-a"));
            }
            let mut writer = ShardWriter::new(TableKind::Docs, schema(TableKind::Docs), Vec::new()).unwrap();
            writer.write(builder.take_batch().unwrap()).unwrap();
            fs::write(o.join("docs/67-70.parquet"), writer.finish().unwrap().0).unwrap();
            forge(o, "docs", MIDDLE, 3);
        },
        &["docs/67-70.parquet", "\"i\" comes after \"j\""],
    ),
];

#[test]
fn a_sound_lake_is_proved() {
    let sound = Sound::new();
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(0), "{told}");
    let names = sound.env.server.world().names().count();
    assert!(told.contains("sound") && told.contains(&format!("{names} names")), "{told}");
    let (code, told) = sound.verify(&["--json"]);
    let proof: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, proof["origins"][0]["names"].as_u64()), (Some(0), Some(names as u64)));
    assert_eq!(proof["origins"][0]["partitions_committed"], 3);
    assert_eq!(proof["findings"], serde_json::json!([]));
    assert_same_lake(&sound.env.lake(), &sound.kept);
}

#[test]
fn every_damage_is_reported_and_repaired() {
    let sound = Sound::new();
    for (what, damage, expected) in DAMAGES {
        damage(&sound.restore());
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{what}: {told}");
        for part in *expected {
            assert!(told.contains(part), "{what}: {part:?} is not in {told}");
        }
        let (code, told) = sound.verify(&["--repair", "--origin", sound.env.server.url()]);
        assert_eq!(code, Some(0), "{what}: {told}");
        assert_same_lake(&sound.env.lake(), &sound.kept);
    }
}

#[test]
fn intact_documents_are_not_requested_again() {
    let sound = Sound::new();
    flip_byte(&sound.restore().join("versions/67-70.parquet"));
    let (code, told) = sound.verify(&["--repair", "--origin", sound.env.server.url()]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(sound.env.packuments_asked(), Vec::<String>::new());
    let is_in_partition = |name: &String| ("g".."p").contains(&name.as_str());
    flip_byte(&sound.restore().join("packuments/67-70.parquet"));
    let (code, told) = sound.verify(&["--repair", "--origin", sound.env.server.url()]);
    assert_eq!(code, Some(0), "{told}");
    let asked = sound.env.packuments_asked();
    assert!(!asked.is_empty() && asked.iter().all(is_in_partition), "{asked:?}");
}

#[test]
fn an_interrupted_commit_is_reported_and_completed() {
    let sound = Sound::new();
    let origin = sound.restore();
    let staging = origin.join("staging/67-70");
    fs::create_dir_all(&staging).unwrap();
    // The commit had moved all shards but one.
    fs::rename(origin.join("docs/67-70.parquet"), staging.join("docs.parquet")).unwrap();
    fs::copy(origin.join("docs/0-67.parquet"), origin.join("docs/67-70.parquet")).unwrap();
    fs::copy(origin.join("manifest/67-70.json"), staging.join("commit.json")).unwrap();
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("commit.json") && told.contains("begun and not ended"), "{told}");
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    assert_same_lake(&sound.env.lake(), &sound.kept);
}

#[test]
fn a_lake_of_names_only_and_one_of_some_documents_are_intact_and_repaired_as_they_were() {
    for (flags, table) in [(&["--packuments", "none"][..], "docs"), (&["--names", "names.txt"], "packages")] {
        let env = Env::new(World::seeded(52, 40));
        let names: Vec<String> = env.server.world().names().step_by(5).map(str::to_owned).collect();
        fs::write(env.folder.path().join("names.txt"), names.join("\n")).unwrap();
        let output = env.ingest_command(&[]).args(flags).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
        let kept = env.folder.path().join("kept");
        copy(&env.lake(), &kept);
        assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(0));
        flip_byte(&origin_folder(&env.lake()).join(table).join("0-z.parquet"));
        env.packuments_asked();
        let output = run_binary(env.folder.path(), &["verify", "--repair", "--origin", env.server.url()]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        assert_same_lake(&env.lake(), &kept);
        assert!(env.packuments_asked().iter().all(|name| names.contains(name)));
    }
}

#[test]
fn a_lake_with_failures_is_sound_for_they_are_accounted_for() {
    let env = Env::new(World::seeded(53, 30));
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    env.server.set_faults(FaultScript::of([
        Fault::packument(&names[3], Action::status(500)),
        Fault::packument(&names[7], Action::status(404)),
        Fault::packument(&names[9], Action::Body("{\"name\":".to_owned())),
    ]));
    assert_eq!(env.ingest_command(&[]).output().unwrap().status.code(), Some(6));
    let output = run_binary(env.folder.path(), &["verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("3 without one"), "{}", stdout(&output));
}

#[test]
fn a_lake_that_is_not_there_or_holds_no_such_origin_is_an_error() {
    let sound = Sound::new();
    let output = all_docs(sound.env.folder.path()).args(["verify", "--lake", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("all-docs ingest --pivots"), "{}", stderr(&output));
    let (code, told) = sound.verify(&["--origin", "npm"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("no origin npm"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_without_its_partition_set_is_damaged_and_not_ingested_again() {
    let env = Env::new(World::seeded(38, 40));
    env.ingest(&["k"]).await;
    std::fs::remove_file(env.lake().join("sample/partitions.json")).unwrap();
    let output = run_binary(env.folder.path(), &["verify"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).contains("partitions.json"), "{}", stdout(&output));
    env.packuments_asked();
    let error = crate::support::run(env.options(&["k"])).await.unwrap_err();
    assert_eq!(error.kind(), all_docs::error::ErrorKind::Lake, "{error:?}");
    for damaged in [None, Some("{\"boundaries\": [\"k\", \"a\"]}"), Some("")] {
        if let Some(text) = damaged {
            fs::write(env.lake().join("sample/partitions.json"), text).unwrap();
            assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(4));
        }
        let output = run_binary(env.folder.path(), &["verify", "--repair"]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    }
    env.ingest(&["k"]).await;
    assert!(env.packuments_asked().is_empty(), "the manifests hold the ranges");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_names_no_shards_is_repaired_with_its_documents() {
    let env = Env::new(World::seeded(39, 40));
    let output = env.ingest_command(&["k"]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let folder = origin_folder(&env.lake()).join("manifest");
    let path = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["shards"] = serde_json::json!({});
    fs::write(&path, manifest.to_string()).unwrap();
    assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(4));
    let output = run_binary(env.folder.path(), &["verify", "--repair"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let quiet = Env::new(World::seeded(39, 40));
    quiet.ingest(&["k"]).await;
    fs::rename(origin_folder(&env.lake()), env.lake().join("sample")).unwrap();
    assert_same_lake(&env.lake(), &quiet.lake());
}
