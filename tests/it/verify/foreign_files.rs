//! Foreign files in a lake: one that readers would take for the lake's own is a fault, any other is reported and not
//! changed.

use std::fs;
use std::path::Path;

use super::Sound;
use crate::support::assert_same_lake;

fn put(path: &Path, text: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn a_file_that_a_reader_would_take_for_a_shard_is_a_fault_and_set_aside() {
    let sound = Sound::new();
    let shard = fs::read(sound.restore().join("docs/0-67.parquet")).unwrap();
    let foreign_files = [
        "docs/mine.parquet",
        "docs/2025/deep/old.parquet",
        "docs/0-67 (copy).PARQUET",
        "docs/dataset.parquet/part-0",
        "manifest/61-62.json",
        "staging/61-62/docs.parquet",
        "staging/61-62/commit.json",
    ];
    for foreign_file in foreign_files {
        let origin = sound.restore();
        put(&origin.join(foreign_file), &shard);
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{foreign_file}: {told}");
        assert!(told.contains(&format!("{foreign_file}: it does not belong here")), "{foreign_file}: {told}");
        let (code, told) = sound.verify(&["--repair"]);
        assert_eq!(code, Some(0), "{foreign_file}: {told}");
        if foreign_file != "staging/61-62/commit.json" {
            let aside = fs::read_dir(origin.join("set-aside")).unwrap().next().unwrap().unwrap().path();
            assert_eq!(fs::read(aside.join(foreign_file)).unwrap(), shard, "{foreign_file} is kept");
        }
        let _ = fs::remove_dir_all(origin.join("set-aside"));
        assert_same_lake(&sound.env.lake(), &sound.kept);
    }
    assert_eq!(sound.env.server.requests().len(), 0);
}

#[cfg(unix)]
#[test]
fn a_link_to_other_rows_is_wrong_and_a_table_that_is_a_link_is_not() {
    use std::os::unix::fs::symlink;
    let sound = Sound::new();
    let origin = sound.restore();
    let elsewhere = sound.env.folder.path().join("elsewhere");
    put(&elsewhere.join("rows.parquet"), b"x");
    symlink(&elsewhere, origin.join("docs/more")).unwrap();
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("docs/more: "), "{told}");
    assert_eq!(sound.verify(&["--repair"]).0, Some(0));
    assert!(elsewhere.join("rows.parquet").exists() && !origin.join("docs/more").is_symlink());

    let origin = sound.restore();
    let disk = sound.env.folder.path().join("disk");
    fs::rename(origin.join("packuments"), &disk).unwrap();
    symlink(&disk, origin.join("packuments")).unwrap();
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("note:"), "{told}");
    put(&disk.join("mine.parquet"), b"x");
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("packuments/mine.parquet"), "{told}");
}

