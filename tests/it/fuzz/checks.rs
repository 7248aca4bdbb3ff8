//! The properties of every decoder for any bytes: one function for each target, which panics when a property fails.
//!
//! The bounded run of the tests (`mod.rs`) and the open-ended one of `fuzz/`, which sees only this file, share it. So
//! it names only the library, and crates that both have.

use all_docs::error::{ErrorKind, Result};
use all_docs::lake::{LakeInfo, Manifest, Partition, PartitionSet};
use all_docs::npm::{
    ChangeRow, ChangesPage, Days, DownloadsQuery, NamedCounts, Outcome, PackageName, Page, Representation, RowsDecoder,
    RowsPage, parse_day, parse_name_list, person::Person, semver::Semver, timestamp,
};
use all_docs::registry::{BudgetSnapshot, Credentials, Origin};
use all_docs::script::read_pivots;
use all_docs::table::TableKind;
use all_docs::table::events::{Compared, Event, EventOf, compare};
use all_docs::table::{Decoded, DocumentInput, DocumentTables};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::DataType;
use bytes::Bytes;
use jiff::civil::Date;
use serde_json::Value;
use url::Url;

/// Pivots longer than this only make the engine slower, not odder.
const MAX_PIVOTS_BYTES: usize = 4 << 10;

/// A page has the same content however its body is cut, and loses no row of a page that any reader of JSON accepts.
pub fn page(bytes: &[u8]) {
    let whole: Result<Page> = same_however_cut(bytes);
    if let Some(rows) = rows_of_json(bytes, "rows") {
        let page = whole.expect("JSON with rows is a page");
        assert_eq!(page.rows.len() + usize::try_from(page.unusable_rows).unwrap(), rows.len());
        assert!(page.rows.iter().all(|row| rows.iter().any(|other| other["id"] == row.name.as_str())));
    }
}

/// The same for a page of the feed, which must say where to continue.
pub fn changes(bytes: &[u8]) {
    let whole: Result<ChangesPage> = same_however_cut(bytes);
    assert!(whole.as_ref().map_or(true, |page| page.last_seq.is_some()));
    if let (Some(rows), Ok(page)) = (rows_of_json(bytes, "results"), whole) {
        assert_eq!(page.rows.len() + usize::try_from(page.unusable_rows).unwrap(), rows.len());
        let is_of = |row: &ChangeRow, json: &Value| {
            json["id"] == row.name.as_str()
                && json["changes"][0]["rev"] == row.rev.as_str()
                && (json["deleted"] == true) == row.is_deleted
        };
        assert!(page.rows.iter().all(|row| rows.iter().any(|json| is_of(row, json))));
    }
}

fn same_however_cut<P: RowsPage + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Result<P> {
    let whole = decode([bytes]);
    let piece_bytes = 1 + usize::from(bytes.last().copied().unwrap_or_default() % 32);
    let in_pieces = decode(bytes.chunks(piece_bytes));
    match (&whole, &in_pieces) {
        (Ok(whole), Ok(in_pieces)) => assert_eq!(whole, in_pieces, "in pieces of {piece_bytes} bytes"),
        (Err(_), Err(_)) => {}
        _ => panic!("whole {whole:?}, in pieces of {piece_bytes} bytes {in_pieces:?}"),
    }
    whole
}

fn decode<'a, P: RowsPage>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<P> {
    let mut decoder = RowsDecoder::new(10);
    for piece in pieces {
        decoder.feed(piece)?;
    }
    decoder.finish()
}

/// Returns the rows as any reader of JSON sees them; `None` where readers may differ: for escaped and repeated keys.
fn rows_of_json(bytes: &[u8], key: &str) -> Option<Vec<Value>> {
    let quoted = format!("\"{key}\"");
    let keys = bytes.windows(quoted.len()).filter(|window| *window == quoted.as_bytes()).count();
    if bytes.contains(&b'\\') || keys != 1 {
        return None;
    }
    let Ok(Value::Object(mut members)) = serde_json::from_slice(bytes) else { return None };
    match members.remove(key) {
        Some(Value::Array(rows)) => Some(rows),
        _ => None,
    }
}

