//! The number of requests and bytes that commands take in a lake of 450 partitions in a bucket: a store in memory counts
//! them. A cold command has an empty cache; a warm one is a new process with the cache of an earlier one.

use std::collections::BTreeMap;
use std::sync::Arc;

use all_docs::encode::ShardWriter;
use all_docs::lake::{LakeInfo, Layout, Manifest, OriginInfo, OriginLayout, Partition, PartitionSet, ShardMeta};
use all_docs::npm::PackageName;
use all_docs::pipeline::{
    Fault, LakeDocuments, LakeProof, Progress, lake_ages, lake_status, open_to_read, partition_states, verify_quickly,
};
use all_docs::query::{Session, SessionOptions};
use all_docs::store::{ObjectCache, Store, StoreUsage};
use all_docs::table::{TableKind, schema};
use all_docs::version::{FORMAT_VERSION, TOOL_VERSION};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::json::{ArrayWriter, ReaderBuilder};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const PARTITIONS: usize = 450;
/// The partition of the looked-up names, which has shards of the usual size.
const FULL: usize = 200;
const FULL_PACKAGES: usize = 10_000;
const FULL_DOCUMENTS: usize = 800;
/// Rows of every other shard.
const ROWS: usize = 3;

struct Scene {
    store: Store,
    layout: OriginLayout,
    set: PartitionSet,
    cache: TempDir,
}

/// The cost of some work.
#[derive(Debug, Clone, Copy)]
struct Cost {
    requests: u64,
    gets: u64,
    bytes: u64,
}

fn requests_of(usage: &StoreUsage) -> u64 {
    let uploads = usage.uploads_begun + usage.parts + usage.uploads_completed + usage.uploads_aborted;
    usage.puts + usage.creates + usage.updates + usage.gets + usage.heads + usage.lists + usage.deletes + uploads
}

impl Scene {
    async fn new() -> Scene {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let boundaries = (1..PARTITIONS).map(|number| format!("p{number:03}")).collect();
        let set = PartitionSet {
            format_version: FORMAT_VERSION,
            rows_per_partition: Some(10_000),
            pivots: Vec::new(),
            boundaries,
        };
        store.put_record(&layout.partition_set(), &set).await.unwrap();
        let url = "http://127.0.0.1/".to_owned();
        let mut info = LakeInfo::new("npm");
        info.origins.insert("npm".to_owned(), OriginInfo { replicate_url: url.clone(), registry_url: url });
        info.note_current("npm");
        store.put_record(Layout::INFO, &info).await.unwrap();
        let small: BTreeMap<TableKind, (Vec<u8>, ShardMeta)> = TableKind::ALL
            .map(|table| (table, shard(table, (0..ROWS).map(|row| json!({"name": format!("{row}")})))))
            .into();
        for (number, partition) in set.iter().enumerate() {
            let mut shards = BTreeMap::new();
            for (table, (bytes, meta)) in &small {
                let full = match table {
                    TableKind::Packages if number == FULL => Some(shard(*table, (0..FULL_PACKAGES).map(package))),
                    TableKind::Packuments if number == FULL => Some(shard(*table, (0..FULL_DOCUMENTS).map(document))),
                    _ => None,
                };
                let (bytes, meta) = full.unwrap_or_else(|| (bytes.clone(), meta.clone()));
                store.put(&layout.shard(*table, &partition), bytes).await.unwrap();
                shards.insert(table.to_string(), meta);
            }
            let manifest = Manifest {
                format_version: FORMAT_VERSION,
                tool_version: TOOL_VERSION.to_owned(),
                partition: partition.clone(),
                written_at: "2026-11-29T00:00:00Z".to_owned(),
                shards,
                outcomes: BTreeMap::from([("present".to_owned(), ROWS as u64)]),
                listed_at_us: None,
                oversize_limit_bytes: None,
                cut_from: None,
                removed: Vec::new(),
                unfilled: Vec::new(),
                documents_form: None,
            };
            store.put_record(&layout.manifest(&partition), &manifest).await.unwrap();
        }
        Scene { store, layout, set, cache: tempfile::tempdir().unwrap() }
    }

