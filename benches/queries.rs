//! Nine SQL questions to a lake, hot and on one thread. Where a Python with DuckDB exists, DuckDB runs the same
//! questions over the same shards in turns with us, and its rows must equal ours.
//!
//! `ALL_DOCS_LAKE=DIR ALL_DOCS_PYTHON=PYTHON taskset -c 1 cargo bench --bench queries [-- QUESTION…]`. Without a lake,
//! one of the generated registry, whose figures compare with nothing; without a Python, our times alone.
//! `ALL_DOCS_PACKAGE` is the package to look up, `ALL_DOCS_HUB` the one whose dependents are searched, and
//! `ALL_DOCS_ROUNDS` the number of runs of each question. The statements are those that people write for any engine:
//! they join `packages` for the latest version although `is_latest` says the same.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::time::{Duration, Instant};

use all_docs::lake::LakeInfo;
use all_docs::pipeline::read_lake;
use all_docs::query::{Format, Session, SessionOptions, TableOptions, write};
use all_docs::store::Store;
use arrow::array::RecordBatch;
use futures::TryStreamExt;
use support::duckdb::DuckDb;
use support::generated_lake;
use tokio::runtime::Runtime;

/// The default number of runs of each question in each engine. The first one warms up and does not count.
const ROUNDS: usize = 10;

/// The edges of each package's latest version that are needed to run it.
const EDGES: &str = "from dependencies d join packages p on d.name = p.name and d.version = p.latest \
    where d.kind = 'prod'";
/// The latest version of each package.
const LATEST: &str = "from versions v join packages p on v.name = p.name and v.version = p.latest";

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let setting = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = setting("ALL_DOCS_ROUNDS", "").parse().unwrap_or(ROUNDS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (location, _folder) = match std::env::var("ALL_DOCS_LAKE") {
        Ok(location) => (location, None),
        Err(_) => {
            let (location, folder) = runtime.block_on(generated_lake::generate());
            (location, Some(folder))
        }
    };
    let store = Store::open(&location).unwrap();
    let info: LakeInfo = runtime.block_on(read_lake(&store)).unwrap().unwrap();
    let options = SessionOptions { threads: 1, ..SessionOptions::default() };
    let session = Session::open(&store, &info, &options).unwrap();
    let ours = Ours { runtime, session };
    let mut theirs = DuckDb::start(&std::path::Path::new(&location).join(&info.default_origin));
    if theirs.is_none() {
        println!("without DuckDB: set ALL_DOCS_PYTHON to a Python with tests/tools/requirements.txt installed");
    }

    println!("{:<22} {:>18} {:>20}  ratio    rows", "least (median), ms", "ours", "DuckDB");
    let mut sums = [Duration::ZERO; 2];
    for (question, sql) in questions(&setting("ALL_DOCS_PACKAGE", "yargs"), &setting("ALL_DOCS_HUB", "inherits")) {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == question) {
            continue;
        }
        let rows: usize = ours.ask(&sql).iter().map(RecordBatch::num_rows).sum();
        if let Some(theirs) = &mut theirs {
            let difference = theirs.compare(&sql, &ours.parquet(&sql));
            assert!(difference.is_none(), "{question}: {}", difference.unwrap_or_default());
        }
        let mut times = [Vec::new(), Vec::new()];
        for _round in 0..rounds {
            let started = Instant::now();
            ours.ask(&sql);
            times[0].push(started.elapsed());
            times[1].extend(theirs.as_mut().map(|theirs| theirs.ask(&sql)));
        }
        let [ours, theirs] = times.map(Spread::of);
        println!("{question:<22} {ours:>18} {theirs:>20}  {:<5}  {rows:>6}", ratio(ours.least, theirs.least));
        for (sum, least) in sums.iter_mut().zip([ours.least, theirs.least]) {
            *sum += least;
        }
    }
    let [ours, theirs] = sums;
    println!("{:<22} {:>18} {:>20}  {}", "sum of the least", in_ms(ours), in_ms(theirs), ratio(ours, theirs));
}

/// Returns each question with its statement, which both engines read. `{once}` stands where DuckDB must be told not to
/// compute the same in each round.
fn questions(package: &str, hub: &str) -> [(&'static str, String); 9] {
    [
        (
            "top_depended",
            format!(
                "select d.dependency, count(*) n {EDGES} group by d.dependency order by n desc, d.dependency limit 20"
            ),
        ),
        (
            "top_maintainers",
            "select maintainer, count(*) n from maintainers group by maintainer order by n desc, maintainer limit 20"
                .to_owned(),
        ),
        (
            "versions_per_month",
            "select date_trunc('month', published_at) m, count(*) n from versions \
             where published_at is not null group by m order by m"
                .to_owned(),
        ),
        (
            "latest_deprecated",
            format!(
                "select v.name, v.deprecated {LATEST} where v.deprecated is not null and v.deprecated <> '' \
                 and v.deprecated <> 'false' order by v.name"
            ),
        ),
        ("install_scripts", format!("select v.name, v.version {LATEST} where v.has_install_script order by v.name")),
        (
            "licenses",
            format!("select v.license, count(*) n {LATEST} group by v.license order by n desc, v.license nulls last"),
        ),
        (
            "one_package",
            format!("select version, published_at from versions where name = '{package}' order by version"),
        ),
        ("dependents_of_one", format!("select d.name {EDGES} and d.dependency = '{hub}' order by d.name")),
        (
            "transitive_dependents",
            format!(
                "with recursive edges as {{once}} (select d.dependency, d.name {EDGES}), \
                 reached(name) as (select '{hub}' union \
                 select edges.name from reached join edges on edges.dependency = reached.name) \
                 select count(*) n from reached"
            ),
        ),
    ]
}

struct Ours {
    runtime: Runtime,
    session: Session,
}

impl Ours {
    fn ask(&self, sql: &str) -> Vec<RecordBatch> {
        let sql = sql.replace("{once}", "");
        self.runtime.block_on(async { self.session.query(&sql).await.unwrap().try_collect().await.unwrap() })
    }

    /// Writes the result to a file.
    fn parquet(&self, sql: &str) -> tempfile::NamedTempFile {
        let sql = sql.replace("{once}", "");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        self.runtime.block_on(async {
            let rows = self.session.query(&sql).await.unwrap();
            write(rows, Format::Parquet, &mut file, &TableOptions::default()).await.unwrap();
        });
        file
    }
}

/// The times of an engine for a question.
struct Spread {
    least: Duration,
    median: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Spread {
        times.sort_unstable();
        let at = |place: usize| times.get(place).copied().unwrap_or_default();
        Spread { least: at(0), median: at(times.len() / 2) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{} ({})", in_ms(self.least), in_ms(self.median)))
    }
}

fn in_ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

fn ratio(ours: Duration, theirs: Duration) -> String {
    if theirs.is_zero() { "-".to_owned() } else { format!("{:.2}", ours.as_secs_f64() / theirs.as_secs_f64()) }
}
