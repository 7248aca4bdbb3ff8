//! The lake's records: the lake metadata, the count of requests, the lock, the partition set.

use std::fs;
use std::path::Path;

use all_docs::sample::World;
use serde_json::{Value, json};

use super::{MIDDLE, Sound, copy, flip_byte};
use crate::support::{Env, ORIGIN, all_docs, assert_same_lake, origin_folder, run_binary, stderr, stdout};

/// Returns the lake metadata without the versions of the shards, which a repair does not know and the next ingest notes.
fn metadata(page: &Path) -> Value {
    let mut value = json_of(page);
    value.as_object_mut().unwrap().remove("least_schema_versions");
    value
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = json_of(path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// A way to ruin a file.
type Ruin = (&'static str, fn(&Path));

/// Ways to ruin a file of JSON, whatever its content.
const RUINS: [Ruin; 9] = [
    ("a flipped bit", |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[0] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("cut short", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("emptied", |path| fs::write(path, "").unwrap()),
    ("null", |path| fs::write(path, "null").unwrap()),
    ("an array", |path| fs::write(path, "[]").unwrap()),
    ("an object without members", |path| fs::write(path, "{}").unwrap()),
    ("no text", |path| fs::write(path, b"\xff\xfe\0").unwrap()),
    ("a folder", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        fs::write(path.join("mine.txt"), "mine").unwrap();
    }),
    ("a link that leads nowhere", |path| {
        fs::remove_file(path).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/nowhere/at/all", path).unwrap();
    }),
];

impl Sound {
    fn lake_file(&self, name: &str) -> std::path::PathBuf {
        self.restore();
        self.env.lake().join(name)
    }

    /// Asserts that the lake is restored, except for the files put aside in its root.
    fn assert_restored(&self) {
        let _ = fs::remove_dir_all(self.env.lake().join("set-aside"));
        assert_same_lake(&self.env.lake(), &self.kept);
    }

    fn assert_ingests_nothing(&self) {
        self.env.packuments_asked();
        let output = self.env.ingest_command(&super::PIVOTS).arg("--quiet").output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
        // Names whose responses were no documents before are requested again.
        let asked = self.env.packuments_asked();
        assert!(asked.iter().all(|name| name.starts_with("quirk-")), "{asked:?}");
    }
}

#[test]
fn damaged_or_lost_lake_metadata_is_reported_and_restored_from_the_given_origin() {
    let sound = Sound::new();
    let gone: Ruin = ("gone", |path| fs::remove_file(path).unwrap());
    for (what, ruin) in RUINS.into_iter().chain([gone]) {
        let page = sound.lake_file("all-docs.json");
        let before = metadata(&page);
        ruin(&page);
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{what}: {told}");
        assert!(told.contains("all-docs.json: ") && told.contains("--origin URL"), "{what}: {told}");
        assert!(told.contains("3 of 3 partitions"), "{what}: the tables are proved all the same: {told}");

        let (code, told) = sound.verify(&["--repair"]);
        assert_eq!(code, Some(4), "{what}: nobody knows where the origin came from: {told}");
        let (code, told) = sound.verify(&["--repair", "--origin", sound.env.server.url()]);
        assert_eq!(code, Some(0), "{what}: {told}");
        assert_eq!(metadata(&page), before, "{what}");
        assert_eq!(sound.env.server.requests().len(), 0, "{what}");
        sound.assert_restored();
    }
    sound.assert_ingests_nothing();
}

#[test]
fn lake_metadata_is_restored_without_arguments_if_the_folders_imply_it() {
    let sound = Sound::new();
    let name = origin_folder(&sound.kept).file_name().unwrap().to_str().unwrap().to_owned();
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Value), &'a str);
    let changes: [Change<'_>; 3] = [
        (
            "a name that is none",
            &|page| {
                let entry = page["origins"][&name].take();
                page["origins"] = json!({ "at_127^": entry });
            },
            "which is not a valid name",
        ),
        (
            "a name that is another's",
            &|page| {
                let entry = page["origins"][&name].take();
                page["origins"] = json!({ "other": entry });
            },
            "which has a folder",
        ),
        (
            "a default that is none",
            &|page| page["default_origin"] = json!("other"),
            "\"other\", is not one of its origins",
        ),
    ];
    for (what, damage, expected) in changes {
        let page = sound.lake_file("all-docs.json");
        let before = metadata(&page);
        change(&page, damage);
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{what}: {told}");
        assert!(told.contains(expected), "{what}: {told}");
        let (code, told) = sound.verify(&["--repair"]);
        assert_eq!(code, Some(0), "{what}: {told}");
        assert_eq!(metadata(&page), before, "{what}");
    }
    let page = sound.lake_file("all-docs.json");
    change(&page, |page| page["origins"][&name]["registry_url"] = json!("httq:/"));
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("httq:/"), "{told}");
    assert_eq!(sound.verify(&["--repair", "--origin", sound.env.server.url()]).0, Some(0));
}

#[test]
fn the_addresses_of_npm_and_of_the_sample_are_known_and_those_of_others_are_given_one_by_one() {
    let sound = Sound::new();
    sound.restore();
    let lake = sound.env.lake();
    let folder = origin_folder(&lake);
    for name in ["npm", "mirror"] {
        copy(&folder, &lake.join(name));
    }
    fs::rename(&folder, lake.join("sample")).unwrap();
    let page = lake.join("all-docs.json");
    fs::remove_file(&page).unwrap();

    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(4), "{told}");
    let names = || json_of(&page)["origins"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(), ["sample"], "another registry may be called npm: {told}");
    // It sent requests to its hosts.
    change(&lake.join("requests.json"), |counts| {
        for host in ["registry.npmjs.org", "replicate.npmjs.com"] {
            counts["hosts"][host] = json!({"month": "2026-01", "requests": 7});
        }
    });
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(4), "{told}");
    assert_eq!(names(), ["npm", "sample"]);
    assert!(told.contains("--origin mirror=URL"), "{told}");
    let (code, told) = sound.verify(&["--repair", "--origin", "mirror=http://127.0.0.1:9/x"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(sound.verify(&[]).0, Some(0));
    let origins = json_of(&page)["origins"].clone();
    assert_eq!(origins["npm"]["replicate_url"], "https://replicate.npmjs.com/registry/");
    assert_eq!(origins["sample"], json!({"replicate_url": "sample", "registry_url": "sample"}));
    assert_eq!(origins["mirror"]["registry_url"], "http://127.0.0.1:9/x/");
}

#[test]
fn records_of_a_newer_version_are_not_changed() {
    let sound = Sound::new();
    let stem = origin_folder(&sound.kept).file_name().unwrap().to_str().unwrap().to_owned();
    for file in ["all-docs.json".to_owned(), format!("{stem}/partitions.json")] {
        let path = sound.lake_file(&file);
        change(&path, |value| value["format_version"] = json!(9));
        let before = fs::read(&path).unwrap();
        for arguments in [&[][..], &["--repair", "--origin", sound.env.server.url()]] {
            let (code, told) = sound.verify(arguments);
            assert_eq!(code, Some(4), "{file}: {told}");
            assert!(told.contains("update all-docs"), "{file}: {told}");
        }
        assert_eq!(fs::read(&path).unwrap(), before, "{file}");
        let output = sound.env.ingest_command(&super::PIVOTS).arg("--quiet").output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{file}: {}", stderr(&output));
    }
}

#[test]
fn a_damaged_count_of_requests_is_reported_and_never_begins_at_zero() {
    let sound = Sound::new();
    let host = sound.env.server.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let counted = json_of(&sound.kept.join("requests.json"))["hosts"][&host].clone();
    let others: [Ruin; 2] = [
        ("a month to come", |path| {
            change(path, |counts| {
                counts["hosts"].as_object_mut().unwrap().values_mut().for_each(|host| {
                    host["month"] = json!("2926-11");
                })
            });
        }),
        ("no month", |path| {
            change(path, |counts| {
                counts["hosts"].as_object_mut().unwrap().values_mut().for_each(|host| {
                    host["month"] = json!("2026-1:");
                })
            });
        }),
    ];
    for (what, ruin) in RUINS.into_iter().chain(others) {
        let path = sound.lake_file("requests.json");
        ruin(&path);
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{what}: {told}");
        assert!(told.contains("requests.json: "), "{what}: {told}");
        let (code, told) = sound.verify(&["--repair"]);
        assert_eq!(code, Some(0), "{what}: {told}");
        let mended = json_of(&path)["hosts"][&host].clone();
        assert_eq!(mended["month"], counted["month"], "{what}");
        let (mended, counted) = (mended["requests"].as_u64().unwrap(), counted["requests"].as_u64().unwrap());
        // Each document took at least one request; the few others were for pages.
        let names = sound.env.server.world().names().count() as u64;
        assert!((names..=counted).contains(&mended), "{what}: {mended} of {counted}");
        sound.assert_restored();
    }
    let page = sound.lake_file("requests.json");
    fs::write(&page, "{").unwrap();
    let output = sound.env.ingest_command(&super::PIVOTS).arg("--quiet").output().unwrap();
    assert_eq!(output.status.code(), Some(4), "an ingest does not take it for nothing");
    assert!(stderr(&output).contains("requests.json is damaged"), "{}", stderr(&output));
    assert_eq!(sound.verify(&["--repair"]).0, Some(0));
    sound.assert_ingests_nothing();
    // Its readable part stays, and a host of another month too.
    change(&sound.lake_file("requests.json"), |counts| {
        counts["hosts"]["example.com"] = json!({"month": "2026-01", "requests": 12});
        counts["hosts"][&host]["requests"] = json!("many");
    });
    let output = run_binary(sound.env.folder.path(), &["verify", "--repair"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("at least") && stderr(&output).contains(&host), "{}", stderr(&output));
    assert_eq!(json_of(&page)["hosts"]["example.com"]["requests"], 12);
    // A deleted file is no fault, but it is reported.
    fs::remove_file(&page).unwrap();
    let (code, told) = sound.verify(&[]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("requests.json is gone"), "{told}");
}

#[test]
fn an_unreadable_lock_is_reported_and_removed() {
    let sound = Sound::new();
    for (what, ruin) in RUINS {
        let lock = sound.restore().join("lock.json");
        fs::write(&lock, "{}").unwrap();
        ruin(&lock);
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{what}: {told}");
        assert!(told.contains("lock.json: ") && told.contains("3 of 3 partitions"), "{what}: {told}");
        let (code, told) = sound.verify(&["--repair"]);
        assert_eq!(code, Some(0), "{what}: {told}");
        assert!(!lock.is_symlink() && !lock.exists(), "{what}");
    }
    sound.assert_ingests_nothing();
}

#[test]
fn a_partition_set_that_contradicts_the_manifests_is_restored_without_fetching() {
    let sound = Sound::new();
    for boundaries in [json!(["g", "q"]), json!(["g"]), json!(["g", "k", "p"]), json!(["p", "g"]), json!([])] {
        let set = sound.restore().join("partitions.json");
        let before = json_of(&set);
        change(&set, |set| set["boundaries"] = boundaries.clone());
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{boundaries}: {told}");
        assert!(told.contains("partitions.json: "), "{boundaries}: {told}");
        let (code, told) = sound.verify(&["--repair"]);
        assert_eq!(code, Some(0), "{boundaries}: {told}");
        assert_eq!(json_of(&set)["boundaries"], before["boundaries"]);
        assert_eq!(sound.env.server.requests().len(), 0, "{boundaries}");
    }
}

#[test]
fn shards_that_agree_win_over_a_partition_set_where_the_manifests_are_gone() {
    let sound = Sound::new();
    let origin = sound.restore();
    fs::remove_dir_all(origin.join("manifest")).unwrap();
    change(&origin.join("partitions.json"), |set| set["boundaries"] = json!(["g", "q"]));
    let (code, told) = sound.verify(&["--repair"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("3 of 3 partitions"), "{told}");
    let kept = origin_folder(&sound.kept).join("partitions.json");
    assert_eq!(json_of(&origin.join("partitions.json")), json_of(&kept), "also what it says beside the boundaries");
    fs::copy(kept, origin.join("partitions.json")).unwrap();
    sound.assert_restored();
}

#[test]
fn a_partition_set_lost_with_manifests_is_restored_from_file_names() {
    let sound = Sound::new();
    for stems in [&[MIDDLE][..], &["0-67", "67-70", "70-z"]] {
        let origin = sound.restore();
        fs::remove_file(origin.join("partitions.json")).unwrap();
        for stem in stems {
            fs::remove_file(origin.join("manifest").join(format!("{stem}.json"))).unwrap();
        }
        // Any other file there.
        fs::copy(origin.join("docs/0-67.parquet"), origin.join("docs/68-69.parquet")).unwrap();
        let (code, told) = sound.verify(&[]);
        assert_eq!(code, Some(4), "{told}");
        assert!(told.contains("partitions.json: it is gone"), "{told}");
        let (code, told) = sound.verify(&["--repair"]);
        assert_eq!(code, Some(0), "{told}");
        fs::remove_dir_all(origin.join("set-aside")).unwrap();
        let set = origin.join("partitions.json");
        assert_eq!(json_of(&set)["boundaries"], json!(["g", "p"]));
        fs::copy(origin_folder(&sound.kept).join("partitions.json"), set).unwrap();
        sound.assert_restored();
    }
}

#[test]
fn a_broken_partition_of_an_unknown_origin_is_not_changed() {
    let env = Env::new(World::seeded(54, 20));
    let output = env.ingest_command(&["m"]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let origin = origin_folder(&env.lake());
    let mirror = env.lake().join("mirror");
    fs::rename(&origin, &mirror).unwrap();
    fs::remove_file(env.lake().join("all-docs.json")).unwrap();
    flip_byte(&mirror.join("versions/0-6d.parquet"));
    let output = all_docs(env.folder.path()).args(["verify", "--repair"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("mirror is not repaired"), "{}", stderr(&output));
    assert!(mirror.join("manifest/0-6d.json").exists(), "its manifest is not taken back");
    let given = format!("mirror={}", env.server.url());
    let output = run_binary(env.folder.path(), &["verify", "--repair", "--origin", &given]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_registry_needs_no_address() {
    let env = Env::new(World::seeded(55, 20));
    env.ingest(&["m"]).await;
    let page = env.lake().join("all-docs.json");
    let before = metadata(&page);
    fs::write(&page, "{").unwrap();
    let output = run_binary(env.folder.path(), &["verify", "--repair"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(metadata(&page), before);
    assert!(json_of(&page)["origins"].get(ORIGIN).is_some());
}