    /// Opens the lake as a new process does.
    fn open(&self) -> Store {
        self.store.clone().with_cache(ObjectCache::new(self.cache.path().to_owned(), "", ObjectCache::LIMIT_BYTES))
    }

    /// Does some work in a new process, and returns its cost.
    async fn cost<T>(&self, work: impl AsyncFnOnce(Store) -> T) -> (T, Cost) {
        let store = self.open();
        let before = store.usage();
        let done = work(store.clone()).await;
        let after = store.usage();
        let cost = Cost {
            requests: requests_of(&after) - requests_of(&before),
            gets: after.gets - before.gets,
            bytes: after.bytes_down - before.bytes_down,
        };
        (done, cost)
    }

    /// Runs a statement as the command does.
    async fn query(&self, sql: &str) -> (Value, Cost) {
        self.cost(async |store: Store| {
            let root = open_to_read(&store).await.unwrap().unwrap();
            assert!(!root.may_have_queries);
            let ages = lake_ages(&store, &root.info).await.unwrap();
            let options = SessionOptions { threads: 2, ages, ..SessionOptions::default() };
            let session = Session::open(&store, &root.info, &options).unwrap();
            let batches: Vec<RecordBatch> = session.query(sql).await.unwrap().try_collect().await.unwrap();
            let mut json = ArrayWriter::new(Vec::new());
            json.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
            json.finish().unwrap();
            serde_json::from_slice(&json.into_inner()).unwrap_or(json!([]))
        })
        .await
    }

    fn full(&self) -> Partition {
        self.set.get(FULL)
    }

    async fn verify(&self) -> (LakeProof, Cost) {
        let verify = async |store: Store| {
            verify_quickly(&store, None, Arc::new(Progress::default()), CancellationToken::new()).await
        };
        let (proof, cost) = self.cost(verify).await;
        (proof.unwrap(), cost)
    }
}

fn package(number: usize) -> Value {
    json!({"name": name(number), "latest": format!("{}.{}.0", number % 7, number % 31), "version_count": 3,
           "description": noise(number, 60), "license": "MIT"})
}

/// Returns a document. Those of the first half compress as npm's do, to a sixth; the others hardly do.
fn document(number: usize) -> Value {
    let readme = if number < FULL_DOCUMENTS / 2 { noise(number, 2_000).repeat(3) } else { noise(number, 6_000) };
    json!({"name": name(number), "rev": format!("1-{number}"), "representation": "full",
           "json": format!("{{\"name\":\"{}\",\"readme\":\"{readme}\"}}", name(number))})
}

fn name(number: usize) -> String {
    format!("p{FULL:03}-{number:06}")
}

/// Returns text that compresses about as well as prose.
fn noise(seed: usize, words: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:04x} ", state >> 48)
    };
    (0..words).map(|_| word()).collect()
}

/// Makes a shard with a value in every column that is not nullable.
fn shard(table: TableKind, rows: impl Iterator<Item = Value>) -> (Vec<u8>, ShardMeta) {
    let schema = schema(table);
    let mut writer = ShardWriter::new(table, Arc::clone(&schema), Vec::new()).unwrap();
    let rows: Vec<Value> = rows.map(|row| filled(table, row)).collect();
    for rows in rows.chunks(100) {
        let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
        decoder.serialize(rows).unwrap();
        writer.write(decoder.flush().unwrap().unwrap()).unwrap();
    }
    writer.finish().unwrap()
}

