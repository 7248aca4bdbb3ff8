//! `rebuild`: makes the tables of a lake again from its documents, without a request.

use std::fs;

use all_docs::table::{TableKind, schema_version};
use all_docs::version::TOOL_VERSION;
use arrow::array::Array;

use super::{OldLake, edit, files, json, rows, shards, stems};
use crate::support::{python, run_python};

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_lake_of_format_1_equals_a_fresh_ingest_without_a_request() {
    for lake in OldLake::all() {
        let outcomes = rows(&lake.origin(), TableKind::Outcomes);
        lake.env.server.clear_requests();
        let told = lake.must(&["rebuild"]);
        assert!(told.contains("partitions rebuilt"), "{told}");
        assert!(lake.env.server.requests().is_empty());
        assert_eq!(lake.run(&["verify"]).0, Some(0), "{}", lake.run(&["verify"]).1);
        let rebuilt = rows(&lake.origin(), TableKind::Outcomes);
        let (kept, added) = rebuilt.columns().split_at(outcomes.num_columns());
        assert_eq!(kept, outcomes.columns());
        assert!(added.len() == 3 && added.iter().all(|column| column.null_count() == rebuilt.num_rows()));
        lake.assert_as_fresh().await;
        let age = json_of(&lake, &["status", "--json"])[0]["old"].clone();
        assert_eq!(age, serde_json::json!({"partitions": 0, "tables": {}}));
    }
}

#[test]
fn shards_of_this_version_are_rebuilt_only_if_forced() {
    let lake = OldLake::kept();
    lake.must(&["rebuild"]);
    let before = files(&lake.env.lake());
    let summary = json_of(&lake, &["rebuild", "--json"]);
    assert_eq!(summary["partitions_rebuilt"], 0);
    assert_eq!(summary["partitions_current"], 3);
    assert_eq!(files(&lake.env.lake()), before);

    // One shard is lost, and another has a different size.
    let stems = stems(&lake.origin());
    fs::remove_file(lake.origin().join(format!("stars/{}.parquet", stems[0]))).unwrap();
    fs::write(lake.origin().join(format!("scripts/{}.parquet", stems[1])), "short").unwrap();
    let summary = json_of(&lake, &["rebuild", "--json"]);
    assert_eq!((&summary["partitions_rebuilt"], &summary["partitions_current"]), (&2.into(), &1.into()));
    assert_eq!(shards(&lake.origin()), shards_of(&before));

    let summary = json_of(&lake, &["rebuild", "--force", "--json"]);
    assert_eq!(summary["partitions_rebuilt"], 3);
    assert_eq!(shards(&lake.origin()), shards_of(&before));
    assert_eq!(lake.run(&["verify", "--quiet"]).0, Some(0));
}

#[test]
fn a_table_is_made_again_alone_and_what_has_old_columns_with_it() {
    let lake = OldLake::kept();
    lake.must(&["rebuild"]);
    let stem = &stems(&lake.origin())[1];
    let manifest = lake.origin().join(format!("manifest/{stem}.json"));
    // As another version of the tool with the same columns would have written it.
    edit(&manifest, |manifest| {
        for shard in manifest["shards"].as_object_mut().unwrap().values_mut() {
            shard["tool_version"] = "0.0.1".into();
        }
        manifest["shards"]["versions"]["schema_version"] = 1.into();
        manifest["shards"].as_object_mut().unwrap().remove("contributors");
    });
    let before = json(&manifest);
    let summary = json_of(&lake, &["rebuild", "--table", "scripts", "--json"]);
    assert_eq!(summary["partitions_rebuilt"], 1);
    let after = json(&manifest);
    for table in TableKind::ALL {
        let (before, after) = (&before["shards"][table.as_str()], &after["shards"][table.as_str()]);
        let is_made = matches!(table, TableKind::Scripts | TableKind::Versions | TableKind::Contributors);
        assert_eq!(after != before, is_made, "{table}");
        if is_made {
            assert_eq!(after["tool_version"], TOOL_VERSION, "{table}");
            assert_eq!(after["schema_version"], schema_version(table), "{table}");
        }
    }
    assert_eq!(lake.run(&["verify", "--quiet"]).0, Some(0));
    let (code, told) = lake.run(&["rebuild", "--table", "holograms"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("versions"), "{told}");
}

#[test]
fn a_partition_that_cannot_be_rebuilt_is_reported_and_not_changed() {
    let lake = OldLake::kept();
    let stems = stems(&lake.origin());
    let damaged = lake.origin().join(format!("packuments/{}.parquet", stems[1]));
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let before = shards(&lake.origin());
    let (code, told) = lake.run(&["rebuild"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains(&format!("packuments/{}", stems[1])) && told.contains("verify --repair"), "{told}");
    let after = shards(&lake.origin());
    for (path, bytes) in before.iter().filter(|(path, _)| path.contains(stems[1].as_str())) {
        assert_eq!(after[path], *bytes, "{path}");
    }
    let (code, told) = lake.run(&["rebuild", "--origin", "nowhere"]);
    assert_eq!(code, Some(2), "{told}");
}

#[test]
fn plain_globs_of_duckdb_pandas_and_polars_read_a_rebuilt_lake_and_union_by_name_one_that_is_half_rebuilt() {
    let Some(python) = python() else { return };
    let lake = OldLake::kept();
    let origin = lake.origin();
    lake.must(&["rebuild"]);
    let rebuilt = lake.env.folder.path().join("rebuilt");
    super::copy(&origin, &rebuilt);
    let told = run_python(&python, "read_lake.py", &[rebuilt.to_str().unwrap()]);
    for table in TableKind::ALL {
        assert!(told.contains(table.as_str()), "{told}");
    }
    // One partition as the earlier version left it.
    let old = OldLake::kept();
    let stem = &stems(&origin)[0];
    fs::copy(old.origin().join(format!("versions/{stem}.parquet")), origin.join(format!("versions/{stem}.parquet")))
        .unwrap();
    let told = run_python(&python, "read_lake.py", &[origin.to_str().unwrap(), "--mixed", "versions"]);
    assert!(told.contains("versions"), "{told}");
}

fn json_of(lake: &OldLake, arguments: &[&str]) -> serde_json::Value {
    let output = crate::support::run_binary(lake.env.folder.path(), arguments);
    assert_eq!(output.status.code(), Some(0), "{}", crate::support::stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the shards of the origin among the files of a lake.
fn shards_of(files: &std::collections::BTreeMap<String, Vec<u8>>) -> std::collections::BTreeMap<String, Vec<u8>> {
    let own = files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix("old/")?, bytes)));
    own.filter(|(path, _)| path.ends_with(".parquet")).map(|(path, bytes)| (path.to_owned(), bytes.clone())).collect()
}
