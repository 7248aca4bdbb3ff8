//! Download counts over HTTP: shapes, limits, silence, and days without counts.

use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde_json::{Value, json};

use super::*;

const LAST_DAY: Date = date(2026, 11, 28);

fn counted_world() -> World {
    let mut world = small_world();
    world.set_last_download_day(LAST_DAY);
    for name in ["a", "b", "@s/p"] {
        for days in 0..800 {
            world.set_downloads(name, LAST_DAY - days.days(), (days % 7) as u64);
        }
    }
    world.remove_downloads("-");
    world
}

async fn json(server: &SampleServer, path: &str) -> (u16, Value) {
    let (status, body) = get(server, path).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn one_package_many_and_the_registry_have_their_shapes() {
    let server = serve(counted_world());
    let days = |range: Value| range["downloads"].as_array().unwrap().len();
    let (status, single) = json(&server, "/downloads/range/2026-11-27:2026-11-28/@s%2Fp").await;
    let listed = json!([{"downloads": 1, "day": "2026-11-27"}, {"downloads": 0, "day": "2026-11-28"}]);
    let object = json!({"start": "2026-11-27", "end": "2026-11-28", "package": "@s/p", "downloads": listed});
    assert_eq!((status, single), (200, object));
    let (_, point) = json(&server, "/downloads/point/last-week/a").await;
    assert_eq!(point, json!({"start": "2026-11-22", "end": "2026-11-28", "package": "a", "downloads": 21}));
    let (_, bulk) = json(&server, "/downloads/range/last-month/a,-,nobody,b").await;
    assert_eq!((&bulk["-"], &bulk["nobody"], bulk["a"]["package"].clone()), (&Value::Null, &Value::Null, json!("a")));
    assert_eq!(bulk.as_object().unwrap().len(), 4);
    assert_eq!(days(bulk["b"].clone()), 30);
    let (_, total) = json(&server, "/downloads/range/2026-11-28").await;
    assert!(total["downloads"][0]["downloads"].as_u64().unwrap() > 1_000_000 && total.get("package").is_none());
    // A name that ends in a dot segment reaches the registry's total.
    assert_eq!(json(&server, "/downloads/range/2026-11-28/@x%2F..").await.1, total);
    assert_eq!(json(&server, "/downloads/range/last-day/-").await.0, 404);
}

#[tokio::test]
async fn limits_are_refused_and_one_is_passed_over_in_silence() {
    let server = serve(counted_world());
    let many: Vec<String> = (0..129).map(|number| format!("n{number}")).collect();
    let long: Vec<String> = (0..128).map(|number| format!("{number:0100}")).collect();
    for (path, error) in [
        (format!("/downloads/range/last-day/{}", many.join(",")), "exceeded max bulk size of 128"),
        (
            "/downloads/point/last-day/a,@s%2Fp".to_owned(),
            "scoped packages are not currently supported in bulk lookups",
        ),
        ("/downloads/range/2025-11-28:2026-11-28/a,b".to_owned(), "exceeded max days of 365 for bulk query"),
        ("/downloads/range/2026-11-28:2026-11-27/a".to_owned(), "end date > start date"),
        ("/downloads/range/last-decade/a".to_owned(), "Invalid date"),
    ] {
        assert_eq!(json(&server, &path).await, (400, json!({ "error": error })), "{path}");
    }
    assert_eq!(json(&server, "/downloads/range/2025-11-29:2026-11-28/a,b").await.0, 200);
    let (status, page) = get(&server, &format!("/downloads/range/last-day/{}", long.join(","))).await;
    assert!(status == 400 && page.contains("Request Header Or Cookie Too Large"), "{page}");
    let (status, moved) = json(&server, "/downloads/range/2024-01-01:2026-11-28/a").await;
    assert_eq!((status, moved["downloads"].as_array().unwrap().len()), (200, 547));
    assert_eq!((&moved["start"], &moved["end"]), (&json!("2025-05-31"), &json!("2026-11-28")));
}

#[tokio::test]
async fn days_that_have_not_landed_are_absent_and_outages_are_zero() {
    let server = serve(counted_world());
    server.world().hide_download_day(date(2026, 11, 26), true);
    server.world().zero_download_day(date(2026, 11, 25), true);
    let (_, range) = json(&server, "/downloads/range/2026-11-24:2026-11-30/b").await;
    let days: Vec<&str> =
        range["downloads"].as_array().unwrap().iter().map(|day| day["day"].as_str().unwrap()).collect();
    assert_eq!(days, ["2026-11-24", "2026-11-25", "2026-11-27", "2026-11-28"]);
    assert_eq!(range["end"], "2026-11-30");
    let (_, total) = json(&server, "/downloads/range/2026-11-25").await;
    assert_eq!(total["downloads"], json!([{"downloads": 0, "day": "2026-11-25"}]));
}

#[tokio::test]
async fn a_refused_name_refuses_every_bulk_with_it() {
    let server = serve(counted_world());
    let blocked = Fault { package: Some("b".to_owned()), ..Fault::on(Kind::Downloads, Action::status(403)) };
    server.set_faults(FaultScript::of([blocked]));
    let (status, page) = get(&server, "/downloads/range/last-day/a,b").await;
    assert!(status == 403 && page.contains("Sorry, you have been blocked"));
    for (path, status) in [("a", 200), ("b", 403), ("a,bb", 200)] {
        assert_eq!(get(&server, &format!("/downloads/point/last-day/{path}")).await.0, status, "{path}");
    }
}

#[test]
fn the_counts_of_a_seed_never_change_and_have_a_long_tail() {
    let world = World::seeded(1, 2_000);
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    let day = date(2026, 11, 27);
    let mut counts: Vec<u64> = names.iter().filter_map(|name| world.downloads(name, day)).collect();
    assert!((1_900..2_000).contains(&counts.len()), "{} have counts", counts.len());
    counts.sort_unstable();
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let (tail, head) = counts.split_at(counts.len() * 99 / 100);
    assert!(sum(head) > sum(tail), "the most popular hundredth has less than the others");
    assert!(tail.iter().filter(|count| **count == 0).count() > 100);
    assert_eq!(
        ["2026-11-27", "2021-09-30"].map(|day| world.downloads(&names[7], day.parse().unwrap())),
        World::seeded(1, 2_000)
            .names()
            .nth(7)
            .map(|name| ["2026-11-27", "2021-09-30"].map(|day| world.downloads(name, day.parse().unwrap())))
            .unwrap()
    );
    assert_ne!(sum(&counts), names.iter().filter_map(|name| World::seeded(2, 1).downloads(name, day)).sum::<u64>());
}
