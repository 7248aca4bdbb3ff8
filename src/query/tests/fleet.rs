//! Statements that run on workers: the rows are those of one machine, and a worker that is gone, refuses, or sees something
//! else is told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::lake::TestLake;
use super::overlay;
use crate::error::{Error, ErrorKind, Result};
use crate::query::{Fleet, Format, QueryWorker, Session, SessionOptions, TableOptions, write};
use crate::table::TableKind;

/// Workers of a lake, until they are dropped.
pub(super) struct TestFleet {
    urls: Vec<Url>,
    _stop: Vec<DropGuard>,
}

impl TestFleet {
    /// Starts a worker for each of the sessions.
    async fn of(sessions: Vec<Session>, token: Option<&str>) -> TestFleet {
        let mut fleet = TestFleet { urls: Vec::new(), _stop: Vec::new() };
        for session in sessions {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            fleet.urls.push(Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap());
            let (worker, stop) = (QueryWorker::new(&session, token.map(str::to_owned)), CancellationToken::new());
            tokio::spawn(worker.serve(listener, stop.clone()));
            fleet._stop.push(stop.drop_guard());
        }
        fleet
    }

    fn options(&self, token: Option<&str>) -> SessionOptions {
        let fleet = Fleet { workers: self.urls.clone(), token: token.map(str::to_owned) };
        SessionOptions { threads: 2, fleet: Some(fleet), ..SessionOptions::default() }
    }
}

/// A lake whose packages are in five shards a table.
fn lake() -> TestLake {
    let lake = TestLake::empty();
    let bounds = [None, Some("c"), Some("e"), Some("g"), Some("i"), None];
    for (place, range) in bounds.windows(2).enumerate() {
        let name = |letter: u8| char::from(b'a' + u8::try_from(place).unwrap() * 2 + letter).to_string();
        let version = |name: String, number: usize| {
            json!({"name": name, "version": format!("{number}.0.0"), "version_index": number - 1, "is_latest": number == 3,
                   "license": if (place + number).is_multiple_of(2) { json!("MIT") } else { json!(null) }})
        };
        let versions: Vec<_> =
            [0, 1].iter().flat_map(|letter| (1..=3).map(move |number| version(name(*letter), number))).collect();
        let packages: Vec<_> = [0, 1].map(|letter| json!({"name": name(letter), "latest": "3.0.0"})).to_vec();
        lake.put("npm", TableKind::Versions, range[0], range[1], &versions);
        lake.put("npm", TableKind::Packages, range[0], range[1], &packages);
    }
    lake
}

async fn csv(session: &Session, sql: &str) -> Result<String> {
    let mut out = Vec::new();
    write(session.query(sql).await?, Format::Csv, &mut out, &TableOptions::default()).await?;
    Ok(String::from_utf8(out).unwrap())
}

async fn error(session: &Session, sql: &str) -> Error {
    match csv(session, sql).await {
        Ok(rows) => unreachable!("{sql} has rows: {rows}"),
        Err(error) => error,
    }
}

