//! A version's outline follows from its own text alone, whatever the version before was.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::npm::packument::{DistMember, Outline, VersionMember};

/// Returns a version's members as spelled in the text: key and raw value.
type Version = Vec<(&'static str, String)>;

const KEYS: [&str; 9] =
    ["name", "version", "dist", "scripts", "license", "x", "dependencies", "a-longer-key-than-most", "licenses"];

fn value(number: usize) -> String {
    match number % 11 {
        0 => format!("\"{number}\""),
        1 => format!("{}", number / 11 + 1),
        2 => format!("{{\"tarball\":\"t{number}\",\"shasum\":\"s\",\"fileCount\":{number}}}"),
        3 => format!("{{\"shasum\":\"s\", \"tarball\":\"t{number}\"}}"),
        4 => "{\"tarball\":\"a\",\"tarball\":\"b\"}".to_owned(),
        5 => "null".to_owned(),
        6 => format!("[{number},\"{}\"]", "long ".repeat(number % 40)),
        7 => format!("{{\"{number}\":\"^1.0.0\"}}"),
        8 => "\"escaped \\\" \\u00e9\"".to_owned(),
        9 => format!("{}.5e1", number / 11),
        _ => "\"the same\"".to_owned(),
    }
}

/// Applies a change to a version, which makes the next one.
fn changed(mut version: Version, change: (u8, usize, usize)) -> Version {
    let (what, place, number) = change;
    let key = KEYS[number % KEYS.len()];
    let at = if version.is_empty() { 0 } else { place % version.len() };
    match what {
        0 if !version.is_empty() => version[at].1 = value(number),
        1 if !version.is_empty() => drop(version.remove(at)),
        2 => version.insert(at, (key, value(number))),
        3 if !version.is_empty() => version.swap(0, at),
        // A value that continues where that of the version before ended.
        4 if !version.is_empty() && version[at].1.ends_with(|last: char| last.is_ascii_digit()) => {
            version[at].1.push('7');
        }
        _ => {}
    }
    version
}

fn versions() -> impl Strategy<Value = Vec<Version>> {
    let change = (0_u8..6, any::<prop::sample::Index>(), 0_usize..2_000);
    let change = change.prop_map(|(what, place, number)| (what, place.index(1 << 16), number));
    prop::collection::vec(prop::collection::vec(change, 0..4), 1..14).prop_map(|steps| {
        let mut version: Version = KEYS.iter().enumerate().map(|(number, key)| (*key, value(number))).collect();
        let mut versions = Vec::new();
        for changes in steps {
            version = changes.into_iter().fold(version, changed);
            versions.push(version.clone());
        }
        versions
    })
}

fn document(versions: &[Version], comma: &str, colon: &str) -> String {
    let version = |(number, members): (usize, &Version)| {
        let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\"{colon}{value}")).collect();
        format!("\"{number}.0.0\":{{{}}}", members.join(comma))
    };
    let versions: Vec<String> = versions.iter().enumerate().map(version).collect();
    format!("{{\"name\":\"a\",\"versions\":{{{}}}}}", versions.join(","))
}

/// Returns each key once, at the place of its first value, with its last one.
fn settled(version: &Version) -> Version {
    let mut settled: Version = Vec::new();
    for (key, value) in version {
        match settled.iter_mut().find(|(earlier, _)| earlier == key) {
            Some((_, earlier)) => *earlier = value.clone(),
            None => settled.push((key, value.clone())),
        }
    }
    settled
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn each_version_has_its_own_members(versions in versions(), spaced in any::<bool>()) {
        let text = if spaced { document(&versions, " ,\n", " : ") } else { document(&versions, ",", ":") };
        let mut outline = Outline::default();
        outline.read(&text).unwrap();
        prop_assert_eq!(outline.versions().len(), versions.len());
        let mut replaced = 0;
        for (found, version) in outline.versions().iter().zip(&versions) {
            let expected = settled(version);
            replaced += version.len() - expected.len();
            let members = outline.members(found);
            let own: Version = expected.clone();
            let read: Vec<(&str, String)> =
                members.iter().map(|member| (member.key.of(&text), member.value.of(&text).to_owned())).collect();
            prop_assert_eq!(&read, &own);
            for member in members {
                let value = member.value.of(&text);
                prop_assert_eq!(member.member, VersionMember::of_key(member.key.of(&text)));
                prop_assert_eq!(member.plain_string, value.starts_with('"') && !value.contains('\\'));
            }
            let dist = expected.iter().find(|(key, _)| *key == "dist").map(|(_, value)| value.as_str());
            let is_known = dist.is_some_and(|dist| dist.starts_with('{') && !dist.contains("\"b\""));
            prop_assert_eq!(outline.dist(found).is_some(), is_known);
            if let (Some(read), Some(dist)) = (outline.dist(found), dist) {
                let object: serde_json::Value = serde_json::from_str(dist).unwrap();
                for member in [DistMember::Tarball, DistMember::Shasum, DistMember::FileCount] {
                    let expected = object.get(member.key()).map(ToString::to_string);
                    prop_assert_eq!(read.raw(&text, member).map(str::to_owned), expected);
                }
            }
        }
        prop_assert_eq!(outline.replaced().len(), replaced);
    }
}
