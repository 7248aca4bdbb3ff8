//! The requests of a task: its days in spans that npm takes, and its names in halves where one of them is refused.
//!
//! Not here: retries and the pace (`registry`), and which names form a task (`plan`).

use crate::error::{Error, Result};
use crate::npm::{Days, DownloadCounts, DownloadsQuery, NamedCounts, PackageName, day_after};
use crate::registry::{DownloadsAnswer, Registry};

/// The result for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// The counts of each day of the task; `None` for a day that no response lists.
    Counts(Vec<Option<u64>>),
    /// npm has no counts of the name.
    Unknown,
    /// npm refuses requests with this name.
    Refused(String),
    /// No request for it succeeded.
    Failed(String),
}

/// Names and days that remain to be asked for: the places of the names in the task, from one to another.
#[derive(Debug, Clone, Copy)]
struct Rest {
    from: usize,
    to: usize,
    days: Days,
}

/// Asks for the days of all `names`, and returns a result for each. One request has at most `longest_days`.
///
/// Fails if no more requests may be sent.
pub(super) async fn ask(
    registry: &Registry,
    names: &[PackageName],
    days: Days,
    longest_days: usize,
) -> Result<Vec<Asked>> {
    let mut results = vec![Asked::Unknown; names.len()];
    // The latest days are at the end, and are asked for first: their counts are wanted most.
    let all = |days| Rest { from: 0, to: names.len(), days };
    let mut rest: Vec<Rest> = days.spans(longest_days).map(all).collect();
    rest.reverse();
    while let Some(Rest { from, to, days: span }) = rest.pop() {
        let places = still_asked(&results, from, to);
        let query = DownloadsQuery {
            names: places.iter().filter_map(|&place| names.get(place).cloned()).collect(),
            days: span,
        };
        if query.names.is_empty() {
            continue;
        }
        let (places, result) = match registry.downloads(&query).await {
            Ok(DownloadsAnswer::Counts(counts)) => {
                for (place, counts) in places.into_iter().zip(counts) {
                    let counts = match counts {
                        NamedCounts::Counts(counts) => counts,
                        NamedCounts::Unknown => continue,
                        // npm counts names that differ in case together, and some servers leave out unknown names.
                        NamedCounts::LeftOut => {
                            rest.push(Rest { from: place, to: place + 1, days: span });
                            continue;
                        }
                    };
                    // npm moves the start of a period that is too long for it, and does not say so. Days at the end that a
                    // response leaves out are asked for in the same way.
                    let head = Days::new(span.first(), day_after(counts.days.first(), -1));
                    let tail = Days::new(day_after(counts.days.last(), 1), span.last());
                    let left = [head, tail].into_iter().flatten();
                    rest.extend(left.map(|days| Rest { from: place, to: place + 1, days }));
                    take(&mut results, place, days, counts);
                }
                continue;
            }
            Ok(DownloadsAnswer::Refused { said }) => match places.as_slice() {
                // Its other days may have counts.
                [place] if !matches!(results.get(*place), Some(Asked::Unknown)) => continue,
                [place] => (vec![*place], Asked::Refused(said)),
                places => {
                    let middle = places.get(places.len() / 2).copied().unwrap_or(to);
                    rest.push(Rest { from: middle, to, days: span });
                    rest.push(Rest { from, to: middle, days: span });
                    continue;
                }
            },
            Err(failure) if failure.outcome.is_some() => (places, Asked::Failed(Error::from(failure).to_string())),
            Err(failure) => return Err(failure.into()),
        };
        for place in places {
            if let Some(found) = results.get_mut(place) {
                *found = result.clone();
            }
        }
    }
    Ok(results)
}

/// Returns the places from one to another whose names were neither refused nor failed.
fn still_asked(results: &[Asked], from: usize, to: usize) -> Vec<usize> {
    let is_open = |place: &usize| matches!(results.get(*place), Some(Asked::Counts(_) | Asked::Unknown));
    (from..to).filter(is_open).collect()
}

