//! A lake of a newer version: every command refuses it and leaves it unchanged.

use std::fs;
use std::path::Path;

use all_docs::encode::ShardWriter;
use all_docs::sample::World;
use all_docs::table::{TableKind, schema};
use serde_json::json;

use super::{copy, edit, files};
use crate::support::{Env, ORIGIN, run_binary, stderr, stdout};

/// Every command that opens a lake. `URL` stands for the registry.
const COMMANDS: &[&[&str]] = &[
    &["ingest", "--origin", "URL"],
    &["ingest", "--origin", "URL", "--dry-run"],
    #[cfg(feature = "query")]
    &["query", "select count(*) from versions"],
    #[cfg(feature = "query")]
    &["query", "--view", "by_user"],
    #[cfg(feature = "query")]
    &["query", "select 1", "--attach", "other=lake", "--lake", "sound"],
    #[cfg(feature = "query")]
    &["views"],
    &["status"],
    &["verify"],
    &["verify", "--repair", "--origin", "URL"],
    &["rebuild"],
    &["rebuild", "--force", "--table", "versions"],
    &["partition", "list"],
    &["partition", "refresh", "--origin", "URL"],
    &["partition", "fetch", "--start-key", "a", "--origin", "URL"],
    &["packument", "fetch", "NAME", "--origin", "URL"],
    &["packument", "show", "NAME"],
    &["packument", "export", "names.txt", "documents"],
    &["cache", "create-index"],
    &["cache", "list"],
    &["cache", "validate-partitions"],
    &["cache", "clear", "--yes"],
    &["pivots", "--count", "2"],
];

type Change = (&'static str, fn(&Path));

/// The files that a newer version may have left.
const NEWER: &[Change] = &[
    ("the format of the lake metadata", |lake| {
        edit(&lake.join("all-docs.json"), |page| page["format_version"] = json!(99))
    }),
    ("a lake metadata of another form", |lake| {
        fs::write(lake.join("all-docs.json"), r#"{"format_version": 99, "origins": ["unknown"]}"#).unwrap();
    }),
    ("a version of a table's schema", |lake| {
        edit(&lake.join("all-docs.json"), |page| page["schema_versions"]["stars"] = json!(99));
    }),
    ("a table", |lake| edit(&lake.join("all-docs.json"), |page| page["schema_versions"]["holograms"] = json!(1))),
    ("the format of the partition set", |lake| {
        edit(&lake.join("sample/partitions.json"), |set| set["format_version"] = json!(99));
    }),
    ("the format of a manifest", |lake| edit(&manifest(lake), |manifest| manifest["format_version"] = json!(99))),
    ("a shard in a manifest", |lake| {
        edit(&manifest(lake), |manifest| manifest["shards"]["stars"]["schema_version"] = json!(99));
    }),
    ("a table in a manifest", |lake| {
        edit(&manifest(lake), |manifest| {
            manifest["shards"]["holograms"] = json!({"rows": 0, "size_bytes": 0, "sha256": "", "schema_version": 1});
        });
    }),
    ("a commit that was begun", |lake| {
        let intent = lake.join("sample/staging/6b-z/commit.json");
        fs::create_dir_all(intent.parent().unwrap()).unwrap();
        fs::copy(manifest(lake), &intent).unwrap();
        edit(&intent, |manifest| manifest["shards"]["stars"]["schema_version"] = json!(99));
    }),
];

fn manifest(lake: &Path) -> std::path::PathBuf {
    lake.join("sample/manifest/6b-z.json")
}

struct Scene {
    env: Env,
    name: String,
}

impl Scene {
    async fn new() -> Scene {
        let env = Env::new(World::seeded(61, 12));
        env.ingest(&["k"]).await;
        let name = env.server.world().names().last().unwrap().to_owned();
        fs::write(env.folder.path().join("names.txt"), &name).unwrap();
        copy(&env.lake(), &env.folder.path().join("sound"));
        Scene { env, name }
    }

    fn restore(&self) {
        fs::remove_dir_all(self.env.lake()).unwrap();
        copy(&self.env.folder.path().join("sound"), &self.env.lake());
    }

    /// Asserts that a newer version makes the command fail, and that no file that satisfies `is_kept` changes.
    fn assert_refused(&self, command: &[&str], what: &str, is_kept: fn(&str) -> bool) {
        let url = format!("{ORIGIN}={}", self.env.server.url());
        let arguments: Vec<&str> = command
            .iter()
            .map(|argument| match *argument {
                "URL" => url.as_str(),
                "NAME" => self.name.as_str(),
                other => other,
            })
            .collect();
        let kept = || {
            let mut files = files(self.env.folder.path());
            files.retain(|path, _| is_kept(path));
            files
        };
        let before = kept();
        let output = run_binary(self.env.folder.path(), &arguments);
        let told = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{what}: {command:?}: {told}");
        assert!(told.contains("newer version") && told.contains("update all-docs"), "{what}: {command:?}: {told}");
        assert!(kept() == before, "{what}: {command:?} changed something");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_a_newer_version_is_refused_by_every_command_and_not_changed() {
    let scene = Scene::new().await;
    for (what, change) in NEWER {
        scene.restore();
        change(&scene.env.lake());
        for command in COMMANDS {
            scene.assert_refused(command, what, |_| true);
        }
    }
    assert!(scene.env.folder.path().join("sound/all-docs.json").exists());
}

/// A lone shard, with records that do not mention its version, is refused by each command that reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_of_a_newer_version_is_refused_by_who_reads_it_and_not_repaired() {
    let scene = Scene::new().await;
    for (table, commands) in [
        (TableKind::Docs, &[&["ingest", "--origin", "URL"][..], &["cache", "create-index"], &["verify"]][..]),
        (TableKind::Packuments, &[&["packument", "show", "NAME"], &["rebuild", "--force"], &["verify", "--repair"]]),
        #[cfg(feature = "query")]
        (TableKind::Versions, &[&["query", "select count(license) from versions"]]),
        (TableKind::Versions, &[&["verify"], &["verify", "--repair", "--origin", "URL"]]),
    ] {
        for command in commands {
            scene.restore();
            for stem in ["0-6b", "6b-z"] {
                fs::write(scene.env.lake().join(format!("sample/{table}/{stem}.parquet")), newer_shard(table)).unwrap();
            }
            // A command that meets it during its work has entered the registry's address, and staged something, before.
            let is_kept =
                |path: &str| (path.ends_with(".parquet") || path.contains("/manifest/")) && !path.contains("/staging/");
            scene.assert_refused(command, &format!("a shard of {table}"), is_kept);
        }
    }
}

/// Returns an empty shard that claims another version of the schema.
fn newer_shard(table: TableKind) -> Vec<u8> {
    let (bytes, _) = ShardWriter::new(table, schema(table), Vec::new()).unwrap().finish().unwrap();
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes));
    let schema = builder.unwrap().schema().clone();
    let said = parquet::file::metadata::KeyValue::new("all_docs.schema_version".to_owned(), "99".to_owned());
    let properties =
        parquet::file::properties::WriterProperties::builder().set_key_value_metadata(Some(vec![said])).build();
    let writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
    writer.into_inner().unwrap()
}
