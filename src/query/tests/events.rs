//! The table `events`, and the reports over it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::beside_a_writer::Scripted;
use super::lake::TestLake;
use crate::error::{ErrorKind, Result};
use crate::event::encode_events;
use crate::lake::{Layout, OriginLayout};
use crate::query::{BoundSql, Format, Session, SessionOptions, TableOptions, write};
use crate::table::TableKind;
use crate::table::events::{Event, EventKind, EventOf, Happening};

/// Noon of 2026-11-28, and a day, in microseconds.
const NOON_US: i64 = 1_795_867_200_000_000;
const DAY_US: i64 = 86_400_000_000;

fn event(name: &str, kind: EventKind, [version, subject, before, after]: [&str; 4]) -> Event {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let happening = Happening {
        version: text(version),
        subject: text(subject),
        before: text(before),
        after: text(after),
        ..Happening::of(kind)
    };
    Event::new(EventOf { name, rev: "2-x", seq: None }, happening)
}

fn published(name: &str, version: &str) -> Event {
    event(name, EventKind::VersionPublished, [version, "", "", ""])
}

impl TestLake {
    fn put_events(&self, path: &str, at_us: i64, events: &[Event]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.with_extension("new"), encode_events(events, at_us).unwrap()).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    fn put_day(&self, at_us: i64, events: &[Event]) {
        let day = jiff::Timestamp::from_microsecond(at_us).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
        self.put_events(&Layout::origin("npm").events_of_day(day), at_us, events);
    }

    fn put_feed(&self, at_us: i64, events: &[Event]) -> String {
        let name = OriginLayout::feed_name(at_us, &format!("{at_us:016x}"));
        let path = Layout::origin("npm").feed_file(&name);
        self.put_events(&path, at_us, events);
        path
    }
}

async fn text(session: &Session, statement: &BoundSql) -> Result<String> {
    let mut out = Vec::new();
    write(session.query_bound(statement).await?, Format::Csv, &mut out, &TableOptions::default()).await?;
    Ok(String::from_utf8(out).unwrap())
}

const ALL: &str = "select name, version from events order by name, version";

#[tokio::test]
async fn events_of_days_and_of_the_feed_are_read_once() {
    let lake = TestLake::small();
    let sql = |sql| BoundSql::new(sql);
    assert_eq!(text(&lake.session(), &sql(ALL)).await.unwrap(), "name,version\n");
    lake.put_day(NOON_US, &[published("a", "1.0.0"), published("b", "1.0.0")]);
    lake.put_day(NOON_US - DAY_US, &[published("c", "1.0.0")]);
    lake.put_feed(NOON_US, &[published("b", "1.0.0"), published("b", "2.0.0")]);
    lake.put_feed(NOON_US + 1, &[published("b", "2.0.0"), published("d", "1.0.0")]);
    lake.put_feed(NOON_US + DAY_US, &[published("a", "1.0.0")]);
    // Files that are none of events, beside them.
    for foreign in ["events/copy.parquet", "events/2026-11-28.parquet.bak", "feed/copy.parquet", "feed/x/y.parquet"] {
        lake.put_events(&format!("npm/{foreign}"), NOON_US, &[published("foreign", "1.0.0")]);
    }
    fs::write(lake.path("npm/events/notes.txt"), "not Parquet").unwrap();
    let rows = "name,version\na,1.0.0\na,1.0.0\nb,1.0.0\nb,2.0.0\nc,1.0.0\nd,1.0.0\n";
    assert_eq!(text(&lake.session(), &sql(ALL)).await.unwrap(), rows);
    let of_npm = "select count(*) as n from npm.events where event = 'version_published' and subject is null";
    assert_eq!(text(&lake.session(), &sql(of_npm)).await.unwrap(), "n\n6\n");
    let of_day = "select name, version from events where seen_at >= '2026-11-28T00:00:00Z' \
        and seen_at < '2026-11-29T00:00:00Z' order by name, version limit 2";
    assert_eq!(text(&lake.session(), &sql(of_day)).await.unwrap(), "name,version\na,1.0.0\nb,1.0.0\n");
    let plan = lake.session().explain(of_day).await.unwrap();
    assert!(plan.contains("2026-11-28.parquet") && !plan.contains("2026-11-27.parquet"), "{plan}");
    assert_eq!(text(&lake.session(), &sql("select * from mirror.events")).await.unwrap().lines().count(), 1);
    let described = text(&lake.session(), &sql("describe events")).await.unwrap();
    assert!(described.contains("seen_at,\"Timestamp") && described.contains("The package's name."), "{described}");
}

