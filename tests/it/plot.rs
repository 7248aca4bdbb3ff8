//! Values over time, and `all-docs plot`: its files, its charts in a terminal, and its errors.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use all_docs::array::{Counts, Right};
use all_docs::error::Result;
use all_docs::lake::Layout;
use all_docs::pipeline::{open_downloads, read_lake};
use all_docs::query::{Period, Session, SessionOptions, TimelineOptions, Timelines};
use all_docs::sample::World;
use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use jiff::civil::{Date, date};

use crate::support::{Env, ORIGIN, run_binary, stderr, stdout};

const TODAY: Date = date(2026, 11, 29);

/// A lake with the downloads of `steady`, from Thursday 2026-01-01 on, of `gaps`, and none of `unknown`.
async fn lake() -> Env {
    let mut world = World::new();
    world.add_names(["steady", "gaps", "unknown"]);
    let env = Env::new(world);
    env.ingest(&[]).await;
    let (axis, downloads) = open_downloads(&env.store(), &Layout::origin(ORIGIN), TODAY, TODAY, &[]).await.unwrap();
    let right: Right = Arc::new(|| Ok(()));
    let mut writer = downloads.writer(&downloads.blocks()[0], &right).await.unwrap();
    let steady = (1..=31).map(Some).collect();
    // In the week from Monday the 12th on four days are known, and in the next three.
    let gaps = (1..=31).map(|day| (!matches!(day, 12..=14 | 19..=22)).then_some(day * 10)).collect();
    for (name, counts) in [("steady", steady), ("gaps", gaps)] {
        let row = axis.row(name).unwrap();
        writer.record(Counts { row, since: date(2026, 1, 1), counts }).await.unwrap();
    }
    writer.finish().await.unwrap();
    downloads.finish().await.unwrap();
    env
}

async fn session(env: &Env) -> Session {
    let store = env.store();
    let info = read_lake(&store).await.unwrap().unwrap();
    Session::open(&store, &info, &SessionOptions::default()).unwrap()
}

fn options(names: &[String]) -> TimelineOptions<'_> {
    TimelineOptions { names, since: None, until: None, period: None, today: TODAY, flags: "" }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Returns all rows as texts.
fn texts(batches: Vec<RecordBatch>) -> Vec<Vec<String>> {
    let row = |batch: &RecordBatch, row: usize| {
        let columns = batch.columns().iter();
        columns.map(|column| array_value_to_string(column, row).unwrap()).collect()
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|at| row(batch, at)).collect::<Vec<_>>()).collect()
}

/// Returns the points of each line by its name.
fn points(timelines: Result<Timelines>) -> BTreeMap<String, Vec<(Date, Option<f64>)>> {
    timelines.unwrap().lines.into_iter().map(|line| (line.name, line.points)).collect()
}

#[tokio::test]
async fn downloads_are_the_mean_of_a_day_and_a_period_that_is_hardly_known_is_a_gap() {
    let env = lake().await;
    let session = session(&env).await;
    let both = names(&["gaps", "steady"]);
    let by_day = session.downloads_over_time(options(&both)).await.unwrap();
    assert_eq!((by_day.period, by_day.first, by_day.last), (Period::Day, date(2026, 1, 1), date(2026, 1, 31)));
    assert_eq!(by_day.lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["gaps", "steady"]);
    let by_day = points(Ok(by_day));
    let day = |day: i8| date(2026, 1, day);
    assert_eq!(by_day["steady"], (1..=31).map(|of| (day(of), Some(f64::from(of)))).collect::<Vec<_>>());
    assert_eq!(
        by_day["gaps"][10..15].iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        [Some(110.0), None, None, None, Some(150.0)]
    );
    let weekly = TimelineOptions { period: Some(Period::Week), ..options(&both) };
    let by_week = points(session.downloads_over_time(weekly).await);
    let mondays = [date(2025, 12, 29), day(5), day(12), day(19), day(26)];
    // The first week has four known days, and the last one six.
    let means = [Some(2.5), Some(8.0), Some(15.0), Some(22.0), Some(28.5)];
    assert_eq!(by_week["steady"], mondays.into_iter().zip(means).collect::<Vec<_>>());
    let means = [Some(25.0), Some(80.0), Some(165.0), None, Some(285.0)];
    assert_eq!(by_week["gaps"], mondays.into_iter().zip(means).collect::<Vec<_>>());
    let monthly = TimelineOptions { period: Some(Period::Month), ..options(&both) };
    assert_eq!(points(session.downloads_over_time(monthly).await)["steady"], [(day(1), Some(16.0))]);
    // The whole week of --since counts, also the days before it.
    let since = TimelineOptions { since: Some(day(15)), until: Some(day(20)), ..weekly };
    assert_eq!(points(session.downloads_over_time(since).await)["gaps"], [(day(12), Some(165.0)), (day(19), None)]);
}