/// A document is kept byte for byte and has rows under its own name only. It is not malformed where any reader of JSON
/// calls it a packument, and it has the same rows whatever came before it.
pub fn packument(bytes: &[u8]) {
    comparison(bytes);
    const NAME: &str = "@fuzz/name";
    let representation = if bytes.len().is_multiple_of(2) { Representation::Full } else { Representation::Abbreviated };
    let document = Bytes::copy_from_slice(bytes);
    let input = DocumentInput { name: NAME, announced_rev: "3-announced", representation, bytes: &document };
    let mut tables = DocumentTables::new(true);
    let decoded = tables.push(input);
    let first = tables.take_batches().unwrap();
    assert_eq!(tables.push(input), decoded);
    assert_eq!(tables.take_batches().unwrap(), first, "the same document has other rows the second time");

    let rows = |table| first.iter().filter(|(kind, _)| *kind == table).map(|(_, rows)| rows.num_rows()).sum::<usize>();
    assert!(first.iter().all(|(_, rows)| texts(rows, "name").iter().all(|name| name.as_deref() == Some(NAME))));
    assert_eq!(rows(TableKind::Packuments), 1);
    let raw = &first.iter().find(|(kind, _)| *kind == TableKind::Packuments).unwrap().1;
    let json = texts(raw, "json");
    let kept = match &json[0] {
        Some(json) => json.as_bytes(),
        None => raw.column_by_name("bytes").unwrap().as_binary::<i32>().value(0),
    };
    assert_eq!(kept, bytes);

    let versions: Vec<_> = first
        .iter()
        .filter(|(kind, _)| *kind == TableKind::Versions)
        .flat_map(|(_, rows)| texts(rows, "version"))
        .collect();
    let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(distinct.len(), versions.len(), "a version twice");
    match decoded.outcome {
        Outcome::Malformed => assert_eq!(first.len(), 1, "rows of a malformed document"),
        Outcome::Present | Outcome::Tombstone => assert_eq!(rows(TableKind::Packages), 1),
        other => panic!("a document alone is never {other:?}"),
    }
    agrees_with_another_reader(bytes, &decoded, &versions);
}

fn agrees_with_another_reader(bytes: &[u8], decoded: &Decoded, versions: &[Option<String>]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(bytes) else { return };
    let is_packument = ["_id", "name", "time", "versions"]
        .iter()
        .any(|member| members.get(*member).is_some_and(|value| !value.is_null()));
    assert_eq!(decoded.outcome != Outcome::Malformed, is_packument, "{decoded:?}");
    if is_packument {
        let objects = members.get("versions").and_then(Value::as_object).into_iter().flatten();
        let mut expected: Vec<_> =
            objects.filter(|(_, entry)| entry.is_object()).map(|(key, _)| Some(key.clone())).collect();
        expected.sort_unstable();
        let mut versions = versions.to_vec();
        versions.sort_unstable();
        assert_eq!(versions, expected);
    }
}

/// Returns a column of text, which is a dictionary where rows repeat each other.
fn texts(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = arrow::compute::cast(rows.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// A pivots file gives ascending keys, or an error that names the file.
pub fn pivots(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes.get(..MAX_PIVOTS_BYTES).unwrap_or(bytes));
    let suffix = [".js", ".json", ".mjs", ".txt"][bytes.len() % 4];
    match read_pivots(&text, &format!("pivots{suffix}")) {
        Ok(pivots) => {
            assert!(pivots.keys().windows(2).all(|pair| pair[0] < pair[1]));
            assert!(pivots.keys().iter().all(|key| !key.is_empty()));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Input, "{}", error.report()),
    }
}

/// Counts of downloads are those that any reader of JSON sees, each at its day within the period, or an error.
pub fn downloads(bytes: &[u8]) {
    let days = Days::new(Date::constant(2026, 11, 22), Date::constant(2026, 11, 28)).unwrap();
    for names in [&[][..], &["a"], &["a", "b"]] {
        let query = DownloadsQuery { names: names.iter().map(|&name| name.into()).collect(), days };
        let decoded = match query.decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Network, "{}", error.report());
                continue;
            }
        };
        assert_eq!(decoded.len(), names.len().max(1));
        let json: Value = serde_json::from_slice(bytes).unwrap();
        for (place, counts) in decoded.iter().enumerate() {
            let of = if names.len() > 1 { &json[names[place]] } else { &json };
            let counts = match counts {
                NamedCounts::Counts(counts) => counts,
                NamedCounts::Unknown => {
                    assert!(json.get(names[place]).is_some_and(Value::is_null));
                    continue;
                }
                NamedCounts::LeftOut => {
                    assert!(json.get(names[place]).is_none());
                    continue;
                }
            };
            assert_eq!(counts.counts.len(), counts.days.count());
            assert!(counts.days.first() >= days.first() && counts.days.last() <= days.last());
            let listed = of["downloads"].as_array().unwrap();
            assert_eq!(counts.counts.iter().flatten().count(), listed.len());
            for entry in listed {
                let day = parse_day(entry["day"].as_str().unwrap()).unwrap();
                let count = counts.counts[counts.days.place(day).unwrap()];
                assert_eq!(count, Some(entry["downloads"].as_u64().unwrap()));
            }
        }
    }
}