fn filled(table: TableKind, mut row: Value) -> Value {
    for field in schema(table).fields().iter().filter(|field| !field.is_nullable()) {
        let empty = match field.data_type() {
            kind if kind.is_numeric() => json!(0),
            DataType::Boolean => json!(false),
            DataType::List(_) => json!([]),
            DataType::Timestamp(..) => json!("1970-01-01T00:00:00Z"),
            _ => json!(""),
        };
        row.as_object_mut().unwrap().entry(field.name()).or_insert(empty);
    }
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_a_far_lake_takes_few_requests() {
    let scene = Scene::new().await;
    let sizes = scene.store.list_sized(&scene.layout.table(TableKind::Packages)).await.unwrap();
    let full = sizes.iter().map(|listed| listed.size_bytes).max().unwrap();
    assert!(full > 1_500_000, "{full}: a shard of the usual size");

    // A look-up of a name. One request of each statement is for the record of the overlay, which is not there.
    let sql = format!("select latest, description from packages where name = '{}'", name(7_123));
    let expected = json!([{"latest": format!("{}.{}.0", 7_123 % 7, 7_123 % 31), "description": noise(7_123, 60)}]);
    let (rows, cold) = scene.query(&sql).await;
    assert_eq!(rows, expected);
    assert!(cold.requests <= 7 && cold.bytes <= 1_000_000, "{cold:?}");
    let (rows, warm) = scene.query(&sql).await;
    assert_eq!(rows, expected);
    assert!(warm.requests <= 4, "{warm:?}");
    let (rows, other) = scene.query(&sql.replace(&name(7_123), &name(42))).await;
    assert_eq!(rows[0]["description"], json!(noise(42, 60)));
    assert!(other.requests <= 4, "another name of the same shard: {other:?}");
    let (rows, none) = scene.query(&sql.replace(&name(7_123), &format!("{}-not-there", name(42)))).await;
    assert_eq!(rows, json!([]));
    assert!(none.requests <= 4, "{none:?}");
    let (rows, all) = scene.query(&format!("select * from packages where name = '{}'", name(42))).await;
    assert_eq!(rows[0]["license"], json!("MIT"));
    assert!(all.requests <= 4, "{all:?}");

    documents_are_found(&scene).await;
    let show = async |store: Store| {
        let root = open_to_read(&store).await.unwrap().unwrap();
        let documents = LakeDocuments::open(&store, &Layout::origin(&root.info.default_origin)).await.unwrap();
        let find = move || documents.find(&PackageName::new(name(321))).unwrap().unwrap();
        tokio::task::spawn_blocking(find).await.unwrap()
    };
    let (found, shown) = scene.cost(show).await;
    assert_eq!(found.bytes, document(321)["json"].as_str().unwrap());
    assert!(shown.requests <= 9, "{shown:?}");

    // All footers of a table.
    let sql = "select count(*) as n from docs";
    let (rows, cold) = scene.query(sql).await;
    assert_eq!(rows, json!([{"n": PARTITIONS * ROWS}]));
    assert!(cold.requests <= PARTITIONS as u64 + 4, "{cold:?}");
    let (rows, warm) = scene.query(sql).await;
    assert_eq!(rows, json!([{"n": PARTITIONS * ROWS}]));
    assert!(warm.requests <= 4 && warm.gets == 1, "{warm:?}");

    // The manifests, and listings: seven pages show all 6,300 objects.
    let status = async |store: Store| lake_status(&store).await.unwrap().unwrap();
    let (cold_status, cold) = scene.cost(status).await;
    assert_eq!((cold_status[0].partitions_committed, cold_status[0].tables["docs"].shards), (450, 450));
    assert!(cold.requests <= PARTITIONS as u64 + 16, "{cold:?}");
    let (_, warm) = scene.cost(status).await;
    assert!(warm.requests <= 16, "{warm:?}");
    let states = async |store: Store| partition_states(&store, &Layout::origin("npm")).await.unwrap();
    let (states, listed) = scene.cost(states).await;
    assert!(states.len() == PARTITIONS && listed.requests <= 3, "{listed:?}");

    let (proof, warm) = scene.verify().await;
    assert!(proof.is_sound(), "{proof:?}");
    let objects = (TableKind::ALL.len() * PARTITIONS) as u64;
    assert_eq!((proof.origins[0].shards, proof.origins[0].partitions_committed), (objects, 450));
    assert!(objects >= 5_400 && warm.requests <= 16, "{warm:?}");
    std::fs::remove_dir_all(scene.cache.path()).unwrap();
    let (_, cold) = scene.verify().await;
    assert!(cold.requests <= PARTITIONS as u64 + 16, "{cold:?}");

    // The views: one listing shows that the lake has none of its own.
    let (_, cold) = scene.cost(async |store: Store| open_to_read(&store).await.unwrap()).await;
    let (_, warm) = scene.cost(async |store: Store| open_to_read(&store).await.unwrap()).await;
    assert!(cold.requests <= 2 && warm.requests <= 1, "{cold:?} {warm:?}");

    faults_are_found(&scene).await;
    a_replaced_shard_is_read_anew(&scene).await;
}

/// Looks up documents: usual ones, and those of row groups that are too large to be read as one.
async fn documents_are_found(scene: &Scene) {
    let find = async |columns: &str, number: usize| {
        let sql = format!("select {columns} from packuments where name = '{}'", name(number));
        let (rows, cost) = scene.query(&sql).await;
        assert_eq!(rows[0]["json"], document(number)["json"], "{number}");
        cost
    };
    let cold = find("json", 321).await;
    assert!(cold.requests <= 7 && cold.bytes <= 1_000_000, "{cold:?}");
    for number in [321, 322, 5, 200] {
        let warm = find("json", number).await;
        assert!(warm.requests <= 4 && warm.bytes <= 768 << 10, "{number}: {warm:?}");
    }
    std::fs::remove_dir_all(scene.cache.path()).unwrap();
    let large = 600;
    let cold = find("json", large).await;
    assert!(cold.requests <= 7 && cold.bytes <= 1_000_000, "{cold:?}");
    for columns in ["json", "rev, size_bytes, json"] {
        let warm = find(columns, large).await;
        assert!(warm.requests <= 4 && warm.bytes <= 768 << 10, "{warm:?}");
    }
    // The names of a large row group are kept when it is first looked at. The footer is kept before that.
    std::fs::remove_dir_all(scene.cache.path()).unwrap();
    find("json", 0).await;
    let mut first_looks = 0;
    for number in (FULL_DOCUMENTS / 2 + 20..FULL_DOCUMENTS).step_by(40) {
        let (first, second) = (find("json", number).await, find("json", number).await);
        assert!(first.requests <= 5 && second.requests <= 4, "{number}: {first:?} {second:?}");
        first_looks += usize::from(first.requests == 5);
    }
    assert!(first_looks >= 1, "no row group is large");
}

async fn faults_are_found(scene: &Scene) {
    let shard = |table, number| scene.layout.shard(table, &scene.set.get(number));
    let lost = shard(TableKind::Stars, 3);
    let longer = shard(TableKind::Docs, 4);
    let foreign = format!("{}/copy.parquet", scene.layout.table(TableKind::Docs));
    let kept = [scene.store.get(&lost).await.unwrap().unwrap(), scene.store.get(&longer).await.unwrap().unwrap()];
    scene.store.delete(&lost).await.unwrap();
    scene.store.put(&longer, [&kept[1][..], b"more"].concat()).await.unwrap();
    scene.store.put(&foreign, kept[1].clone()).await.unwrap();
    scene.store.delete(&scene.layout.manifest(&scene.set.get(5))).await.unwrap();
    let (proof, cost) = scene.verify().await;
    let found: Vec<_> = proof.origins[0].findings.iter().map(|finding| (finding.file.clone(), finding.fault)).collect();
    assert!(found.contains(&(lost.clone(), Fault::Missing)), "{found:?}");
    assert!(found.contains(&(longer.clone(), Fault::Damaged)), "{found:?}");
    assert!(found.contains(&(foreign.clone(), Fault::ForeignFile)), "{found:?}");
    assert!(found.contains(&(shard(TableKind::Docs, 5), Fault::Manifest)), "{found:?}");
    assert_eq!(found.len(), 3 + TableKind::ALL.len(), "{found:?}");
    assert!(cost.requests <= 120, "{cost:?}");
    for (path, bytes) in [lost, longer].into_iter().zip(kept) {
        scene.store.put(&path, bytes).await.unwrap();
    }
    scene.store.delete(&foreign).await.unwrap();
}

/// The cache has the end of the shard as it was.
async fn a_replaced_shard_is_read_anew(scene: &Scene) {
    let sql = format!("select count(*) as n from packages where name >= '{}'", name(0));
    let before = scene.query(&sql).await.0[0]["n"].as_u64().unwrap();
    let (bytes, _) = shard(TableKind::Packages, (0..FULL_PACKAGES - 1).map(package));
    scene.store.put(&scene.layout.shard(TableKind::Packages, &scene.full()), bytes).await.unwrap();
    assert_eq!(scene.query(&sql).await.0[0]["n"].as_u64().unwrap(), before - 1);
}
