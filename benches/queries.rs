//! Nine questions to a lake, as SQL: how long each takes when its shards are in the page cache, on one thread.
//!
//! `ALL_DOCS_LAKE=DIR taskset -c 1 cargo bench --bench queries`; without the variable, on a lake of the generated
//! registry, whose figures compare with nothing. `ALL_DOCS_PACKAGE` is the package that is looked up, `ALL_DOCS_HUB` the
//! one whose dependents are sought. The statements join `packages` for the latest version although `is_latest` says
//! the same, so that other engines can be asked the very same.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, LazyLock};

use all_docs::lake::{LakeInfo, OriginInfo, Pivots};
use all_docs::pipeline::{IngestOptions, PartitionMode, Progress, ingest, read_lake};
use all_docs::query::{Session, SessionOptions};
use all_docs::registry::{Credentials, Origin, Registry, RegistryConfig};
use all_docs::sample::{Options, SampleServer, World};
use all_docs::store::Store;
use divan::Bencher;
use futures::TryStreamExt;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Packages of the generated registry.
const GENERATED_PACKAGES: usize = 2_000;

/// The edges of each package's latest version that are needed to run it.
const EDGES: &str = "from dependencies d join packages p on d.name = p.name and d.version = p.latest \
    where d.kind = 'prod'";
/// The latest version of each package.
const LATEST: &str = "from versions v join packages p on v.name = p.name and v.version = p.latest";

const QUESTIONS: [&str; 9] = [
    "top_depended",
    "top_maintainers",
    "versions_per_month",
    "latest_deprecated",
    "install_scripts",
    "licenses",
    "one_package",
    "dependents_of_one",
    "transitive_dependents",
];

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

static LAKE: LazyLock<Lake> = LazyLock::new(|| RUNTIME.block_on(open()));

struct Lake {
    session: Session,
    package: String,
    hub: String,
    /// Keeps a generated lake until the end.
    _folder: Option<tempfile::TempDir>,
}

fn main() {
    divan::main();
}

#[divan::bench(args = QUESTIONS, sample_count = 7)]
fn hot(bencher: Bencher, question: &str) {
    let sql = statement(question, &LAKE.package, &LAKE.hub);
    let ask = || RUNTIME.block_on(async { LAKE.session.query(&sql).await.unwrap().try_collect::<Vec<_>>().await });
    bencher.bench_local(|| ask().unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>());
}

fn statement(question: &str, package: &str, hub: &str) -> String {
    match question {
        "top_depended" => format!(
            "select d.dependency, count(*) n {EDGES} group by d.dependency order by n desc, d.dependency limit 20"
        ),
        "top_maintainers" => "select maintainer, count(*) n from maintainers group by maintainer \
             order by n desc, maintainer limit 20"
            .to_owned(),
        "versions_per_month" => "select date_trunc('month', published_at) m, count(*) n from versions \
             where published_at is not null group by m order by m"
            .to_owned(),
        "latest_deprecated" => format!(
            "select v.name, v.deprecated {LATEST} where v.deprecated is not null and v.deprecated <> '' \
             and v.deprecated <> 'false' order by v.name"
        ),
        "install_scripts" => {
            format!("select v.name, v.version {LATEST} where v.has_install_script order by v.name")
        }
        "licenses" => {
            format!("select v.license, count(*) n {LATEST} group by v.license order by n desc, v.license nulls last")
        }
        "one_package" => {
            format!("select version, published_at from versions where name = '{package}' order by version")
        }
        "dependents_of_one" => format!("select d.name {EDGES} and d.dependency = '{hub}' order by d.name"),
        "transitive_dependents" => format!(
            "with recursive edges as (select d.dependency, d.name {EDGES}), \
             reached(name) as (select '{hub}' union \
             select edges.name from reached join edges on edges.dependency = reached.name) \
             select count(*) from reached"
        ),
        _ => unreachable!("no such question"),
    }
}

async fn open() -> Lake {
    let setting = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let (location, folder) = match std::env::var("ALL_DOCS_LAKE") {
        Ok(location) => (location, None),
        Err(_) => {
            let folder = tempfile::tempdir().unwrap();
            let location = folder.path().join("lake").to_str().unwrap().to_owned();
            generate(&location).await;
            (location, Some(folder))
        }
    };
    let store = Store::open(&location).unwrap();
    let info: LakeInfo = read_lake(&store).await.unwrap().unwrap();
    let options = SessionOptions { threads: 1, ..SessionOptions::default() };
    let session = Session::open(store.object_store(), store.root_url(), &info, &options).unwrap();
    Lake {
        session,
        package: setting("ALL_DOCS_PACKAGE", "yargs"),
        hub: setting("ALL_DOCS_HUB", "inherits"),
        _folder: folder,
    }
}

async fn generate(location: &str) {
    let server = SampleServer::start(World::seeded(1, GENERATED_PACKAGES), Options::default()).unwrap();
    let mut origin = Origin::parse(server.url(), None).unwrap();
    origin.name = "npm".to_owned();
    let config = RegistryConfig::for_origin(&origin);
    let options = IngestOptions {
        pivots: Some(Pivots::new(vec!["m".to_owned()]).unwrap()),
        partitions: PartitionMode::Exact,
        ..IngestOptions::new(
            Store::open(location).unwrap(),
            Registry::new(origin, config, Credentials::default()).unwrap(),
            OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() },
        )
    };
    ingest(options, Arc::new(Progress::default()), CancellationToken::new()).await.unwrap();
}
