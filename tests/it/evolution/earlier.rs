//! Lakes of earlier versions: queried, verified, reported and updated.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use all_docs::table::{TableKind, schema};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::Digest;

use super::{OldLake, edit, rows, shards, stems};

#[test]
fn a_lake_of_format_1_is_intact_and_its_old_parts_are_reported() {
    for lake in OldLake::all() {
        let before = super::files(&lake.env.lake());
        let told = lake.must(&["verify"]);
        assert!(told.contains("sound") && told.contains("all-docs rebuild"), "{told}");
        let told = lake.must(&["status"]);
        assert!(told.contains("all-docs rebuild") && told.contains("union_by_name"), "{told}");
        for table in ["versions", "contributors"] {
            assert!(told.lines().any(|line| line.trim_start().starts_with(&format!("{table}:"))), "{table}: {told}");
        }
        let status: serde_json::Value = serde_json::from_str(&lake.must(&["status", "--json"])).unwrap();
        let partitions = stems(&lake.origin()).len();
        assert_eq!(status[0]["old"]["partitions"], partitions);
        assert_eq!(status[0]["old"]["tables"]["versions"]["earlier"], partitions);
        assert_eq!(status[0]["old"]["tables"]["contributors"]["missing"], partitions);
        assert!(status[0]["old"]["tables"].get("docs").is_none(), "{status}");
        assert!(super::files(&lake.env.lake()) == before, "reading changed something");
    }
}

#[test]
fn documents_of_an_old_lake_are_shown_as_they_were_served() {
    let lake = OldLake::kept();
    let names: Vec<String> = lake.env.server.world().names().map(str::to_owned).collect();
    // Typed input has no blanks around it.
    for name in names.iter().filter(|name| name.trim() == *name).step_by(31) {
        let served = lake.env.server.world().document(name).unwrap();
        let output = crate::support::run_binary(lake.env.folder.path(), &["packument", "show", name]);
        let is_held = output.status.success();
        assert!(if is_held { output.stdout == served } else { served == super::ABSENT }, "{name}");
    }
    // Some of the names have more than one line.
    assert!(lake.must(&["cache", "create-index"]).lines().count() >= names.len());
}

#[cfg(feature = "query")]
#[test]
fn an_old_lake_is_queried_with_null_in_the_new_columns() {
    for lake in OldLake::all() {
        let ask = |sql: &str| lake.must(&["query", "--quiet", "--format", "csv", sql]);
        for table in TableKind::ALL {
            let expected = if table == TableKind::Contributors { 0 } else { rows(&lake.origin(), table).num_rows() };
            assert_eq!(ask(&format!("select count(*) as n from {table}")), format!("n\n{expected}\n"), "{table}");
            ask(&format!("select * from {table} limit 3"));
        }
        let versions = rows(&lake.origin(), TableKind::Versions).num_rows();
        for (condition, expected) in [
            ("dependency_count is null", versions),
            ("dependency_count is not null", 0),
            ("dependency_count = 1 or exports", 0),
            ("not (dependency_count = 1) or funding_url <> ''", 0),
            ("coalesce(dependency_count, 7) = 7 and name is not null", versions),
            ("dependency_count is distinct from 1", versions),
        ] {
            let told = ask(&format!("select count(*) as n from versions where {condition}"));
            assert_eq!(told, format!("n\n{expected}\n"), "{condition}");
        }
        let told = lake.must(&["query", "select name, contributor from contributors"]);
        assert!(told.contains("contributors") && told.contains("all-docs rebuild"), "{told}");
        let told = lake.must(&["query", "select count(published_by_email) from versions"]);
        assert!(told.contains("all-docs rebuild"), "{told}");
        let told = lake.must(&["query", "select count(*) from docs"]);
        assert!(!told.contains("all-docs rebuild"), "{told}");
        lake.must(&["query", "--view", "depended_upon", "--group-level", "1", "--limit", "3"]);
        lake.must(&["query", "select count(*) from dependents('react')"]);
    }
}

