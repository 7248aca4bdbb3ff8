//! Questions to a lake with a week's overlay, and to the same lake without it, in turns on one thread.
//!
//! `ALL_DOCS_LAKE=DIR taskset -c 1 cargo bench --bench overlay_queries [-- QUESTION…]`. Without a lake, one of the generated
//! registry, whose figures compare with nothing. The overlay has the rows of 3 % of the names, as many as change in a week
//! (`ALL_DOCS_PERCENT`), in 16 deltas (`ALL_DOCS_DELTAS`). Both lakes hold the same documents, so their rows must be equal.
//! `ALL_DOCS_PACKAGE` is the package to look up, and `ALL_DOCS_ROUNDS` the number of runs of each question.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use all_docs::encode::ShardWriter;
use all_docs::lake::{Delta, LakeInfo, Layout, Manifest, Overlay, Partition, Record};
use all_docs::pipeline::read_lake;
use all_docs::query::{Session, SessionOptions};
use all_docs::store::Store;
use all_docs::table::{TableKind, schema};
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};
use support::generated_lake;
use tokio::runtime::Runtime;

/// The default number of runs of each question. The first one warms up and does not count.
const ROUNDS: usize = 10;

fn questions(package: &str) -> [(&'static str, String); 9] {
    let statement = |text: &str| text.to_owned();
    [
        ("count", statement("select count(*) as n from versions")),
        ("sum_of_sizes", statement("select sum(unpacked_size_bytes) as n from versions")),
        (
            "licenses",
            statement("select license, count(*) as n from versions group by license order by n desc, license"),
        ),
        (
            "install_scripts",
            statement("select name, script, command from scripts where script = 'postinstall' order by 1, 2, 3"),
        ),
        (
            "top_depended",
            statement(
                "select d.dependency, count(*) as n from dependencies d join packages p \
                 on d.name = p.name and d.version = p.latest where d.kind = 'prod' \
                 group by d.dependency order by n desc, d.dependency limit 20",
            ),
        ),
        ("descriptions", statement("select count(*) as n from packages where lower(description) like '%server%'")),
        (
            "documents",
            statement("select count(*) as n, max(length(json)) as longest from packuments where json like '%mocha%'"),
        ),
        ("one_package", format!("select version, published_at from versions where name = '{package}' order by 1")),
        ("first_rows", statement("select name, version from versions order by name limit 10")),
    ]
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let setting = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = setting("ALL_DOCS_ROUNDS", "").parse().unwrap_or(ROUNDS);
    let percent: u64 = setting("ALL_DOCS_PERCENT", "3").parse().unwrap();
    let deltas: u64 = setting("ALL_DOCS_DELTAS", "16").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (location, _folder) = match std::env::var("ALL_DOCS_LAKE") {
        Ok(location) => (location, None),
        Err(_) => {
            let (location, folder) = runtime.block_on(generated_lake::generate());
            (location, Some(folder))
        }
    };
    let plain = Lake::open(&runtime, Path::new(&location));
    let folder = tempfile::tempdir().unwrap();
    let names = with_overlay(Path::new(&location), folder.path(), &plain.origin, percent, deltas);
    let overlaid = Lake::open(&runtime, folder.path());
    println!("{names} names in {deltas} deltas");
    println!("{:<18} {:>12} {:>12}  ratio", "least, ms", "without", "with");
    let package = setting("ALL_DOCS_PACKAGE", "yargs");
    for (question, sql) in questions(&package) {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == question) {
            continue;
        }
        let mut least = [Duration::MAX; 2];
        let mut rows = [Vec::new(), Vec::new()];
        for round in 0..=rounds {
            for (place, lake) in [&plain, &overlaid].into_iter().enumerate() {
                let started = Instant::now();
                let found = lake.ask(&runtime, &sql);
                if round > 0 {
                    least[place] = least[place].min(started.elapsed());
                }
                rows[place] = found;
            }
        }
        assert_eq!(texts(&rows[0]), texts(&rows[1]), "{question}");
        let ms = least.map(|time| time.as_secs_f64() * 1e3);
        println!("{question:<18} {:>12.2} {:>12.2}  {:.2}", ms[0], ms[1], ms[1] / ms[0]);
    }
}

