//! Download counts: the requests of a run, and the cells that it records.

use std::collections::BTreeSet;
use std::sync::Arc;

use all_docs::array::{Downloads, DownloadsShape, FIRST_DAY, PackageAxis, Right};
use all_docs::error::{ErrorKind, Result};
use all_docs::lake::Layout;
use all_docs::npm::PackageName;
use all_docs::pipeline::{Choice, DownloadsOptions, DownloadsSummary, Progress, Tiers, downloads, open_downloads};
use all_docs::registry::Registry;
use all_docs::sample::{Action, Fault, FaultScript, Kind, RecordedRequest, World};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use tokio_util::sync::CancellationToken;

use crate::support::{Env, ORIGIN, all_docs, stderr, stdout};

const TODAY: Date = date(2026, 11, 29);

/// Makes a lake of these names, whose registry has the counts of the world's seed up to yesterday.
async fn lake(names: &[&str]) -> Env {
    let mut world = World::new();
    world.add_names(names);
    world.set_last_download_day(TODAY.yesterday().unwrap());
    let env = Env::new(world);
    env.ingest(&[]).await;
    // A block of usual size takes seconds in a debug build.
    let shape = DownloadsShape { shard_rows: 256, shard_days: 128, chunk_rows: 64, chunk_days: 128 };
    let (axis, right): (_, Right) = (PackageAxis::default(), Arc::new(|| Ok(())));
    let layout = Layout::origin(ORIGIN);
    Downloads::open_with(&env.store(), &layout, &axis, FIRST_DAY, &right, shape).await.unwrap();
    env.server.clear_requests();
    env
}

/// Gives a package these counts up to yesterday, the last one for yesterday.
fn set(env: &Env, name: &str, counts: &[u64]) {
    for (ago, count) in (1i64..).zip(counts.iter().rev()) {
        env.server.world().set_downloads(name, TODAY - ago.days(), *count);
    }
}

fn options(env: &Env, registry: Registry) -> DownloadsOptions {
    let choice = Choice::Tiers(Tiers::parse("daily=rest").unwrap());
    DownloadsOptions { store: env.store(), registry, choice, since: None, today: Some(TODAY) }
}

async fn run(options: DownloadsOptions) -> Result<DownloadsSummary> {
    downloads(options, Arc::new(Progress::default()), CancellationToken::new()).await
}

/// Runs with the default options, changed; returns the summary and the requests for counts.
async fn ask(env: &Env, change: impl FnOnce(&mut DownloadsOptions)) -> (DownloadsSummary, Vec<RecordedRequest>) {
    let mut options = options(env, env.registry());
    change(&mut options);
    let summary = run(options).await.unwrap();
    (summary, asked(env))
}

fn asked(env: &Env) -> Vec<RecordedRequest> {
    let requests = env.server.requests();
    env.server.clear_requests();
    requests.into_iter().filter(|request| request.kind == Kind::Downloads).collect()
}

/// Returns the paths of requests below `/downloads/range/`.
fn paths(requests: &[RecordedRequest]) -> Vec<&str> {
    requests.iter().map(|request| request.path.strip_prefix("/downloads/range/").unwrap()).collect()
}

/// The cells of a lake.
struct Cells {
    axis: Arc<PackageAxis>,
    array: Downloads,
}

impl Cells {
    async fn open(env: &Env) -> Cells {
        let (layout, yesterday) = (Layout::origin(ORIGIN), TODAY.yesterday().unwrap());
        let (axis, array) = open_downloads(&env.store(), &layout, yesterday, TODAY, &[]).await.unwrap();
        Cells { axis, array }
    }

    /// Returns the cells of packages in the days from `first` to `last`, both counted back from today.
    async fn of(&self, names: &[&str], first: i64, last: i64) -> Vec<Vec<Option<u32>>> {
        let rows: Vec<u32> = names.iter().map(|name| self.axis.row(name).unwrap()).collect();
        self.array.read(&rows, TODAY - first.days()..=TODAY - last.days()).await.unwrap()
    }
}