#[cfg(feature = "query")]
#[test]
fn a_half_rebuilt_lake_is_queried_as_one() {
    let lake = OldLake::kept();
    lake.must(&["rebuild"]);
    let versions = rows(&lake.origin(), TableKind::Versions).num_rows();
    let old = OldLake::kept();
    let stem = &stems(&lake.origin())[0];
    let mut old_rows = 0;
    for (path, bytes) in super::files(&old.origin()).into_iter().filter(|(path, _)| path.contains(stem.as_str())) {
        if path.starts_with("manifest/") {
            let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            old_rows = usize::try_from(manifest["shards"]["versions"]["rows"].as_u64().unwrap()).unwrap();
        }
        fs::write(lake.origin().join(path), bytes).unwrap();
    }
    fs::remove_file(lake.origin().join(format!("contributors/{stem}.parquet"))).unwrap();
    assert!(old_rows > 0 && old_rows < versions);
    let ask = |sql: &str| lake.must(&["query", "--quiet", "--format", "csv", sql]);
    for (condition, expected) in [
        ("true", versions),
        ("dependency_count is null", old_rows),
        ("dependency_count >= 0", versions - old_rows),
        ("exports is null", old_rows),
    ] {
        let told = ask(&format!("select count(*) as n from versions where {condition}"));
        assert_eq!(told, format!("n\n{expected}\n"), "{condition}");
    }
    let told = lake.must(&["query", "select count(*) from contributors"]);
    assert!(told.contains("1 partitions lack the table contributors"), "{told}");
    assert_eq!(lake.run(&["verify", "--quiet"]).0, Some(0));
}

/// Gives a shard of `versions` the columns that an earlier version may have had: one has another type, optional and
/// required ones are missing, and there is one that has been removed since.
fn make_earlier(lake: &OldLake, stem: &str) {
    let path = lake.origin().join(format!("versions/{stem}.parquet"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(|batch| earlier(&batch.unwrap())).collect();
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), schema, None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    name_in_manifest(lake, "versions", stem);
}

fn earlier(batch: &RecordBatch) -> RecordBatch {
    let mut columns: Vec<(Field, ArrayRef)> = vec![(
        Field::new("published_with", DataType::Utf8, false),
        Arc::new(StringArray::from(vec!["npm"; batch.num_rows()])),
    )];
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        match field.name().as_str() {
            "license" | "version_index" | "dependency_count" => {}
            "file_count" => {
                let text = arrow::compute::cast(array, &DataType::Utf8).unwrap();
                let text: StringArray = (0..batch.num_rows())
                    .map(|row| if row % 3 == 0 { Some("many") } else { Some(text.as_string::<i32>().value(row)) })
                    .collect();
                columns.push((Field::new("file_count", DataType::Utf8, true), Arc::new(text)));
            }
            _ => columns.push((field.as_ref().clone(), Arc::clone(array))),
        }
    }
    // In another order.
    columns.reverse();
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Makes the manifest name a shard as it is now, without any version, as format 1 did.
fn name_in_manifest(lake: &OldLake, table: &str, stem: &str) {
    let bytes = fs::read(lake.origin().join(format!("{table}/{stem}.parquet"))).unwrap();
    edit(&lake.origin().join(format!("manifest/{stem}.json")), |manifest| {
        let shard = manifest["shards"][table].as_object_mut().unwrap();
        shard.remove("schema_version");
        shard.remove("tool_version");
        shard.insert("size_bytes".to_owned(), bytes.len().into());
        let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        shard.insert("sha256".to_owned(), digest.into());
    });
}

#[test]
fn a_column_of_another_type_one_that_is_not_there_and_one_that_has_gone_are_read_and_rebuilt() {
    let lake = OldLake::kept();
    lake.must(&["rebuild"]);
    let rebuilt = shards(&lake.origin());
    #[cfg(feature = "query")]
    let versions = rows(&lake.origin(), TableKind::Versions);
    let stem = stems(&lake.origin())[1].clone();
    make_earlier(&lake, &stem);
    assert_ne!(shards(&lake.origin()), rebuilt);

    let told = lake.must(&["verify"]);
    assert!(told.contains("sound") && told.contains("wrote 1 partitions"), "{told}");
    #[cfg(feature = "query")]
    {
        let ask = |sql: &str| lake.must(&["query", "--quiet", "--format", "csv", sql]);
        assert_eq!(ask("select count(*) as n from versions"), format!("n\n{}\n", versions.num_rows()));
        // The reader that the merge of an update uses must see the same.
        for (column, condition) in [
            ("file_count", "file_count is not null"),
            ("file_count", "file_count > 3"),
            ("license", "license is not null"),
            ("version_index", "version_index >= 0"),
            ("name", "published_by is null"),
        ] {
            let counted = ask(&format!("select count({column}) as n from versions where {condition}"));
            let all = ask(&format!(
                "select count(*) as n from (select {column}, {condition} as holds from versions) where holds"
            ));
            assert_eq!(counted, all, "{condition}");
        }
        let (code, told) = lake.run(&["query", "select published_with from versions"]);
        assert_eq!(code, Some(2), "{told}");
    }
    let file = all_docs::store::ShardFile::Bytes(
        fs::read(lake.origin().join(format!("versions/{stem}.parquet"))).unwrap().into(),
    );
    let current = schema(TableKind::Versions);
    let read: Vec<RecordBatch> =
        all_docs::shard::ShardReader::open(TableKind::Versions, file, &current).unwrap().map(Result::unwrap).collect();
    for batch in &read {
        let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&batch.schema()), names(&current));
        let nulls = |column: &str| batch.column_by_name(column).unwrap().null_count();
        assert_eq!(nulls("license"), batch.num_rows());
        assert_eq!(nulls("version_index"), batch.num_rows());
        assert!(nulls("file_count") >= batch.num_rows() / 3 && nulls("name") == 0);
    }
    assert!(read.iter().any(|batch| batch.column_by_name("file_count").unwrap().null_count() < batch.num_rows()));

    lake.must(&["rebuild"]);
    assert_eq!(shards(&lake.origin()), rebuilt);
}