fn texts(batches: &[RecordBatch]) -> String {
    arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string()
}

struct Lake {
    session: Session,
    origin: String,
}

impl Lake {
    fn open(runtime: &Runtime, folder: &Path) -> Lake {
        let store = Store::open(folder.to_str().unwrap()).unwrap();
        let info: LakeInfo = runtime.block_on(read_lake(&store)).unwrap().unwrap();
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        Lake { session: Session::open(&store, &info, &options).unwrap(), origin: info.default_origin }
    }

    fn ask(&self, runtime: &Runtime, sql: &str) -> Vec<RecordBatch> {
        runtime.block_on(async { self.session.query(sql).await.unwrap().try_collect().await.unwrap() })
    }
}

/// Makes a lake of the files of another one, and an overlay of the rows of some names. Returns their number.
fn with_overlay(lake: &Path, folder: &Path, origin: &str, percent: u64, deltas: u64) -> usize {
    let layout = Layout::origin(origin);
    fs::copy(lake.join("all-docs.json"), folder.join("all-docs.json")).unwrap();
    // The same names in every run.
    let delta_of = |name: &str| {
        let number = u64::from_le_bytes(*Sha256::digest(name).first_chunk().unwrap());
        (number % 100 < percent).then_some(number / 100 % deltas)
    };
    let mut manifests: BTreeMap<u64, Manifest> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for table in TableKind::ALL {
        let mut shards: Vec<PathBuf> = Vec::new();
        fs::create_dir_all(folder.join(layout.table(table))).unwrap();
        for entry in fs::read_dir(lake.join(layout.table(table))).unwrap() {
            let shard = entry.unwrap().path();
            let own = folder.join(layout.table(table)).join(shard.file_name().unwrap());
            // Not a symbolic link: a listing looks at each of these twice.
            if fs::hard_link(&shard, &own).is_err() {
                fs::copy(&shard, own).unwrap();
            }
            shards.push(shard);
        }
        shards.sort();
        let mut writers = BTreeMap::new();
        for delta in 0..deltas {
            let path = folder.join(layout.delta(delta + 1, delta + 1).shard(table, &Partition::ALL));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(&path).unwrap();
            writers.insert(delta, ShardWriter::new(table, schema(table), file).unwrap());
        }
        for shard in shards {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(shard).unwrap()).unwrap();
            for batch in reader.with_batch_size(1_000).build().unwrap() {
                let batch = batch.unwrap();
                let column = Arc::clone(batch.column_by_name("name").unwrap());
                let of_rows: Vec<Option<u64>> =
                    column.as_string::<i32>().iter().map(|name| delta_of(name.unwrap())).collect();
                for (delta, writer) in &mut writers {
                    let wanted: BooleanArray = of_rows.iter().map(|of_row| Some(*of_row == Some(*delta))).collect();
                    if wanted.true_count() > 0 {
                        writer.write(filter_record_batch(&batch, &wanted).unwrap()).unwrap();
                    }
                }
                let held = column.as_string::<i32>().iter().flatten().filter(|name| delta_of(name).is_some());
                names.extend(held.map(str::to_owned));
            }
        }
        for (delta, writer) in writers {
            let (_, shard) = writer.finish().unwrap();
            let manifest = manifests.entry(delta).or_insert_with(empty_manifest);
            manifest.shards.insert(table.to_string(), shard);
        }
    }
    let mut overlay = Overlay::empty();
    for (delta, manifest) in manifests {
        let number = delta + 1;
        let text = manifest.to_json().unwrap();
        let path = folder.join(layout.delta(number, number).manifest(&Partition::ALL));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &text).unwrap();
        overlay.deltas.push(Delta {
            first: number,
            last: number,
            manifest_sha256: format!("{:x}", Sha256::digest(&text)),
            names: 0,
            size_bytes: 0,
            oldest_at_us: 0,
        });
        overlay.newest = number;
    }
    fs::write(folder.join(layout.overlay()), overlay.to_json().unwrap()).unwrap();
    names.len()
}

fn empty_manifest() -> Manifest {
    let text = serde_json::json!({
        "format_version": 1, "tool_version": "", "partition": Partition::ALL, "written_at": "", "shards": {},
        "outcomes": {}
    });
    serde_json::from_value(text).unwrap()
}