#[test]
fn a_harmless_foreign_file_is_reported_and_not_changed() {
    let sound = Sound::new();
    let origin = sound.restore();
    let name = origin.file_name().unwrap().to_str().unwrap().to_owned();
    let in_origin =
        ["notes.txt", "mine/a.parquet", "docs/notes.txt", "docs/_SUCCESS", "manifest/notes.txt", "staging/notes.txt"];
    // It is repaired below, and the files in its staging are not thrown away.
    let staged = "staging/67-70/notes.txt";
    let in_root = ["README.md", "someone/docs/a.parquet", "someone/b.txt"];
    for path in in_origin.iter().chain([&staged]) {
        put(&origin.join(path), b"mine");
    }
    for path in in_root {
        put(&sound.env.lake().join(path), b"mine");
    }
    put(&sound.env.lake().join("queries/mine.sql"), b"-- one row is: nothing");
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(0), "{told}");
    for path in
        ["notes.txt is", "docs/notes.txt is", "docs/_SUCCESS is", "manifest/notes.txt is", "staging/notes.txt is"]
    {
        assert!(told.contains(&format!("note: {name}/{path} not part of the lake")), "{path}: {told}");
    }
    for folder in [format!("{name}/mine"), "someone".to_owned()] {
        assert!(told.contains(&format!("note: the folder {folder} is not part of the lake")), "{folder}: {told}");
    }
    assert!(told.contains("note: README.md is") && told.contains("(2 files)") && !told.contains("queries"), "{told}");

    super::flip_byte(&origin.join("versions/67-70.parquet"));
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    for path in in_origin {
        assert_eq!(fs::read(origin.join(path)).unwrap(), b"mine", "{path}");
    }
    for path in in_root {
        assert_eq!(fs::read(sound.env.lake().join(path)).unwrap(), b"mine", "{path}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_or_a_dead_link_in_place_of_a_file_is_reported_and_set_aside() {
    let sound = Sound::new();
    let files = [
        "docs/67-70.parquet",
        "manifest/67-70.json",
        "partitions.json",
        "staging/67-70/commit.json",
        "staging/67-70/docs.parquet",
        "leases/67-70.json",
        "lock.json",
    ];
    for file in files {
        for is_link in [false, true] {
            let origin = sound.restore();
            let path = origin.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            match is_link {
                true => std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap(),
                false => put(&path.join("mine.txt"), b"mine"),
            }
            assert_repaired(&sound, &origin, file, is_link);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_in_place_of_a_folder_is_reported_and_set_aside() {
    let sound = Sound::new();
    for folder in ["docs", "packuments", "manifest", "staging", "staging/67-70", "leases", "set-aside"] {
        let origin = sound.restore();
        let path = origin.join(folder);
        let _ = fs::remove_dir_all(&path);
        put(&path, b"mine");
        assert_repaired(&sound, &origin, folder, false);
    }
}

#[cfg(unix)]
fn assert_repaired(sound: &Sound, origin: &Path, path: &str, is_link: bool) {
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(4), "{path}: {told}");
    assert!(told.contains(&format!("{path}: it is ")), "{path}: {told}");
    assert_eq!(told.matches("  wrong: 1\n").count(), 1, "{path}: it is said once: {told}");
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{path}, link: {is_link}: {told}");
    for entry in fs::read_dir(origin).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_str().unwrap().starts_with("set-aside") {
            let is_folder = entry.file_type().unwrap().is_dir();
            if is_folder { fs::remove_dir_all(entry.path()).unwrap() } else { fs::remove_file(entry.path()).unwrap() }
        }
    }
    if path == "partitions.json" {
        let kept = crate::support::origin_folder(&sound.kept).join(path);
        fs::copy(kept, origin.join(path)).unwrap();
    }
    assert_same_lake(&sound.env.lake(), &sound.kept);
}

#[test]
fn faults_behind_a_lost_partition_set_are_repaired_with_it() {
    let sound = Sound::new();
    let origin = sound.restore();
    let shard = origin.join("scripts/67-70.parquet");
    fs::remove_file(&shard).unwrap();
    fs::create_dir(&shard).unwrap();
    fs::remove_file(origin.join("partitions.json")).unwrap();
    put(&origin.join("docs/mine.parquet"), b"mine");
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(sound.env.packuments_asked(), Vec::<String>::new());
    fs::remove_dir_all(origin.join("set-aside")).unwrap();
    fs::copy(crate::support::origin_folder(&sound.kept).join("partitions.json"), origin.join("partitions.json"))
        .unwrap();
    assert_same_lake(&sound.env.lake(), &sound.kept);
}

/// A manifest is deleted, and the next ingest wants no documents: nothing vouches for the earlier ones.
#[test]
fn documents_that_no_manifest_names_are_put_aside() {
    let sound = Sound::new();
    let origin = sound.restore();
    fs::remove_file(origin.join("manifest/67-70.json")).unwrap();
    let ingest = |more: &[&str]| {
        let output = sound.env.ingest_command(&super::PIVOTS).arg("--quiet").args(more).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 6)));
    };
    ingest(&["--packuments", "none"]);
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("versions/67-70.parquet: the manifest of its partition does not name it"), "{told}");
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    ingest(&[]);
    fs::remove_dir_all(origin.join("set-aside")).unwrap();
    assert_same_lake(&sound.env.lake(), &sound.kept);
}

#[test]
fn a_damaged_intent_beside_a_folder_hides_nothing_from_the_repair() {
    let sound = Sound::new();
    let origin = sound.restore();
    put(&origin.join("staging/67-70/commit.json"), b"{");
    fs::write(origin.join("docs/67-70.parquet"), b"").unwrap();
    fs::remove_file(origin.join("packages/67-70.parquet")).unwrap();
    fs::create_dir(origin.join("packages/67-70.parquet")).unwrap();
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    fs::remove_dir_all(origin.join("set-aside")).unwrap();
    assert_same_lake(&sound.env.lake(), &sound.kept);
}

#[test]
fn an_origin_that_is_not_a_folder_is_reported_and_set_aside() {
    let sound = Sound::new();
    let origin = sound.restore();
    fs::remove_dir_all(&origin).unwrap();
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("it has no folder"), "{told}");
    fs::write(&origin, "mine").unwrap();
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("a folder belongs there"), "{told}");
    assert_eq!(sound.verify(&["--repair"]).0, Some(0));
    let output = sound.env.ingest_command(&super::PIVOTS).arg("--quiet").output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)));
    fs::remove_dir_all(sound.env.lake().join("set-aside")).unwrap();
    assert_same_lake(&sound.env.lake(), &sound.kept);
}

#[test]
fn an_intent_of_another_partition_is_not_rolled_forward() {
    let sound = Sound::new();
    let origin = sound.restore();
    let mut old: serde_json::Value =
        serde_json::from_slice(&fs::read(origin.join("manifest/0-67.json")).unwrap()).unwrap();
    old["shards"]["docs"]["rows"] = serde_json::json!(0);
    put(&origin.join("staging/67-70/commit.json"), old.to_string().as_bytes());
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    let manifest = fs::read(origin.join("manifest/0-67.json")).unwrap();
    let kept = crate::support::origin_folder(&sound.kept).join("manifest/0-67.json");
    assert_eq!(manifest, fs::read(kept).unwrap());
}