/// An update rewrites the touched partitions completely, and says how to do the rest.
#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_of_an_old_lake_writes_what_it_touches_in_the_new_form() {
    // For the kept lake, an ingest requests documents of every partition again.
    let mut updates = vec![
        (OldLake::kept(), &["packument", "fetch", "NAME"][..], true),
        (OldLake::kept(), &["partition", "refresh"], false),
    ];
    updates.extend(OldLake::shared().map(|lake| (lake, &["ingest"][..], true)));
    for (lake, command, fetches) in updates {
        let origin = lake.origin();
        let packages = rows(&origin, TableKind::Packages);
        let names = packages.column_by_name("name").unwrap().as_string::<i32>().clone();
        let name = names.iter().flatten().find(|name| name.starts_with("a")).unwrap().to_owned();
        let before = shards(&origin);
        lake.env.server.world().publish(&name, "99.0.0");
        lake.env.server.clear_requests();
        let registry = lake.registry();
        let command = command.iter().map(|word| if *word == "NAME" { name.as_str() } else { word });
        let told = lake.must(&command.chain(["--origin", &registry]).collect::<Vec<_>>());
        assert_eq!(lake.env.packuments_asked(), if fetches { vec![name] } else { Vec::new() });
        let old = stems(&origin).len() - 1;
        assert!(told.contains(&format!("wrote {old} partitions")), "{told}");
        assert!(told.contains("all-docs rebuild") && told.contains("union_by_name"), "{told}");
        assert_eq!(lake.run(&["verify", "--quiet"]).0, Some(0));

        let is_new = |stem: &String| {
            let manifest: serde_json::Value = super::json(&origin.join(format!("manifest/{stem}.json")));
            let shards = manifest["shards"].as_object().unwrap();
            shards["versions"]["schema_version"] == 2 && shards.contains_key("contributors")
        };
        let (touched, kept): (Vec<String>, Vec<String>) = stems(&origin).into_iter().partition(is_new);
        assert_eq!((touched.len(), kept.len()), (1, old));
        let after = shards(&origin);
        for (path, bytes) in
            after.iter().filter(|(path, _)| kept.iter().any(|stem| path.contains(&format!("/{stem}."))))
        {
            assert_eq!(before.get(path), Some(bytes), "{path}");
        }
        lake.must(&["rebuild"]);
        if fetches {
            lake.assert_as_fresh().await;
        }
        assert_eq!(lake.run(&["verify", "--quiet"]).0, Some(0));
    }
}

/// A dry run reports the work of an ingest, and raises no version.
#[test]
fn a_dry_run_does_not_change_an_old_lake() {
    let lake = OldLake::kept();
    let name = lake.env.server.world().names().next().unwrap().to_owned();
    lake.env.server.world().publish(&name, "99.0.0");
    let page = fs::read(lake.env.lake().join("all-docs.json")).unwrap();
    let before = shards(&lake.origin());
    lake.must(&["ingest", "--dry-run", "--origin", &lake.registry()]);
    assert_eq!(fs::read(lake.env.lake().join("all-docs.json")).unwrap(), page);
    assert_eq!(shards(&lake.origin()), before);
    assert!(Path::new(&lake.origin()).exists());
}