/// Credentials are read from anything, and unusable ones are reported. Zero bytes divide the parts: files, a token.
pub fn npmrc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let files: Vec<&str> = text.split('\0').collect();
    let value_of = |name: &str| (name.len() < 3).then(|| name.repeat(2));
    let credentials = Credentials::from_npmrc(files.iter().copied(), value_of);
    assert!(credentials.notes().iter().all(|note| !note.is_empty()));
    let _ = format!("{credentials:?}");
    let token = files.last().copied().unwrap_or_default();
    assert!(
        credentials.with_npm_token(token).is_ok()
            || token.trim().is_empty()
            || !token.trim().is_ascii()
            || token.contains(char::is_control)
    );
}

/// A list of names gives names without white space around them, or an error that names the list. The names, one a line,
/// are the same list.
pub fn name_list(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let names = match parse_name_list(&text) {
        Ok(names) => names,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Input, "{}", error.report()),
    };
    assert!(names.iter().all(|name| !name.as_str().is_empty() && name.as_str().trim() == name.as_str()));
    // An array may hold names that no line can.
    let is_in_lines = |name: &PackageName| !name.as_str().contains(['#', '\n', '"', '{', '}', '[', ']', ',']);
    let lines: Vec<&str> = names.iter().filter(|name| is_in_lines(name)).map(PackageName::as_str).collect();
    let text = format!("#\n{}", lines.join("\n"));
    assert_eq!(parse_name_list(&text).unwrap().iter().map(PackageName::as_str).collect::<Vec<_>>(), lines);
}

/// The small files of a lake are read or refused, and have the same content when they are written again.
pub fn lake_files(bytes: &[u8]) {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        bytes: &[u8],
    ) -> Option<T> {
        let read: T = serde_json::from_slice(bytes).ok()?;
        let written = serde_json::to_vec(&read).unwrap();
        assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), read);
        Some(read)
    }
    let _ = (again::<LakeInfo>(bytes), again::<BudgetSnapshot>(bytes));
    if let Some(manifest) = again::<Manifest>(bytes) {
        assert!(manifest.partition.file_stem().len() <= 200);
    }
    if let Some(set) = again::<PartitionSet>(bytes) {
        let names = set.boundaries.iter().map(String::as_str).chain(["", "a", "\u{10ffff}"]);
        assert!(names.into_iter().all(|name| set.get(set.index_of(name)).contains(name)));
    }
    if let Ok(stem) = std::str::from_utf8(bytes) {
        let _ = Partition::from_file_stem(stem);
    }
}

/// Names, addresses, numbers and times: a name's address lies below its registry and leads back to the name.
pub fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = (Semver::parse(&text), Person::parse(&text), timestamp::parse_quoted_micros(&text));
    let name = PackageName::from_spec(&text);
    assert!(text.starts_with(name.as_str()));
    if let Some(segment) = name.path_segment() {
        let base = Url::parse("https://registry.example/base/").unwrap();
        let url = base.join(&segment).unwrap();
        assert_eq!(url.as_str(), format!("{base}{segment}"));
        let clear = percent_encoding::percent_decode_str(&segment).decode_utf8().unwrap();
        assert_eq!(clear, name.as_str());
    }
    if let Ok(origin) = Origin::parse(&text, None) {
        assert!(origin.registry_url.path().ends_with('/') && origin.replicate_url.path().ends_with('/'));
        assert!(origin.name.starts_with(|c: char| c.is_ascii_lowercase()));
    }
}

/// A comparison accepts any two documents, and finds nothing between a document and itself.
fn comparison(bytes: &[u8]) {
    const OTHER: &[u8] =
        br#"{"_id":"a","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"scripts":{"install":"x"}}},
        "time":{"1.0.0":"2026-01-01T00:00:00.000Z","2.0.0":"2026-01-02T00:00:00.000Z"},"maintainers":[{"name":"b"}]}"#;
    let [half, rest] = [&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]];
    let spaced = [bytes, b" "].concat();
    for representation in [Representation::Full, Representation::Abbreviated] {
        let side = |bytes| Some(Compared { representation, bytes });
        assert!(compare("a", side(bytes), side(&spaced)).is_empty());
        for (old, new) in [(bytes, OTHER), (OTHER, bytes), (half, rest), (half, bytes)] {
            for happening in compare("a", side(old), side(new)) {
                let event = Event::new(EventOf { name: "a", rev: "1-x", seq: None }, happening);
                assert!(event.has_its_id());
            }
        }
        assert!(compare("a", side(bytes), None).len() <= 1 && compare("a", None, side(bytes)).len() <= 1);
    }
}