#[tokio::test]
async fn a_damaged_file_of_events_is_an_error_that_names_it() {
    let lake = TestLake::small();
    lake.put_day(NOON_US, &[published("a", "1.0.0")]);
    let feed = lake.put_feed(NOON_US, &[published("b", "1.0.0")]);
    for damaged in ["npm/events/2026-11-28.parquet", &feed] {
        let kept = fs::read(lake.path(damaged)).unwrap();
        for cut in [kept.len() / 2, 0] {
            fs::write(lake.path(damaged), &kept[..cut]).unwrap();
            let error = lake.error(ALL).await;
            assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
            assert!(error.message().contains(damaged), "{cut}: {error:?}");
            assert!(error.hint_text().is_some_and(|hint| hint.contains("verify --repair")), "{error:?}");
        }
        fs::write(lake.path(damaged), kept).unwrap();
    }
    assert_eq!(lake.text(ALL, Format::Csv).await, "name,version\na,1.0.0\nb,1.0.0\n");
}

#[tokio::test]
async fn a_drain_before_any_call_of_the_store_loses_and_repeats_no_event() {
    for is_bucket in [false, true] {
        for step in 0..2 {
            for drained_before in 0.. {
                let lake = Arc::new(TestLake::small());
                lake.put_day(NOON_US, &[published("a", "1.0.0")]);
                let feed = lake.put_feed(NOON_US, &[published("b", "1.0.0")]);
                let (of_writer, path) = (Arc::clone(&lake), feed.clone());
                let store = Scripted::new(is_bucket, move |call, _: &str| {
                    if call == drained_before {
                        of_writer.put_day(NOON_US, &[published("a", "1.0.0"), published("b", "1.0.0")]);
                    }
                    if call == drained_before + step {
                        let _ = fs::remove_file(of_writer.path(&path));
                    }
                    Ok(())
                });
                let options = SessionOptions { threads: 2, ..SessionOptions::default() };
                let session = match is_bucket {
                    true => lake.session_in_bucket(Arc::clone(&store) as _, None, &options),
                    false => lake.session_in(Arc::clone(&store) as _, &options),
                };
                let rows = text(&session, &BoundSql::new(ALL)).await.unwrap();
                assert_eq!(rows, "name,version\na,1.0.0\nb,1.0.0\n", "{is_bucket} {step} {drained_before}");
                if store.calls() <= drained_before {
                    assert!(drained_before > 3);
                    break;
                }
            }
        }
    }
}

