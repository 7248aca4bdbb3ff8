//! Parses and applies the lines that a user types while the sample registry runs: edits of its world, one a line. Not
//! here: the effect of an edit on a document (`sample`).

use jiff::civil::Date;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::sample::{FaultScript, FeedFaults, World};

/// The text that `help` prints, which is also printed at the start.
pub(super) const HELP: &str = "\
publish NAME[@VERSION]     publish a version, 1.0.0 by default; makes the package if there is none
unpublish NAME[@VERSION]   unpublish a version, or the whole package, which leaves a tombstone
delete NAME                delete a package: no longer listed, 404
set NAME[@VERSION] JSON    set members of a document or a version, as {\"deprecated\":\"use b\"}; null removes one
block NAME                 respond with 451 for a name
downloads NAME DAY COUNT   set the downloads of a package on a day, as 2026-11-28
late DAY                   list no downloads of a day; landed DAY lists them again
feed [KEY = VALUE]         give the feed of changes a fault, as late_every = 7; without one, end its faults
requests                   print the number of requests so far";

/// A parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Publish { name: String, version: String },
    Unpublish { name: String, version: Option<String> },
    Delete { name: String },
    Set { name: String, version: Option<String>, members: String },
    Block { name: String },
    Downloads { name: String, day: Date, count: u64 },
    DownloadDay { day: Date, is_late: bool },
    Feed { fault: String },
    Requests,
    Help,
    Empty,
}

impl Line {
    /// Parses a line.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for an unknown line; the hint lists the commands.
    pub(super) fn parse(line: &str) -> Result<Line> {
        if let Some(fault) = line.trim().strip_prefix("feed")
            && (fault.is_empty() || fault.starts_with(' '))
        {
            return Ok(Line::Feed { fault: fault.trim().to_owned() });
        }
        let mut words = line.split_whitespace();
        let (verb, subject) = (words.next().unwrap_or_default(), words.next());
        if let Some(line) = Line::of_downloads(verb, subject, &mut words) {
            return Ok(line);
        }
        if let (true, Some(subject), Some((_, members))) = (verb == "set", subject, line.split_once(" {")) {
            let (name, version) = name_and_version(subject);
            return Ok(Line::Set { name, version, members: format!("{{{members}") });
        }
        let subject = subject.filter(|subject| !subject.ends_with('@'));
        let unknown = || Error::input(format!("{:?} is not understood", line.trim())).hint(HELP);
        if words.next().is_some() {
            return Err(unknown());
        }
        Ok(match (verb, subject.map(name_and_version)) {
            ("", _) => Line::Empty,
            ("help", None) => Line::Help,
            ("requests", None) => Line::Requests,
            ("publish", Some((name, version))) => {
                Line::Publish { name, version: version.unwrap_or_else(|| "1.0.0".to_owned()) }
            }
            ("unpublish", Some((name, version))) => Line::Unpublish { name, version },
            ("delete", Some((name, None))) => Line::Delete { name },
            ("block", Some((name, None))) => Line::Block { name },
            _ => return Err(unknown()),
        })
    }

    /// Parses a line about downloads.
    fn of_downloads<'a>(
        verb: &str,
        subject: Option<&str>,
        words: &mut (impl Iterator<Item = &'a str> + Clone),
    ) -> Option<Line> {
        let mut rest = words.clone();
        let line = match (verb, subject?) {
            ("downloads", name) => {
                let (day, count) = (rest.next()?.parse().ok()?, rest.next()?.parse().ok()?);
                Line::Downloads { name: name.to_owned(), day, count }
            }
            ("late" | "landed", day) => Line::DownloadDay { day: day.parse().ok()?, is_late: verb == "late" },
            _ => return None,
        };
        rest.next().is_none().then_some(line)
    }

    /// Returns `script` with one more fault of the feed, given as a line of TOML; without all of them if there is none.
    pub(super) fn change_feed(fault: &str, script: &FaultScript) -> Result<FaultScript> {
        let wrong = |why: String| {
            Error::input(format!("{fault:?} is no fault of the feed: {why}")).hint(
                "give a member of [feed] in a faults file, as late_every = 7, stands_still = true or back_by = 100",
            )
        };
        let known = if fault.is_empty() { FeedFaults::default() } else { script.feed.clone() };
        let mut members = toml::Table::try_from(known).map_err(|error| wrong(error.to_string()))?;
        members.extend(fault.parse::<toml::Table>().map_err(|error| wrong(error.to_string()))?);
        let feed = FeedFaults::deserialize(members).map_err(|error| wrong(error.to_string()))?;
        Ok(FaultScript { feed, ..script.clone() })
    }

