#![allow(clippy::unwrap_used)]

use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::npm::day_after;

fn week() -> Days {
    Days::new(date(2026, 11, 22), date(2026, 11, 28)).unwrap()
}

fn counts_of(decoded: &NamedCounts) -> &DownloadCounts {
    match decoded {
        NamedCounts::Counts(counts) => counts,
        other => panic!("{other:?}"),
    }
}

fn query(names: &[&str]) -> DownloadsQuery {
    DownloadsQuery { names: names.iter().map(|&name| name.into()).collect(), days: week() }
}

/// Returns the object of a package with these counts, from the first day of the week on.
fn object(package: &str, counts: &[&str]) -> String {
    let package = if package.is_empty() { String::new() } else { format!(r#""package":"{package}","#) };
    let days: Vec<String> = counts
        .iter()
        .zip(week().iter())
        .filter(|(count, _)| **count != "-")
        .map(|(count, day)| format!(r#"{{"downloads":{count},"day":"{day}"}}"#))
        .collect();
    format!(r#"{{{package}"start":"2026-11-22","end":"2026-11-28","downloads":[{}]}}"#, days.join(","))
}

#[test]
fn a_single_package_and_the_registry_are_objects() {
    let decoded = query(&["@a/b"]).decode(object("@a/b", &["0", "1", "-", "18446744073709551615"]).as_bytes()).unwrap();
    let counts = vec![Some(0), Some(1), None, Some(u64::MAX), None, None, None];
    assert_eq!(decoded, [NamedCounts::Counts(DownloadCounts { days: week(), counts })]);
    let total = query(&[]).decode(object("", &["7"]).as_bytes()).unwrap();
    assert_eq!(counts_of(&total[0]).counts[0], Some(7));
}

#[test]
fn a_bulk_is_an_object_of_objects_in_any_order() {
    let body = format!(r#"{{"b":{},"gone":null,"a":{}}}"#, object("b", &["2"]), object("a", &["1"]));
    let decoded = query(&["a", "gone", "b", "unnamed"]).decode(body.as_bytes()).unwrap();
    assert_eq!([0, 2].map(|place| counts_of(&decoded[place]).counts[0]), [Some(1), Some(2)]);
    assert_eq!([1, 3].map(|place| &decoded[place]), [&NamedCounts::Unknown, &NamedCounts::LeftOut]);
}

#[test]
fn a_start_that_was_moved_shows() {
    let body = object("a", &["-", "-", "5"]).replace(r#""start":"2026-11-22""#, r#""start":"2026-11-24""#);
    let decoded = query(&["a"]).decode(body.as_bytes()).unwrap();
    let decoded = counts_of(&decoded[0]);
    assert_eq!((decoded.days.first(), decoded.counts.len(), decoded.counts[0]), (date(2026, 11, 24), 5, Some(5)));
}

#[test]
fn anything_else_is_an_error_of_the_network() {
    let good = object("a", &["1", "2"]);
    for bad in [
        good.replace("\"package\":\"a\"", "\"package\":\"b\""),
        good.replace("\"package\":\"a\",", ""),
        good.replace("2026-11-22\",\"end", "2026-11-21\",\"end"),
        good.replace("\"end\":\"2026-11-28\"", "\"end\":\"2026-11-29\""),
        good.replace("\"day\":\"2026-11-23\"", "\"day\":\"2026-11-22\""),
        good.replace("\"day\":\"2026-11-23\"", "\"day\":\"2026-11-29\""),
        good.replace("\"day\":\"2026-11-23\"", "\"day\":\"2026-11-23T00:00\""),
        object("a", &["-1"]),
        object("a", &["1.5"]),
        object("a", &["18446744073709551616"]),
        object("a", &["1e3"]),
        object("a", &["\"1\""]),
        object("a", &["null"]),
        r#"{"error":"package a not found"}"#.to_owned(),
        format!("[{good}]"),
        good[..good.len() - 1].to_owned(),
        format!("{good}{good}"),
        "null".to_owned(),
    ] {
        let error = query(&["a"]).decode(bad.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network, "{bad}");
        assert!(error.message().starts_with(NO_COUNTS), "{bad}: {error}");
    }
    let twice = format!(r#"{{"a":{good},"a":null}}"#);
    assert!(query(&["a", "b"]).decode(twice.as_bytes()).is_err());
    assert!(query(&["b", "c"]).decode(format!(r#"{{"b":{good}}}"#).as_bytes()).is_err());
    assert!(query(&[]).decode(good.as_bytes()).is_err(), "the counts of a package are not those of the registry");
}

#[test]
fn names_are_told_apart_by_how_they_can_be_requested() {
    for (name, in_bulk, at_all) in [
        ("react", true, true),
        ("@a/b", false, true),
        ("a/b", false, true),
        ("..", true, false),
        ("@x/..", false, false),
        ("a,b", true, false),
        ("", true, false),
        ("é", true, true),
    ] {
        assert_eq!(DownloadsQuery::takes_in_bulk(name), in_bulk, "{name}");
        assert_eq!(DownloadsQuery::can_name(&name.into()), at_all, "{name}");
    }
}

proptest! {
    /// Every count of a response is returned at its day, unchanged, and no other.
    #[test]
    fn counts_are_returned_as_they_were_written(
        counts in prop::collection::vec(prop::option::of(any::<u64>()), 1..500),
        in_bulk in any::<bool>(),
    ) {
        let first = date(2025, 1, 1);
        let days = Days::new(first, day_after(first, counts.len() as i64 - 1)).unwrap();
        let listed: Vec<String> = days.iter().zip(&counts)
            .filter_map(|(day, count)| count.map(|count| format!(r#"{{"day":"{day}","downloads":{count}}}"#)))
            .collect();
        let object = format!(r#"{{"downloads":[{}],"start":"{}","end":"{}","package":"a"}}"#, listed.join(","), days.first(), days.last());
        let (names, body) = match in_bulk {
            true => (vec!["b", "a"], format!(r#"{{"a":{object},"b":null}}"#)),
            false => (vec!["a"], object),
        };
        let query = DownloadsQuery { names: names.into_iter().map(Into::into).collect(), days };
        let decoded = query.decode(body.as_bytes()).unwrap().pop().unwrap();
        prop_assert_eq!(decoded, NamedCounts::Counts(DownloadCounts { days, counts }));
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(prop::sample::select(&b"{}[]\",:-0128e.ndays tfulpckgo\xff"[..]), 0..80)) {
        for names in [&[][..], &["a"], &["a", "b"]] {
            let _ = query(names).decode(&body);
        }
    }
}