#[tokio::test]
async fn releases_and_dependents_are_those_that_the_tables_say() {
    let env = Env::new(World::seeded(77, 400));
    env.ingest(&["d", "m", "t"]).await;
    let session = session(&env).await;
    let table = async |sql: &str| texts(session.query(sql).await.unwrap().try_collect().await.unwrap());
    let two_of = async |sql: &str| -> Vec<String> {
        table(&format!("{sql} desc, 1 limit 2")).await.into_iter().map(|mut row| row.remove(0)).collect()
    };
    let active = two_of("select name from versions group by 1 order by count(*)").await;
    let popular =
        two_of("select dependency from dependencies where kind = 'prod' group by 1 order by count(distinct name)")
            .await;
    let releases = session.releases_over_time(options(&active)).await.unwrap();
    assert_eq!(releases.period, Period::Month);
    let sql = format!(
        "select name, cast(date_trunc('month', published_at) as date), count(*) from versions
         where name in ('{}', '{}') and published_at < timestamp '2026-11-30' group by 1, 2",
        active[0], active[1]
    );
    let by_month = table(&sql).await.into_iter();
    let expected: BTreeMap<(String, String), f64> =
        by_month.map(|row| ((row[0].clone(), row[1].clone()), row[2].parse().unwrap())).collect();
    assert!(expected.len() > 10);
    let found = releases.lines.iter().flat_map(|line| line.points.iter().map(|point| (line.name.clone(), point)));
    let found: BTreeMap<(String, String), f64> = found
        .filter_map(|(name, (day, value))| Some(((name, day.to_string()), value.filter(|value| *value > 0.0)?)))
        .collect();
    assert_eq!(found, expected);
    let dependents = session.dependents_over_time(options(&popular)).await.unwrap();
    for line in &dependents.lines {
        let (middle, end) = (line.points[line.points.len() / 2], *line.points.last().unwrap());
        for (month, packages) in [middle, end] {
            // The highest version by then, found by sorting instead of running through the publications.
            let next = month.last_of_month().tomorrow().unwrap();
            let sql = format!(
                "with ranked as (
                    select name, version, row_number() over (partition by name order by
                        (major is not null and prerelease is null) desc, semver_sort_key(version) desc nulls last,
                        version_index desc) as place
                    from versions where published_at < timestamp '{next}')
                 select count(distinct ranked.name) from ranked join dependencies using (name, version)
                 where place = 1 and kind = 'prod' and dependency = '{}'",
                line.name
            );
            let expected: f64 = table(&sql).await[0][0].parse().unwrap();
            assert_eq!(packages, Some(expected), "{} in {month}", line.name);
        }
        assert!(middle.1.unwrap() > 0.0 && end.1.unwrap() > 10.0, "{line:?}");
    }
}

fn plot(folder: &Path, arguments: &[&str]) -> std::process::Output {
    run_binary(folder, &[&["plot"], arguments].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_draws_svg_png_and_text() {
    let env = lake().await;
    let folder = env.folder.path();
    let drawn = |name: &str, arguments: &[&str]| {
        let output = plot(folder, &[arguments, &["--output", name]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).is_empty() && stderr(&output).contains(name), "{}", stderr(&output));
        std::fs::read(folder.join(name)).unwrap()
    };
    let svg = String::from_utf8(drawn("chart.svg", &["downloads", "steady", "gaps", "steady", "--log"])).unwrap();
    for text in ["Downloads of steady and gaps", "downloads a day", "day (UTC)", "2026-01-01 to 2026-01-31", "1,000"] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
    assert!(drawn("chart.PNG", &["downloads", "steady"]).starts_with(b"\x89PNG\r\n\x1a\n"));
    let text = String::from_utf8(drawn("chart.txt", &["downloads", "steady", "--by", "week"])).unwrap();
    let output = plot(folder, &["downloads", "steady", "--by", "week"]);
    assert_eq!(stdout(&output), text);
    assert!(text.contains("steady  last 28.50, most 28.50\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80) && !text.contains('\u{1b}'), "{text}");
    let output = plot(folder, &["downloads", "steady", "--output", "-", "--format", "svg"]);
    assert!(stdout(&output).starts_with("<svg "));
    let releases = plot(folder, &["releases", "steady"]);
    assert!(stdout(&releases).contains("Releases of steady"), "{}", stderr(&releases));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_without_values_and_wrong_arguments_are_errors_that_say_what_to_do() {
    let env = lake().await;
    let folder = env.folder.path();
    let refused = |arguments: &[&str], texts: &[&str]| {
        let output = plot(folder, &[arguments, &["--output", "none.svg"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        for text in texts {
            assert!(stderr(&output).contains(text), "{arguments:?}: {text}: {}", stderr(&output));
        }
        assert!(!folder.join("none.svg").exists());
    };
    let fetches = "echo unknown | all-docs downloads --names - --origin sample";
    refused(&["downloads", "steady", "unknown"], &["no downloads of unknown are known", fetches]);
    refused(&["downloads", "stedy"], &["the lake holds no package \"stedy\"", "did you mean steady?"]);
    refused(&["releases", "nothing-like-it"], &["holds no package", "all-docs packument fetch nothing-like-it"]);
    refused(&["dependents", "steady"], &["no version in the lake depends on steady"]);
    refused(&["downloads", "steady", "--since", "2026-02-01", "--until", "2026-01-01"], &["--since is after --until"]);
    refused(&["downloads", "steady", "--since", "2026-03-01"], &["no downloads of steady are known in these days"]);
    refused(&["downloads", "a", "b", "c", "d", "e", "f", "g", "h", "i"], &["a chart has room for 8 packages"]);
    let output = plot(folder, &["downloads", "steady", "--output", "chart.gif"]);
    assert!(stderr(&output).contains("one of svg, png, text"), "{}", stderr(&output));
}
