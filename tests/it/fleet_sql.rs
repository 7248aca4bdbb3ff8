//! SQL on several machines: every view and report has the rows of one machine; workers as processes, one of which is killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use all_docs::error::Result;
use all_docs::pipeline::read_lake;
use all_docs::query::{BoundSql, Fleet, NamedQuery, QueryKind, QueryWorker, Session, SessionOptions};
use all_docs::store::Store;
use arrow::json::ArrayWriter;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::array_tables;
use crate::support::{Env, all_docs, run, run_binary, stderr, stdout};

/// Makes a lake of a few hundred packages in several shards a table, with arrays and events.
async fn lake() -> Env {
    let env = array_tables::lake().await;
    {
        let mut world = env.server.world();
        let names: Vec<String> = world.names().map(str::to_owned).collect();
        for name in names.iter().step_by(20) {
            world.publish(name, "99.0.0");
            assert!(world.set(name, Some("99.0.0"), r#"{"scripts":{"postinstall":"node x.js"},"license":"ISC"}"#));
            assert!(world.set(name, None, r#"{"maintainers":[{"name":"eve"}]}"#));
        }
        world.delete(&names[7]);
    }
    run(env.options(&["h", "q"])).await.unwrap();
    env
}

async fn session(store: &Store, workers: &[Url]) -> Session {
    let info = read_lake(store).await.unwrap().unwrap();
    let fleet = (!workers.is_empty()).then(|| Fleet { workers: workers.to_vec(), token: None });
    Session::open(store, &info, &SessionOptions { threads: 2, fleet, ..SessionOptions::default() }).unwrap()
}

/// Returns the rows. Sums of floating-point numbers depend on the order of their parts.
async fn rows(session: &Session, statement: &BoundSql) -> Result<Vec<String>> {
    let stream = session.query_bound(statement).await?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&writer.into_inner()).unwrap_or_default();
    let rounded = |value: &mut Value| {
        if let Some(number) = value.as_f64().filter(|_| value.is_f64()) {
            *value = Value::String(format!("{number:.9e}"));
        }
    };
    let text = |mut row: Value| {
        row.as_object_mut().unwrap().values_mut().for_each(rounded);
        row.to_string()
    };
    Ok(rows.into_iter().map(text).collect())
}

/// Returns the statement of a view, or of a report with the parameters of its example, for a package of the lake.
fn statement(query: &NamedQuery, name: &str) -> BoundSql {
    if query.kind == QueryKind::View {
        return BoundSql::undeclared(format!("select * from {}", query.name), &BTreeMap::new());
    }
    let of_example =
        query.example.split("--param ").skip(1).filter_map(|text| text.split_whitespace().next()?.split_once('='));
    let mut values: BTreeMap<String, String> =
        of_example.map(|(key, value)| (key.to_owned(), value.trim_matches('\'').to_owned())).collect();
    // So that the small lake has rows.
    for (parameter, value) in
        [("name", name), ("floor", "0"), ("least", "1"), ("since", "2000-01-01"), ("days", "3650"), ("limit", "100000")]
    {
        if query.parameters.iter().any(|known| known.name == parameter) {
            values.insert(parameter.to_owned(), value.to_owned());
        }
    }
    query.with_values(&values).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_and_report_has_the_rows_of_one_machine() {
    let env = lake().await;
    let store = env.store();
    let (mut urls, mut guards) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        urls.push(Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(QueryWorker::new(&session(&store, &[]).await, None).serve(listener, stop.clone()));
        guards.push(stop.drop_guard());
    }
    let (alone, fleet) = (session(&store, &[]).await, session(&store, &urls).await);
    let most = rows(
        &alone,
        &BoundSql::undeclared(
            "select dependency from dependencies where is_latest and kind = 'prod'
        and dependency in (select name from dependencies where is_latest) group by 1 order by count(*) desc, 1 limit 1",
            &BTreeMap::new(),
        ),
    )
    .await
    .unwrap();
    let most: Value = serde_json::from_str(&most[0]).unwrap();
    let name = most["dependency"].as_str().unwrap();
    let mut differing = Vec::new();
    let (mut with_rows, mut on_workers, mut count) = (0, 0, 0);
    let queries = alone.queries().all();
    for query in queries {
        let statement = statement(query, name);
        let mut expected = rows(&alone, &statement).await.unwrap();
        let mut found = rows(&fleet, &statement).await;
        // The rows of a view have no order; those of a report have the one that it names.
        if query.kind == QueryKind::View {
            expected.sort();
            found.iter_mut().for_each(|rows| rows.sort());
        }
        match found {
            Ok(found) if found == expected => {}
            found => differing.push(format!("{}: {found:?}, and not {expected:?}", query.name)),
        }
        let plan = fleet.explain_bound(&statement).await.unwrap();
        count += 1;
        with_rows += usize::from(!expected.is_empty());
        on_workers += usize::from(plan.contains("Stage 1 ──"));
        if !plan.contains("Stage 1 ──") {
            eprintln!("{} runs on one machine", query.name);
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    eprintln!("{count} queries, {with_rows} with rows, {on_workers} on workers");
    assert!(
        count == 61 && with_rows > 40 && on_workers > 40,
        "{count} queries, {with_rows} with rows, {on_workers} on workers"
    );
}

/// A worker, as a process.
struct Process(Child, String);

impl Process {
    fn start(folder: &Path) -> Process {
        let mut command = all_docs(folder);
        command.args(["query-worker", "--listen", "127.0.0.1:0"]).env("ALL_DOCS_WORKER_TOKEN", "sesame-15");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Process(child, url.trim().to_owned())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_help_a_query_until_they_are_killed() {
    let env = array_tables::lake().await;
    let folder = env.folder.path();
    let mut workers = [Process::start(folder), Process::start(folder)];
    let urls = workers.iter().map(|worker| worker.1.as_str()).collect::<Vec<_>>().join(",");
    let sql = "select license, count(*) as n from versions group by 1 order by 1";
    let ask = |more: &[&str]| {
        let arguments = ["query", "--format", "csv", "--workers", &urls, "--worker-token", "sesame-15", sql];
        run_binary(folder, &[&arguments[..], more].concat())
    };
    let alone = run_binary(folder, &["query", "--format", "csv", sql]);
    let both = ask(&[]);
    assert_eq!((stdout(&both), both.status.code()), (stdout(&alone), Some(0)), "{}", stderr(&both));
    let wrong = run_binary(folder, &["query", "--workers", &urls, "--worker-token", "other", sql]);
    assert_eq!(wrong.status.code(), Some(3), "{}", stderr(&wrong));
    assert!(
        stderr(&wrong).contains("refuses the session") && stderr(&wrong).contains("--worker-token"),
        "{}",
        stderr(&wrong)
    );
    assert!(!stderr(&wrong).contains("External"), "{}", stderr(&wrong));
    let plan = stdout(&ask(&["--explain"]));
    assert!(plan.contains("Stage 1 ── tasks=2"), "{plan}");
    workers[0].kill();
    let one = ask(&[]);
    assert_eq!((stdout(&one), one.status.code()), (stdout(&alone), Some(0)), "{}", stderr(&one));
    workers[1].kill();
    let none = ask(&[]);
    assert_eq!(none.status.code(), Some(3), "{}", stderr(&none));
    assert!(stderr(&none).contains("no worker is left") && !stderr(&none).contains("sesame"), "{}", stderr(&none));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_with_thousands_of_terms_ends_no_process() {
    let env = array_tables::lake().await;
    let worker = Process::start(env.folder.path());
    let terms: Vec<String> = (0..1_000).map(|number| format!("name like '%{number}x%'")).collect();
    let sql = format!("select count(*) as n from packages where {}", terms.join(" or "));
    let file = env.folder.path().join("long.sql");
    std::fs::write(&file, sql).unwrap();
    let file = file.to_str().unwrap();
    let alone = run_binary(env.folder.path(), &["query", "--format", "csv", "--file", file]);
    assert_eq!(alone.status.code(), Some(0), "{}", stderr(&alone));
    let arguments = ["query", "--format", "csv", "--workers", &worker.1, "--worker-token", "sesame-15", "--file", file];
    let helped = run_binary(env.folder.path(), &arguments);
    assert_eq!((stdout(&helped), helped.status.code()), (stdout(&alone), Some(0)), "{}", stderr(&helped));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_ends() {
    let env = array_tables::lake().await;
    let worker = Process::start(env.folder.path());
    let address = worker.1.strip_prefix("http://").unwrap().to_owned();
    let mut silent = std::net::TcpStream::connect(address).unwrap();
    let read = tokio::task::spawn_blocking(move || std::io::Read::read(&mut silent, &mut [0]));
    assert_eq!(read.await.unwrap().unwrap(), 0);
}