const GROUPED: &str = "select license, count(*) as n from versions group by 1 order by 1";

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_return_the_rows_of_one_machine() {
    let lake = lake();
    let fleet = TestFleet::of(vec![lake.session(), lake.session()], Some("secret")).await;
    let session = lake.session_with(&fleet.options(Some("secret")));
    assert_eq!(csv(&session, GROUPED).await.unwrap(), csv(&lake.session(), GROUPED).await.unwrap());
    let plan = session.explain(GROUPED).await.unwrap();
    assert!(plan.contains("Stage 1 ── tasks=2") && plan.contains("Stage 2"), "{plan}");
    for sql in [
        "select * from versions order by name, version_index",
        "select name, version from versions where is_latest order by name desc limit 3",
        "select p.name, count(*) as n, max(semver_sort_key(v.version)) as top from packages p join versions v using (name)
         where semver_satisfies(v.version, '>=2') group by 1 order by 1",
        "select name from packages where name in (select name from versions where license is null) order by 1",
        "select name, version, row_number() over (partition by name order by version desc) as place from versions
         order by 1, 3",
        "select name from packages union all select version from versions order by 1",
        "select name from packages except select name from versions where version = '9.0.0' order by 1",
        "select count(*) as n, (select count(*) from packages) as p from versions",
        "select a.name, b.name as other from packages a cross join packages b order by 1, 2",
        "select a.name, b.version from packages a left join versions b on a.name < b.name and b.is_latest order by 1, 2",
        "with recursive up(name, n) as (select min(name), 1 from packages union all
         select p.name, n + 1 from up join packages p on p.name > up.name where n < 3) select name, n from up order by 1, 2",
        "select date_trunc('month', published_at) as month, count(*) as n from versions group by 1",
        "select count(*) as n from packages where name = 'd'",
        "select name from mirror.packages",
        "select name, count(*) as n from (select name from versions order by name, version limit 20) group by 1 order by 1",
        "select name, 100.0 * sum(version_index) / (select sum(version_index) from versions) as share from versions
         group by 1 order by 1",
        "select * from (select name, max(version) as v from versions group by 1) a
         join (select name, count(*) as n from versions group by 1) b using (name) order by 1",
    ] {
        let plan = session.explain(sql).await.unwrap();
        assert_eq!(csv(&session, sql).await.unwrap(), csv(&lake.session(), sql).await.unwrap(), "{sql}\n{plan}");
    }
    let analyzed = csv(&session, &format!("explain analyze {GROUPED}")).await.unwrap();
    assert!(analyzed.contains("Stage 1"), "{analyzed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_this_machine_has_stays_on_it() {
    let lake = lake();
    std::fs::write(lake.path("mine.ndjson"), "{\"name\": \"a\"}\n{\"name\": \"d\"}\n").unwrap();
    let fleet = TestFleet::of(vec![lake.session(), lake.session()], None).await;
    let session = lake.session_with(&SessionOptions { reads_own_files: true, ..fleet.options(None) });
    let mine = lake.path("mine.ndjson");
    let sql = format!(
        "select m.name, v.n from '{}' m join (select name, count(*) as n from versions group by 1) v using (name) order by 1",
        mine.display()
    );
    assert_eq!(csv(&session, &sql).await.unwrap(), "name,n\na,3\nd,3\n");
    let plan = session.explain(&sql).await.unwrap();
    let (head, stages) = plan.split_once("Stage 1 ──").unwrap();
    assert!(head.contains("on this machine: ") && !stages.contains("on this machine: "), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_has_the_same_rows_on_workers() {
    for lake in overlay::lakes() {
        let fleet = TestFleet::of(vec![lake.session(), lake.session(), lake.session()], None).await;
        let session = lake.session_with(&fleet.options(None));
        for sql in overlay::STATEMENTS {
            assert_eq!(csv(&session, sql).await.unwrap(), csv(&lake.session(), sql).await.unwrap(), "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_read_by_workers_in_the_versions_that_were_listed() {
    let lake = lake();
    let store: Arc<dyn object_store::ObjectStore> = Arc::new(object_store::local::LocalFileSystem::new());
    let options = SessionOptions { threads: 2, ..SessionOptions::default() };
    let session = |options: &SessionOptions| lake.session_in_bucket(Arc::clone(&store), None, options);
    let fleet = TestFleet::of(vec![session(&options), session(&options)], None).await;
    let session = session(&fleet.options(None));
    assert_eq!(csv(&session, GROUPED).await.unwrap(), csv(&lake.session(), GROUPED).await.unwrap());
    let by_name = "select version from versions where name = 'c' order by 1";
    assert_eq!(csv(&session, by_name).await.unwrap(), "version\n1.0.0\n2.0.0\n3.0.0\n");
}

/// Returns the address of a worker at `url` whose connection is cut once it has sent so many bytes.
async fn cut_after(url: &Url, bytes: usize) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (target, left) = (url.socket_addrs(|| None).unwrap()[0], Arc::new(AtomicUsize::new(bytes)));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let left = Arc::clone(&left);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await.unwrap();
                let ((mut near_reads, mut near_writes), (mut far_reads, mut far_writes)) = (near.split(), far.split());
                let back = async {
                    let mut buffer = [0; 64];
                    while left.load(Ordering::Relaxed) > 0 {
                        let count = far_reads.read(&mut buffer).await.unwrap_or(0);
                        if count == 0 || near_writes.write_all(&buffer[..count]).await.is_err() {
                            break;
                        }
                        left.store(left.load(Ordering::Relaxed).saturating_sub(count), Ordering::Relaxed);
                    }
                };
                tokio::select! {
                    () = back => {}
                    _ = tokio::io::copy(&mut near_reads, &mut far_writes) => {}
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_any_byte_changes_no_row() {
    let lake = lake();
    let sql = "select name, version, license from versions order by name, version";
    let expected = csv(&lake.session(), sql).await.unwrap();
    let fleet = TestFleet::of(vec![lake.session(), lake.session()], None).await;
    for bytes in [0, 1, 50, 200, 400, 800, 1_600, 3_200, 1_000_000] {
        let dying = cut_after(&fleet.urls[0], bytes).await;
        let workers = Fleet { workers: vec![dying.clone(), fleet.urls[1].clone()], token: None };
        let session =
            lake.session_with(&SessionOptions { threads: 2, fleet: Some(workers), ..SessionOptions::default() });
        match csv(&session, sql).await {
            Ok(rows) => assert_eq!(rows, expected, "{bytes}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Network, "{bytes}: {error:?}");
                assert!(error.message().contains(dying.as_str()), "{bytes}: {error:?}");
            }
        }
    }
}

/// Returns the address of a worker that ends as soon as somebody speaks to it.
async fn dying() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_worker_is_left_out_and_without_any_the_statement_fails() {
    let lake = lake();
    let mut fleet = TestFleet::of(vec![lake.session()], None).await;
    fleet.urls.push(dying().await);
    let session = lake.session_with(&fleet.options(None));
    for _ in 0..2 {
        assert_eq!(csv(&session, GROUPED).await.unwrap(), csv(&lake.session(), GROUPED).await.unwrap());
    }
    fleet.urls.remove(0);
    let session = lake.session_with(&fleet.options(None));
    let error = error(&session, GROUPED).await;
    assert_eq!(error.kind(), ErrorKind::Network, "{error:?}");
    assert!(error.message().contains(fleet.urls[0].as_str()) && error.hint_text().is_some(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_refuses_or_sees_another_lake_is_told_of() {
    let (lake, other) = (lake(), self::lake());
    let fleet = TestFleet::of(vec![lake.session(), lake.session()], Some("secret")).await;
    let refused = error(&lake.session_with(&fleet.options(Some("guess"))), GROUPED).await;
    assert!(format!("{refused:?}").contains("refuses the session: the token"), "{refused:?}");
    let fleet = TestFleet::of(vec![lake.session(), other.session()], None).await;
    let wrong = error(&lake.session_with(&fleet.options(None)), GROUPED).await;
    assert_eq!(wrong.kind(), ErrorKind::Lake, "{wrong:?}");
    assert!(wrong.message().contains("a worker says: ") && wrong.message().contains("npm/versions/"), "{wrong:?}");
    assert!(wrong.hint_text().is_some_and(|hint| hint.contains("same bucket or mount")), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_a_worker_finds_damaged_is_named() {
    let lake = lake();
    let fleet = TestFleet::of(vec![lake.session(), lake.session()], None).await;
    let shard = lake.shard("npm", TableKind::Versions, Some("c"), Some("e"));
    std::fs::write(&shard, "no Parquet").unwrap();
    let error = error(&lake.session_with(&fleet.options(None)), GROUPED).await;
    assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
    assert!(error.message().contains("is damaged") && error.message().contains(".parquet"), "{error:?}");
    let rows: Vec<_> = lake.session().query("select 1").await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.len(), 1);
}