async fn report(lake: &TestLake, name: &str, given: &[(&str, &str)]) -> Vec<String> {
    let session = lake.session();
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let statement = session.queries().find(name).unwrap().with_values(&given.collect::<BTreeMap<_, _>>()).unwrap();
    text(&session, &statement).await.unwrap().lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn events_are_reported_by_time_and_by_package() {
    let lake = TestLake::small();
    let of_a = [published("a", "3.0.0"), event("a", EventKind::PublisherNew, ["3.0.0", "eve", "ann", "eve"])];
    lake.put_day(NOON_US, &of_a);
    lake.put_feed(NOON_US + DAY_US, &[published("b", "1.0.1")]);
    let rows = report(&lake, "recent_events", &[]).await;
    assert_eq!(rows.len(), 3);
    assert!(rows[0].contains("b,version_published,1.0.1"), "{rows:?}");
    let rows = report(&lake, "recent_events", &[("event", "publisher_new")]).await;
    assert!(rows.len() == 1 && rows[0].contains("a,publisher_new,3.0.0,eve,ann,eve"), "{rows:?}");
    assert_eq!(report(&lake, "recent_events", &[("since", "2026-11-29")]).await.len(), 1);
    let rows = report(&lake, "history_of", &[("name", "a")]).await;
    assert!(rows.len() == 2 && rows[1].contains("2-x,version_published,3.0.0"), "{rows:?}");
    assert_eq!(report(&lake, "history_of", &[("name", "nobody")]).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_suspicious_release_is_reported_with_its_reasons() {
    let lake = TestLake::empty();
    let by = |name: &str, version: &str, user: &str| {
        json!({"name": name, "version": version, "version_index": 0, "is_latest": true, "published_by": user,
               "published_at": "2026-11-28T11:30:00Z"})
    };
    let spam: Vec<String> = (0..3).map(|number| format!("spam-{number}")).collect();
    let mut versions = vec![by("hijacked", "2.0.0", "eve"), by("raect", "1.0.0", "ann"), by("reakt", "1.0.0", "ann")];
    versions.extend(spam.iter().map(|name| by(name, "1.0.0", "mallory")));
    lake.put("npm", TableKind::Versions, None, None, &versions);
    let edge = |name: &str| json!({"name": name, "version": "1.0.0", "is_latest": true, "kind": "prod", "dependency": "react"});
    lake.put("npm", TableKind::Dependencies, None, None, &[edge("one"), edge("two")]);
    let mut events = vec![
        published("hijacked", "2.0.0"),
        event("hijacked", EventKind::PublisherNew, ["2.0.0", "eve", "ann", "eve"]),
        event("hijacked", EventKind::InstallScriptAdded, ["2.0.0", "postinstall", "", "node x.js"]),
        event("usual", EventKind::PublisherNew, ["1.0.1", "bob", "ann", "bob"]),
        event("usual", EventKind::InstallScriptAdded, ["2.0.0", "postinstall", "", "node y.js"]),
        event("unproven", EventKind::ProvenanceLost, ["4.0.0", "", "https://slsa.dev", ""]),
        event("untrusted", EventKind::TrustedPublishingLost, ["5.0.0", "", "github", ""]),
        event("reakt", EventKind::PackageAdded, ["", "", "", ""]),
        event("far-from-react", EventKind::PackageAdded, ["", "", "", ""]),
        // The name is not new.
        published("raect", "1.0.0"),
    ];
    events.extend(spam.iter().map(|name| event(name, EventKind::PackageAdded, ["", "", "", ""])));
    lake.put_day(NOON_US, &events);
    lake.put_day(NOON_US - 30 * DAY_US, &[event("old", EventKind::ProvenanceLost, ["1.0.0", "", "x", ""])]);
    let rows = report(&lake, "suspicious_releases", &[("burst", "3")]).await;
    let found: Vec<&str> = rows.iter().map(|row| row.split_once(',').unwrap().1).collect();
    let burst = |name: &str| {
        format!("{name},1.0.0,burst of packages by one publisher,mallory published 3 packages within an hour")
    };
    let bursts: Vec<String> = spam.iter().map(|name| burst(name)).collect();
    let mut expected = vec![
        "hijacked,2.0.0,new publisher and new install script,eve: postinstall runs node x.js",
        "reakt,,name near a popular one,react",
        "unproven,4.0.0,provenance lost,the version before had https://slsa.dev",
        "untrusted,5.0.0,trusted publishing lost,the version before had github",
    ];
    expected.extend(bursts.iter().map(String::as_str));
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(report(&lake, "suspicious_releases", &[("days", "60")]).await.len(), 5, "and without bursts of 20");
}