    /// Applies the edit to the world. Returns a description of it; `None` if the line asks for no edit.
    pub(super) fn apply(&self, world: &mut World) -> Option<String> {
        match self {
            Line::Publish { name, version } => {
                world.publish(name, version);
                Some(format!("published {name}@{version}"))
            }
            Line::Set { name, version, members } => {
                let of = version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}@{version}"));
                Some(match world.set(name, version.as_deref(), members) {
                    true => format!("set members of {of}"),
                    false => format!("there is no {of}, or this is no JSON object: {members}"),
                })
            }
            Line::Unpublish { name, .. } | Line::Delete { name } if world.document(name).is_none() => {
                Some(format!("there is no package {name}"))
            }
            Line::Unpublish { name, version: Some(version) } => {
                world.unpublish_version(name, version);
                Some(format!("unpublished {name}@{version}"))
            }
            Line::Unpublish { name, version: None } => {
                world.unpublish(name);
                Some(format!("unpublished {name}"))
            }
            Line::Delete { name } => {
                world.delete(name);
                Some(format!("deleted {name}"))
            }
            Line::Block { name } => {
                world.block(name);
                Some(format!("blocked {name}"))
            }
            Line::Downloads { name, .. } if world.document(name).is_none() => {
                Some(format!("there is no package {name}"))
            }
            Line::Downloads { name, day, count } => {
                world.set_downloads(name, *day, *count);
                Some(format!("{count} downloads of {name} on {day}"))
            }
            Line::DownloadDay { day, is_late } => {
                world.hide_download_day(*day, *is_late);
                Some(format!("the downloads of {day} {}", if *is_late { "have not landed" } else { "have landed" }))
            }
            Line::Feed { .. } | Line::Requests | Line::Help | Line::Empty => None,
        }
    }
}

/// Splits `name` or `name@version`. The first character may be the `@` of a scope.
fn name_and_version(text: &str) -> (String, Option<String>) {
    match text.rfind('@') {
        Some(at) if at > 0 => (text[..at].to_owned(), Some(text[at + 1..].to_owned())),
        _ => (text.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_are_understood_or_refused_with_the_words_that_there_are() {
        let publish = Line::Publish { name: "@x/y".to_owned(), version: "2.0.0".to_owned() };
        assert_eq!(Line::parse(" publish @x/y@2.0.0 ").unwrap(), publish);
        assert_eq!(Line::parse("unpublish a").unwrap(), Line::Unpublish { name: "a".to_owned(), version: None });
        assert_eq!(Line::parse("").unwrap(), Line::Empty);
        let set = Line::parse(r#"set @x/y@1.0.0 {"deprecated": "use z"}"#).unwrap();
        let expected = ("@x/y".to_owned(), Some("1.0.0".to_owned()), r#"{"deprecated": "use z"}"#.to_owned());
        assert!(
            matches!(&set, Line::Set { name, version, members } if (name, version, members) == (&expected.0, &expected.1, &expected.2)),
            "{set:?}"
        );
        let day = jiff::civil::date(2026, 11, 28);
        let downloads = Line::Downloads { name: "a".to_owned(), day, count: 7 };
        assert_eq!(Line::parse("downloads a 2026-11-28 7").unwrap(), downloads);
        assert_eq!(Line::parse("late 2026-11-28").unwrap(), Line::DownloadDay { day, is_late: true });
        for bad in
            ["downloads a 2026-11-28", "downloads a 2026-02-30 1", "downloads a 2026-11-28 -1", "late", "late a b"]
        {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
        for bad in ["publish", "publish a@", "delete a@1", "delete a b", "drop a", "help me"] {
            let error = Line::parse(bad).unwrap_err();
            assert!(format!("{error:#}{error:?}").contains("unpublish NAME"), "{error:?}");
        }
    }

    #[test]
    fn a_fault_of_the_feed_is_added_to_those_that_there_are_and_ended_with_them() {
        assert_eq!(Line::parse("feed late_every = 7").unwrap(), Line::Feed { fault: "late_every = 7".to_owned() });
        let late = Line::change_feed("late_every = 7", &FaultScript::default()).unwrap();
        let both = Line::change_feed("string_seqs = true", &late).unwrap();
        assert_eq!((both.feed.late_every, both.feed.string_seqs), (Some(7), true));
        assert_eq!(Line::change_feed("", &both).unwrap(), FaultScript::default());
        for bad in ["late_every", "never = 1", "late_every = \"x\""] {
            assert!(Line::change_feed(bad, &late).is_err(), "{bad}");
        }
        assert!(Line::parse("feeds").is_err());
    }

    #[test]
    fn edits_change_the_sample_registry() {
        let mut world = World::new();
        assert_eq!(Line::parse("publish a").unwrap().apply(&mut world).unwrap(), "published a@1.0.0");
        assert!(world.document("a").is_some());
        let told = Line::parse("downloads a 2026-11-28 7").unwrap().apply(&mut world);
        assert_eq!(told.as_deref(), Some("7 downloads of a on 2026-11-28"));
        assert_eq!(world.downloads("a", jiff::civil::date(2026, 11, 28)), Some(7));
        Line::parse("delete a").unwrap().apply(&mut world).unwrap();
        assert!(world.document("a").is_none());
        for gone in ["delete a", "unpublish a", "unpublish a@1.0.0"] {
            assert_eq!(Line::parse(gone).unwrap().apply(&mut world).unwrap(), "there is no package a");
        }
        assert_eq!(world.names().count(), 0, "no tombstone of what never was");
    }
}