async fn cells(env: &Env, name: &str, first: i64, last: i64) -> Vec<Option<u32>> {
    Cells::open(env).await.of(&[name], first, last).await.remove(0)
}

#[tokio::test]
async fn a_first_run_asks_for_a_year_and_records_every_count() {
    let names: Vec<String> =
        (0..200).map(|number| format!("n{number:03}")).chain(["@s/a".to_owned(), "@s/b".to_owned()]).collect();
    let env = lake(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (summary, requests) = ask(&env, |_| {}).await;
    assert_eq!((summary.names.total(), summary.names.failed, summary.last_day), (202, 0, date(2026, 11, 28)));
    assert_eq!(summary.requests, requests.len() as u64);
    let paths = paths(&requests);
    assert_eq!(paths[0], "2025-05-31:2026-11-28", "the days that have landed");
    let year = "2025-11-29:2026-11-28/";
    let sizes = |of_bulk: bool| {
        let names = paths[1..].iter().map(|path| path.strip_prefix(year).unwrap());
        names.filter(|names| names.contains(',') == of_bulk).map(|names| names.split(',').count()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(false), [1, 1]);
    assert_eq!(sizes(true).iter().sum::<usize>(), 200);
    assert_eq!(sizes(true).len(), 2);
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut unknown, cells) = (0, Cells::open(&env).await.of(&all, 365, 1).await);
    for (name, cells) in names.iter().zip(cells) {
        let mut has_begun = false;
        let expected: Vec<Option<u32>> = (1i64..=365)
            .rev()
            .map(|ago| {
                let count = env.server.world().downloads(name, TODAY - ago.days())?;
                has_begun |= count > 0;
                has_begun.then(|| u32::try_from(count).unwrap())
            })
            .collect();
        unknown += u64::from(env.server.world().downloads(name, TODAY).is_none());
        assert_eq!(cells, expected, "{name}");
    }
    assert!(unknown > 0);
    assert_eq!((summary.names.counted, summary.names.unknown), (202 - unknown, unknown));
}

#[tokio::test]
async fn a_second_run_asks_only_for_what_is_missing_and_reads_a_week_again() {
    let env = lake(&["a", "b", "@s/c"]).await;
    for name in ["a", "b", "@s/c"] {
        set(&env, name, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
    ask(&env, |_| {}).await;
    let (summary, requests) = ask(&env, |_| {}).await;
    assert_eq!((summary.names.total(), requests.len()), (0, 1), "the same day again");
    // npm corrects a count, and the next day lands.
    env.server.world().set_downloads("a", date(2026, 11, 25), 70);
    env.server.world().set_last_download_day(TODAY);
    for name in ["a", "b", "@s/c"] {
        env.server.world().set_downloads(name, TODAY, 11);
    }
    let tomorrow = |options: &mut DownloadsOptions| options.today = Some(TODAY.tomorrow().unwrap());
    let (_, requests) = ask(&env, tomorrow).await;
    assert_eq!(paths(&requests)[1..], ["2026-11-22:2026-11-29/a,b", "2026-11-22:2026-11-29/@s%2Fc"]);
    assert_eq!(cells(&env, "a", 5, 0).await, [6, 70, 8, 9, 10, 11].map(Some));
    let weekly = |options: &mut DownloadsOptions| {
        tomorrow(options);
        options.today = options.today.map(|today| today.tomorrow().unwrap());
        options.choice = Choice::Tiers(Tiers::parse("daily=1,weekly=rest").unwrap());
    };
    env.server.world().set_last_download_day(TODAY.tomorrow().unwrap());
    let (summary, requests) = ask(&env, weekly).await;
    assert_eq!((summary.names.total(), requests.len()), (1, 2), "one in the daily tier, and the others are not due");
    assert_eq!(paths(&requests)[1], "2026-11-23:2026-11-30/a", "the most downloaded");
}

#[tokio::test]
async fn an_earlier_day_is_filled_in_and_zeros_after_it_become_known() {
    let env = lake(&["a", "@s/c"]).await;
    for name in ["a", "@s/c"] {
        let mut counts = vec![0; 1_000];
        (counts[300], counts[999]) = (5, 7);
        set(&env, name, &counts);
    }
    ask(&env, |_| {}).await;
    assert_eq!(cells(&env, "a", 3, 1).await, [None, None, Some(7)]);
    let since = |options: &mut DownloadsOptions| options.since = Some(TODAY - 1_000i64.days());
    let (summary, requests) = ask(&env, since).await;
    // 999 days of one name are two requests, and the day of the first known count is not among them.
    assert_eq!((summary.names.counted, requests.len()), (2, 2 + 2 * 2));
    for name in ["a", "@s/c"] {
        let cells = cells(&env, name, 1_000, 1).await;
        assert_eq!((&cells[..300], cells[300]), (&vec![None; 300][..], Some(5)), "{name}");
        assert!(cells[301..999].iter().all(|cell| *cell == Some(0)), "{name}: zeros after the first count");
        assert_eq!(cells[999], Some(7));
    }
    let (summary, requests) = ask(&env, since).await;
    assert_eq!((summary.names.total(), requests.len()), (0, 1));
}

#[tokio::test]
async fn days_that_have_not_landed_are_unknown_until_they_do() {
    let env = lake(&["a", "b"]).await;
    set(&env, "a", &[1; 400]);
    set(&env, "b", &[2; 400]);
    let (late, outage) = (date(2026, 11, 26), date(2026, 11, 24));
    env.server.world().hide_download_day(late, true);
    env.server.world().zero_download_day(outage, true);
    env.server.world().set_last_download_day(date(2026, 11, 27));
    let (summary, requests) = ask(&env, |_| {}).await;
    assert_eq!((summary.last_day, summary.missing_days), (date(2026, 11, 27), vec![outage, late]));
    assert!(paths(&requests)[1].starts_with("2025-11-28:2026-11-27/"));
    let known = |days: [u32; 6]| days.map(|count| (count > 0).then_some(count)).to_vec();
    assert_eq!(cells(&env, "a", 6, 1).await, known([1, 0, 1, 0, 1, 0]));
    env.server.world().hide_download_day(late, false);
    env.server.world().zero_download_day(outage, false);
    env.server.world().set_last_download_day(date(2026, 11, 28));
    ask(&env, |_| {}).await;
    assert_eq!(cells(&env, "b", 6, 1).await, known([2; 6]));
}

#[tokio::test]
async fn a_refused_name_is_found_by_halves_and_its_cells_are_unknown() {
    let names: Vec<String> = (0..128).map(|number| format!("n{number:03}")).collect();
    let env = lake(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    names.iter().for_each(|name| set(&env, name, &[3; 365]));
    let blocked = Fault { package: Some("n000".to_owned()), ..Fault::on(Kind::Downloads, Action::status(403)) };
    env.server.set_faults(FaultScript::of([blocked]));
    let (summary, requests) = ask(&env, |_| {}).await;
    assert_eq!((summary.names.counted, summary.names.refused, summary.names.failed), (127, 1, 0));
    assert_eq!(summary.names.refused_names[0].0, "n000");
    // The total, eight refusals, and one response for each half.
    assert_eq!(requests.len(), 1 + 8 + 7);
    assert_eq!(cells(&env, "n000", 2, 1).await, [None, None]);
    assert_eq!(cells(&env, "n127", 365, 364).await, [Some(3), Some(3)]);
    env.server.set_faults(FaultScript::default());
    let (summary, requests) = ask(&env, |options| options.today = Some(TODAY)).await;
    assert_eq!((summary.names.total(), requests.len()), (0, 1), "it is asked for again when it is due");
}

#[tokio::test]
async fn refusals_of_the_pace_and_broken_responses_are_outlived() {
    let names: Vec<String> = (0..60).map(|number| format!("@s/n{number:03}")).collect();
    let env = lake(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    names.iter().for_each(|name| set(&env, name, &[3; 365]));
    let on = |action| Fault::on(Kind::Downloads, action);
    let cut = Action::CutBody { at_byte: 100, framing: Default::default() };
    env.server.set_faults(FaultScript::of([
        on(Action::too_many_requests("0")).every(9),
        on(Action::HtmlWith200).every(7).times(2),
        on(Action::Body(r#"{"error":"not ready"}"#.to_owned())).every(11).times(2),
        on(cut).every(13).times(1),
        on(Action::status(503)).every(17).times(2),
    ]));
    let (summary, _) = ask(&env, |_| {}).await;
    assert_eq!((summary.names.counted, summary.names.failed), (60, 0), "{:?}", summary.names.failed_names);
    for name in [&names[0], &names[59]] {
        assert_eq!(cells(&env, name, 365, 1).await, vec![Some(3); 365]);
    }
}

#[tokio::test]
async fn a_run_that_is_cut_short_continues_where_it_stopped() {
    let names: Vec<String> = (0..40).map(|number| format!("@s/n{number:03}")).collect();
    let env = lake(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    names.iter().for_each(|name| set(&env, name, &[3; 365]));
    let spent = env.server.request_count();
    let registry = env.registry_with(|config| config.monthly_budget = Some(spent + 21));
    let error = run(options(&env, registry)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimit, "{}", error.report());
    let first: BTreeSet<Option<String>> = asked(&env).into_iter().map(|request| request.package).collect();
    assert_eq!(first.len(), 21, "the total and twenty names");
    let (summary, requests) = ask(&env, |_| {}).await;
    assert_eq!((summary.names.counted, requests.len()), (20, 21));
    assert!(requests[1..].iter().all(|request| !first.contains(&request.package)), "a name was asked for twice");
    for name in &names {
        assert_eq!(cells(&env, name, 2, 1).await, [Some(3), Some(3)], "{name}");
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_keeps_what_it_has() {
    let env = lake(&["@s/a", "@s/b"]).await;
    set(&env, "@s/a", &[4]);
    env.server.set_faults(FaultScript::of([Fault {
        package: Some("@s/b".to_owned()),
        ..Fault::on(Kind::Downloads, crate::support::never())
    }]));
    let stop = CancellationToken::new();
    let running = downloads(options(&env, env.registry()), Arc::default(), stop.clone());
    let stopping = async {
        // The request that gets no response is recorded at its end only, so the other one is waited for.
        while !env.server.requests().iter().any(|request| request.package.as_deref() == Some("@s/a")) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let summary = tokio::join!(running, stopping).0.unwrap();
    assert!(summary.interrupted && summary.names.counted <= 1);
    env.server.set_faults(FaultScript::default());
    env.server.clear_requests();
    let (again, requests) = ask(&env, |_| {}).await;
    assert_eq!(again.names.total() + summary.names.counted, 2);
    assert_eq!(requests.len() as u64, 1 + again.names.total());
    assert_eq!(cells(&env, "@s/a", 1, 1).await, [Some(4)]);
}

#[tokio::test]
async fn names_and_the_top_are_chosen_and_some_names_cannot_be_asked_for() {
    let env = lake(&["a", "b", "c"]).await;
    set(&env, "a", &[1; 400]);
    set(&env, "b", &[9; 400]);
    set(&env, "c", &[5; 400]);
    let names = |names: &[&str]| Choice::Names(names.iter().map(|&name| PackageName::from(name)).collect());
    let (summary, requests) = ask(&env, |options| options.choice = names(&["c", "not-in-the-lake", "..", "x,y"])).await;
    assert_eq!((summary.names.counted, summary.names.unknown, summary.unaskable), (1, 1, 2));
    assert_eq!(requests.len(), 2);
    assert_eq!(cells(&env, "not-in-the-lake", 1, 1).await, [None]);
    ask(&env, |_| {}).await;
    env.server.world().set_last_download_day(TODAY);
    let top =
        |options: &mut DownloadsOptions| (options.choice, options.today) = (Choice::Top(2), TODAY.tomorrow().ok());
    let (_, requests) = ask(&env, top).await;
    assert_eq!(paths(&requests)[1..], ["2026-11-22:2026-11-29/b,c"]);
}

#[tokio::test]
async fn a_host_that_refuses_all_names_ends_the_run_and_loses_nothing() {
    let names: Vec<String> = (0..40).map(|number| format!("@s/n{number:03}")).collect();
    let env = lake(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let below = |first: &str| Fault {
        path_prefix: Some(format!("/downloads/range/{first}")),
        ..Fault::on(Kind::Downloads, Action::status(403))
    };
    // The first request, for the days that have landed, gets its response.
    env.server.set_faults(FaultScript::of([below("2025-11-29")]));
    let registry = env.registry_with(|config| config.registry.patience = std::time::Duration::from_millis(50));
    let error = run(options(&env, registry)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimit, "{}", error.report());
    env.server.set_faults(FaultScript::default());
    let (summary, _) = ask(&env, |_| {}).await;
    assert!(summary.names.total() >= 40 - 15, "{} are asked for again", summary.names.total());
}

#[tokio::test]
async fn names_of_a_run_in_which_all_were_refused_are_asked_for_again() {
    let env = lake(&["@s/a", "@s/b"]).await;
    let refusal =
        |package: &str| Fault { package: Some(package.to_owned()), ..Fault::on(Kind::Downloads, Action::status(403)) };
    env.server.set_faults(FaultScript::of([refusal("@s/a"), refusal("@s/b")]));
    let (summary, _) = ask(&env, |_| {}).await;
    assert_eq!((summary.names.refused, summary.names.failed), (0, 2));
    env.server.set_faults(FaultScript::default());
    let (summary, _) = ask(&env, |_| {}).await;
    assert_eq!((summary.names.counted, summary.names.failed), (2, 0));
}

#[test]
fn the_command_says_what_it_did() {
    let mut world = World::new();
    world.add_names(["a", "@s/b", "gone"]);
    world.remove_downloads("gone");
    let env = Env::new(world);
    let url = format!("npm={}", env.server.url());
    let run =
        |arguments: &[&str]| all_docs(env.folder.path()).args(arguments).args(["--origin", &url]).output().unwrap();
    let none = run(&["downloads"]);
    assert_eq!(none.status.code(), Some(4), "{}", stderr(&none));
    assert!(run(&["ingest"]).status.success());
    let yesterday = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().yesterday().unwrap();
    for name in ["a", "@s/b"] {
        env.server.world().set_downloads(name, yesterday, 12);
    }
    let since = (yesterday - 30i64.days()).to_string();
    let first = run(&["downloads", "--since", &since, "--json"]);
    assert_eq!(first.status.code(), Some(0), "names without counts are no failure: {}", stderr(&first));
    let summary: serde_json::Value = serde_json::from_str(&stdout(&first)).unwrap();
    assert_eq!((&summary["names"]["counted"], &summary["names"]["unknown"]), (&2.into(), &1.into()), "{summary}");
    let second = run(&["downloads"]);
    assert!(second.status.success() && stderr(&second).contains("0 packages asked for"), "{}", stderr(&second));
    for wrong in
        [&["--top", "0"][..], &["--since", "yesterday"], &["--tier", "hourly=1"], &["--top", "1", "--tier", "daily=1"]]
    {
        let refused = run(&[&["downloads"], wrong].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {}", stderr(&refused));
    }
    // Another server has the counts.
    let other = Env::new(World::new());
    let elsewhere = run(&["downloads", "--downloads", other.server.url(), "--since", "2026-01-01"]);
    assert!(elsewhere.status.success(), "{}", stderr(&elsewhere));
    assert!(other.server.request_count() > 1);
    // A registry without this API.
    env.server.set_faults(FaultScript::of([Fault::on(
        Kind::Downloads,
        Action::Status { code: 404, retry_after: None, body: Some("{}".to_owned()) },
    )]));
    let without = run(&["downloads"]);
    assert_eq!(without.status.code(), Some(3), "{}", stderr(&without));
    assert!(stderr(&without).contains("--downloads"), "{}", stderr(&without));
}