/// Adds the counts of a response to the result of a name.
fn take(results: &mut [Asked], place: usize, days: Days, counts: DownloadCounts) {
    let Some(result) = results.get_mut(place) else { return };
    if *result == Asked::Unknown {
        *result = Asked::Counts(vec![None; days.count()]);
    }
    if let (Asked::Counts(all), Some(start)) = (result, days.place(counts.days.first())) {
        for (kept, count) in all.iter_mut().skip(start).zip(counts.counts) {
            *kept = count;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use jiff::civil::date;

    use super::*;
    use crate::registry::{Credentials, Origin, RegistryConfig};
    use crate::sample::{Action, Fault, FaultScript, Kind, Options, SampleServer, World};

    fn serve() -> (SampleServer, Registry) {
        let mut world = World::new();
        world.add_names(["a", "b", "c", "@s/d"]);
        world.set_last_download_day(date(2026, 11, 28));
        for name in ["a", "b", "@s/d"] {
            world.set_downloads(name, date(2026, 11, 28), 7);
            world.set_downloads(name, date(2025, 2, 3), 5);
        }
        world.remove_downloads("c");
        let server = SampleServer::start(world, Options::default()).unwrap();
        let origin = Origin::parse(server.url(), None).unwrap();
        let pause = Duration::from_millis(1);
        let config =
            RegistryConfig { retry_pause: pause, retry_pause_cap: pause, ..RegistryConfig::for_origin(&origin) };
        let registry = Registry::new(origin, config, Credentials::default()).unwrap();
        (server, registry)
    }

    fn years() -> Days {
        Days::new(date(2024, 1, 1), date(2026, 11, 28)).unwrap()
    }

    fn names(names: &[&str]) -> Vec<PackageName> {
        names.iter().map(|&name| name.into()).collect()
    }

    fn blocked(package: &str, first: &str) -> FaultScript {
        let path_prefix = Some(format!("/downloads/range/{first}"));
        let fault = Fault::on(Kind::Downloads, Action::status(403));
        FaultScript::of([Fault { package: Some(package.to_owned()), path_prefix, ..fault }])
    }

    /// Returns the counts of the days that were set.
    fn of_days(result: &Asked) -> [Option<u64>; 2] {
        let Asked::Counts(counts) = result else { panic!("{result:?}") };
        assert_eq!(counts.len(), years().count());
        [date(2025, 2, 3), date(2026, 11, 28)].map(|day| counts[years().place(day).unwrap()])
    }

    #[tokio::test]
    async fn the_spans_of_a_bulk_are_joined() {
        let (server, registry) = serve();
        let results = ask(&registry, &names(&["a", "c", "b"]), years(), 365).await.unwrap();
        assert_eq!(
            (of_days(&results[0]), &results[1], of_days(&results[2])),
            ([Some(5), Some(7)], &Asked::Unknown, [Some(5), Some(7)])
        );
        assert_eq!(server.request_count(), 3);
    }

    #[tokio::test]
    async fn the_days_before_a_start_that_was_moved_are_asked_for_again() {
        let (server, registry) = serve();
        let results = ask(&registry, &names(&["@s/d"]), years(), 10_000).await.unwrap();
        assert_eq!(of_days(&results[0]), [Some(5), Some(7)]);
        let Asked::Counts(counts) = &results[0] else { unreachable!() };
        assert!(counts.iter().all(Option::is_some));
        // 547 days each.
        assert_eq!(server.request_count(), 2);
    }

    #[tokio::test]
    async fn the_days_after_an_early_end_are_asked_for_again() {
        let (server, registry) = serve();
        let days = Days::new(date(2026, 11, 20), date(2026, 11, 28)).unwrap();
        let early = r#"{"start":"2026-11-20","end":"2026-11-21","package":"@s/d","downloads":[{"day":"2026-11-20","downloads":4}]}"#;
        let action = Action::Body(early.to_owned());
        server.set_faults(FaultScript::of([Fault { times: Some(1), ..Fault::on(Kind::Downloads, action) }]));
        let results = ask(&registry, &names(&["@s/d"]), days, 10_000).await.unwrap();
        let Asked::Counts(counts) = &results[0] else { panic!("{results:?}") };
        assert_eq!((counts[0], counts[1], counts[8], counts.len()), (Some(4), None, Some(7), 9));
        assert!(counts[2..].iter().all(Option::is_some), "{counts:?}");
        assert_eq!(server.request_count(), 2);
    }

    #[tokio::test]
    async fn a_name_that_a_bulk_leaves_out_is_asked_for_alone() {
        let (server, registry) = serve();
        let days = Days::new(date(2026, 11, 27), date(2026, 11, 28)).unwrap();
        let without_b = r#"{"a":{"start":"2026-11-27","end":"2026-11-28","package":"a","downloads":[{"day":"2026-11-28","downloads":7}]}}"#;
        let action = Action::Body(without_b.to_owned());
        server.set_faults(FaultScript::of([Fault { times: Some(1), ..Fault::on(Kind::Downloads, action) }]));
        let results = ask(&registry, &names(&["a", "b", "c"]), days, 365).await.unwrap();
        let of = |place: usize| match &results[place] {
            Asked::Counts(counts) => counts[1],
            other => panic!("{other:?}"),
        };
        assert_eq!((of(0), of(1), &results[2]), (Some(7), Some(7), &Asked::Unknown));
        assert_eq!(server.request_count(), 3);
    }

    #[tokio::test]
    async fn a_name_that_is_refused_is_left_out_of_the_spans_that_follow() {
        let (server, registry) = serve();
        server.set_faults(blocked("a", ""));
        let results = ask(&registry, &names(&["a", "b"]), years(), 365).await.unwrap();
        assert!(matches!(&results[0], Asked::Refused(said) if said.starts_with("status 403")), "{results:?}");
        assert_eq!((of_days(&results[1]), server.request_count()), ([Some(5), Some(7)], 3 + 2));
    }

    #[tokio::test]
    async fn a_name_that_is_refused_for_some_days_keeps_the_others() {
        let (server, registry) = serve();
        server.set_faults(blocked("a", "2024-11-29"));
        let results = ask(&registry, &names(&["a", "b"]), years(), 365).await.unwrap();
        assert_eq!([of_days(&results[0]), of_days(&results[1])], [[None, Some(7)], [Some(5), Some(7)]]);
    }

    #[tokio::test]
    async fn a_request_that_never_succeeds_fails_for_its_names() {
        let (server, registry) = serve();
        registry.downloads(&DownloadsQuery { names: Vec::new(), days: years() }).await.unwrap();
        let broken = Fault { package: Some("a".to_owned()), ..Fault::on(Kind::Downloads, Action::status(500)) };
        server.set_faults(FaultScript::of([broken]));
        let results = ask(&registry, &names(&["a", "b"]), years(), 365).await.unwrap();
        assert!(
            results.iter().all(|result| matches!(result, Asked::Failed(why) if why.contains("500"))),
            "{results:?}"
        );
    }
}
