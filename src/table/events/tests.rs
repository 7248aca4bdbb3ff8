#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::npm::Representation;

fn side(text: &str) -> Compared<'_> {
    Compared { representation: Representation::Full, bytes: text.as_bytes() }
}

/// Compares two documents, and writes each happening on a line: `kind version subject: before > after`.
fn told(old: &str, new: &str) -> Vec<String> {
    let documents = [old, new].map(|text| (!text.is_empty()).then(|| side(text)));
    compare("a", documents[0], documents[1]).into_iter().map(line).collect()
}

fn line(happening: Happening) -> String {
    let Happening { kind, version, subject, before, after } = happening;
    let word = |word: Option<String>| word.unwrap_or_else(|| "-".to_owned());
    format!("{kind} {} {}: {} > {}", word(version), word(subject), word(before), word(after))
}

/// Makes a document of versions, each `number {members}`, published in this order, and of more members.
fn document(versions: &[(&str, &str)], more: &str) -> String {
    let entries: Vec<String> = versions.iter().map(|(key, members)| format!(r#""{key}":{{{members}}}"#)).collect();
    let times: Vec<String> = versions
        .iter()
        .enumerate()
        .map(|(place, (key, _))| format!(r#""{key}":"2026-01-{:02}T00:00:00.000Z""#, place + 1))
        .collect();
    let latest = versions.last().map_or("0.0.0", |(key, _)| key);
    format!(
        r#"{{"_id":"a","name":"a","dist-tags":{{"latest":"{latest}"}},"versions":{{{}}},"time":{{{}}}{more}}}"#,
        entries.join(","),
        times.join(",")
    )
}

const TOMBSTONE: &str =
    r#"{"_id":"a","name":"a","time":{"unpublished":{"time":"2026-01-01T00:00:00.000Z","versions":["1.0.0"]}}}"#;

#[test]
fn a_package_comes_and_goes_as_one_event() {
    let live = document(&[("1.0.0", ""), ("1.1.0", "")], "");
    let cases = [
        ("", live.as_str(), "package_added"),
        (&live, "", "package_removed"),
        (&live, TOMBSTONE, "package_unpublished"),
        (TOMBSTONE, &live, "package_restored"),
    ];
    for (old, new, kind) in cases {
        assert_eq!(told(old, new), [format!("{kind} - -: - > -")]);
    }
    let later = TOMBSTONE.replace("2026", "2027");
    let malformed = r#"{"versions":"#;
    let silent = [("", ""), ("", TOMBSTONE), (TOMBSTONE, ""), (TOMBSTONE, later.as_str()), (&live, &live)];
    for (old, new) in silent.into_iter().chain([(malformed, live.as_str()), (&live, malformed), ("", malformed)]) {
        assert!(told(old, new).is_empty(), "{old} > {new}: {:?}", told(old, new));
    }
}

#[test]
fn versions_and_their_deprecation() {
    let old = document(&[("1.0.0", ""), ("1.1.0", r#""deprecated":"old""#), ("1.2.0", r#""deprecated":"x""#)], "")
        .replace(r#""time":{"#, r#""time":{"0.9.0":"2025-01-01T00:00:00.000Z","#);
    let new = document(
        &[("0.9.0", ""), ("1.0.0", r#""deprecated":"bad""#), ("1.1.0", ""), ("2.0.0", r#""deprecated":true"#)],
        "",
    );
    let expected = [
        "version_republished 0.9.0 -: - > -",
        "deprecated 1.0.0 -: - > bad",
        "undeprecated 1.1.0 -: old > -",
        "version_published 2.0.0 -: - > -",
        "deprecated 2.0.0 -: - > ",
        "version_unpublished 1.2.0 -: - > -",
        "dist_tag_moved 2.0.0 latest: 1.2.0 > 2.0.0",
    ];
    assert_eq!(told(&old, &new), expected);
}

#[test]
fn tags_maintainers_license_and_repository() {
    let of = |tags: &str, maintainers: &str, license: &str, repository: &str| {
        let more = format!(r#","maintainers":[{maintainers}],"license":{license},"repository":{repository}"#);
        document(&[("1.0.0", "")], &more).replace(r#"{"latest":"1.0.0"}"#, &format!("{{{tags}}}"))
    };
    let old =
        of(r#""latest":"1.0.0","old":"1.0.0""#, r#"{"name":"ann","email":"a@x"}"#, r#""MIT""#, r#"{"url":"git://a"}"#);
    let new = of(r#""latest":"0.1.0","new":"1.0.0""#, r#""bob <b@x>""#, r#"{"type":"ISC"}"#, r#""git://b""#);
    let expected = [
        "dist_tag_moved 0.1.0 latest: 1.0.0 > 0.1.0",
        "dist_tag_added 1.0.0 new: - > 1.0.0",
        "dist_tag_removed 1.0.0 old: 1.0.0 > -",
        "maintainer_added - bob: - > b@x",
        "maintainer_removed - ann: a@x > -",
        "license_changed - -: MIT > ISC",
        "repository_changed - -: git://a > git://b",
    ];
    assert_eq!(told(&old, &new), expected);
    // The abbreviated form lacks people, license and repository.
    let short = Compared { representation: Representation::Abbreviated, bytes: new.as_bytes() };
    let kinds: Vec<_> = compare("a", Some(side(&old)), Some(short)).into_iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [EventKind::DistTagMoved, EventKind::DistTagAdded, EventKind::DistTagRemoved]);
}

#[test]
fn a_new_version_is_compared_with_the_one_before_it() {
    const OLD: &str =
        r#""_npmUser":{"name":"ann"},"scripts":{"install":"make","test":"t"},"dependencies":{"x":"1","y":"2"}"#;
    const NEW: &str = r#""_npmUser":{"name":"eve","trustedPublisher":{"id":"github"}},
        "scripts":{"install":"make all","postinstall":"curl","test":"u"},
        "dependencies":{"y":"3","z":"1"},"devDependencies":{"w":"1"},
        "dist":{"attestations":{"provenance":{"predicateType":"slsa"}}}"#;
    let without_tag = |text: String| text.replace("dist-tags", "other");
    let base = [("1.0.0", OLD), ("2.0.0", "")];
    let fix = without_tag(document(&[base[0], base[1], ("1.0.1", NEW)], ""));
    let expected = [
        "version_published 1.0.1 -: - > -",
        "dependency_added 1.0.1 z: - > 1",
        "dependency_removed 1.0.1 x: 1 > -",
        "publisher_new 1.0.1 eve: ann > eve",
        "install_script_changed 1.0.1 install: make > make all",
        "install_script_added 1.0.1 postinstall: - > curl",
        "provenance_gained 1.0.1 -: - > slsa",
        "trusted_publishing_gained 1.0.1 -: - > github",
    ];
    assert_eq!(told(&without_tag(document(&base, "")), &fix), expected);
    let back = without_tag(document(&[base[0], base[1], ("1.0.1", NEW), ("1.0.2", OLD)], ""));
    let expected = [
        "version_published 1.0.2 -: - > -",
        "dependency_added 1.0.2 x: - > 1",
        "dependency_removed 1.0.2 z: 1 > -",
        "install_script_changed 1.0.2 install: make all > make",
        "install_script_removed 1.0.2 postinstall: curl > -",
        "provenance_lost 1.0.2 -: slsa > -",
        "trusted_publishing_lost 1.0.2 -: github > -",
    ];
    assert_eq!(told(&fix, &back), expected);
    // The dependencies of the newest version are compared with those of a version that was there before.
    let both = told(&without_tag(document(&base, "")), &back);
    assert_eq!(both.iter().filter(|line| line.starts_with("dependency")).count(), 0, "{both:?}");
    assert_eq!(both.iter().filter(|line| line.starts_with("publisher_new")).count(), 1);
}

#[test]
fn long_texts_are_cut() {
    let long = "ü".repeat(9_000);
    let new = document(&[("1.0.0", &format!(r#""deprecated":"{long}""#))], "");
    let found = compare("a", Some(side(&document(&[("1.0.0", "")], ""))), Some(side(&new)));
    let after = found[0].after.as_deref().unwrap();
    assert!(after.len() < 4_200 && after.ends_with('…'));
}

#[test]
fn an_id_depends_on_what_happened_and_not_on_when() {
    let of = EventOf { name: "a", rev: "2-x", seq: Some("7") };
    let event = Event::new(of, Happening::of(EventKind::PackageAdded));
    let again = Event::new(EventOf { seq: None, ..of }, Happening::of(EventKind::PackageAdded));
    assert_eq!((event.id.len(), &event.id), (32, &again.id));
    let moved = |before: &str, after: &str| Happening {
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
        ..Happening::of(EventKind::DistTagMoved)
    };
    let others = [
        Event::new(EventOf { rev: "3-x", ..of }, Happening::of(EventKind::PackageAdded)),
        Event::new(of, Happening::of(EventKind::PackageRestored)),
        Event::new(of, moved("ab", "c")),
        Event::new(of, moved("a", "bc")),
        Event::new(of, Happening { before: None, ..moved("", "abc") }),
    ];
    let mut ids: Vec<&str> = others.iter().map(|event| event.id.as_str()).chain([event.id.as_str()]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), others.len() + 1);
}

#[test]
fn events_are_read_back() {
    let of = EventOf { name: "a", rev: "2-x", seq: Some("7") };
    let mut events = [
        Event::new(of, Happening::of(EventKind::PackageAdded)),
        Event::new(
            EventOf { seq: None, ..of },
            Happening { subject: Some("latest".to_owned()), ..Happening::of(EventKind::DistTagMoved) },
        ),
    ];
    let batch = event_batch(&events, 5).unwrap();
    assert_eq!(batch.schema(), event_schema());
    events.iter_mut().for_each(|event| event.seen_at_us = 5);
    assert_eq!(events_of(&batch).unwrap(), events);
    assert!(events_of(&batch.project(&[0, 1, 2]).unwrap()).is_err());
    let line = serde_json::to_string(&events[0]).unwrap();
    assert!(line.contains(r#""seen_at":"1970-01-01T00:00:00.000005Z","seq":"7","name":"a""#), "{line}");
}

#[test]
fn each_kind_has_a_text_of_its_own() {
    for kind in EventKind::ALL {
        assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        assert!(kind.doc().ends_with('.'));
    }
}

proptest! {
    /// A document has no events against itself, and each pair has the same ones each time.
    #[test]
    fn a_comparison_is_a_function_of_both_documents(
        old in proptest::collection::vec((0..4_u8, 0..4_u8, 0..4_u8), 0..6),
        new in proptest::collection::vec((0..4_u8, 0..4_u8, 0..4_u8), 0..6),
    ) {
        let text = |versions: &[(u8, u8, u8)]| {
            let keys: Vec<(String, String)> = versions
                .iter()
                .map(|(major, user, script)| {
                    let members = format!(
                        r#""_npmUser":{{"name":"u{user}"}},"scripts":{{"install":"s{script}"}},"dependencies":{{"d{script}":"1"}}"#
                    );
                    (format!("{major}.{script}.0"), members)
                })
                .collect();
            let keys: Vec<(&str, &str)> = keys.iter().map(|(key, members)| (key.as_str(), members.as_str())).collect();
            document(&keys, "")
        };
        let (old, new) = (text(&old), text(&new));
        prop_assert!(told(&old, &old).is_empty());
        prop_assert!(told(&old, &format!("{old} ")).is_empty(), "white space is no event");
        prop_assert_eq!(told(&old, &new), told(&old, &new));
        let published = told(&old, &new).iter().filter(|line| line.starts_with("version_published")).count();
        let unpublished = told(&new, &old).iter().filter(|line| line.starts_with("version_unpublished")).count();
        prop_assert_eq!(published, unpublished);
    }
}
