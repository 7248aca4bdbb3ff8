//! Documents made to cost a reader far more than their size.

use arrow::array::AsArray;
use bytes::Bytes;

use super::*;

/// Members are compared to find repeated keys, but not each with each when they are many.
#[test]
fn a_version_of_very_many_members_is_read_quickly_and_the_last_of_a_key_counts() {
    let members: Vec<String> = (0..300_000).map(|n| format!("\"m{n}\":{n}")).collect();
    let body = format!(
        r#"{{"name":"a","versions":{{"0.0.1":{{"x":1}},"1.0.0":{{"license":"one",{},"license":"two"}}}}}}"#,
        members.join(",")
    );
    let mut tables = DocumentTables::new(false);
    let input =
        DocumentInput { name: "a", announced_rev: "1-a", representation: Representation::Full, bytes: &body.into() };
    assert_eq!(tables.push(input).outcome, Outcome::Present);
    let batches = tables.take_batches().unwrap();
    let of = |table| batches.iter().find(|(kind, _)| *kind == table).map(|(_, rows)| rows).unwrap();
    assert_eq!(of(TableKind::Versions)["license"].as_string::<i32>().value(1), "two");
    assert_eq!(of(TableKind::Quirks)["code"].as_string::<i32>().value(0), "duplicate_key");
}

/// Documents that cost a reader many times their size.
#[test]
fn documents_that_would_use_too_much_memory_are_malformed() {
    let of = |count: usize, element: &str| vec![element; count].join(",");
    for (what, body) in [
        ("stars", format!(r#"{{"name":"a","users":{{{}}}}}"#, of(1_100_000, "\"\":0"))),
        ("keywords", format!(r#"{{"name":"a","keywords":[{}]}}"#, of(1_100_000, "0"))),
        (
            "dependencies",
            format!(r#"{{"name":"a","versions":{{"1":{{"dependencies":[{}]}}}}}}"#, of(1_100_000, "\"b\"")),
        ),
        ("repeated members", format!(r#"{{"versions":{{"1":{{{}}}}}}}"#, of(200_000, "\"\":0"))),
        ("versions", format!(r#"{{"versions":{{{}}}}}"#, of(1_100_000, "\"\":0"))),
    ] {
        let mut tables = DocumentTables::new(false);
        let input = DocumentInput {
            name: "a",
            announced_rev: "1-a",
            representation: Representation::Full,
            bytes: &body.into(),
        };
        let decoded = tables.push(input);
        assert_eq!(decoded.outcome, Outcome::Malformed, "{what}");
        assert!(decoded.detail.is_some());
        assert_eq!(tables.buffered_bytes(), 0, "{what}");
    }
}

/// Rows are passed on in the middle of a document, and are the same rows.
#[test]
fn a_large_document_is_drained_in_parts_that_join_to_the_same_rows_and_is_not_copied() {
    let version = |n: usize| {
        // Every third version differs from the one before it.
        let dependency = |index| format!("\"dependency-of-a-long-name-{index}\":\"^{index}.{}.0\"", n / 3);
        let dependencies: Vec<String> = (0..200).map(dependency).collect();
        let scripts = format!("{{\"test\":\"node {}\"}}", n / 3);
        format!(
            "\"1.0.{n}\":{{\"dependencies\":{{{}}},\"scripts\":{scripts},\"license\":\"MIT\"}}",
            dependencies.join(",")
        )
    };
    let versions: Vec<String> = (0..6_500).map(version).collect();
    let body = Bytes::from(format!(r#"{{"name":"a","versions":{{{}}}}}"#, versions.join(",")));
    let input = DocumentInput { name: "a", announced_rev: "1-a", representation: Representation::Full, bytes: &body };
    let before = DocumentInput { name: "Z", bytes: &Bytes::from_static(b"{\"name\":\"Z\"}"), ..input };
    let mut whole = DocumentTables::new(true);
    whole.push(before);
    let decoded = whole.push(input);
    let whole = whole.take_batches().unwrap();

    let mut parts = Vec::new();
    let mut drains = 0;
    let mut tables = DocumentTables::new(true);
    tables.push(before);
    let drained = tables.push_and_drain(input, &mut |rows| {
        drains += 1;
        parts.extend(rows);
        Ok(())
    });
    assert_eq!(drained.unwrap(), decoded);
    assert!(drains > 0, "nothing was handed on before the end");
    parts.extend(tables.take_batches().unwrap());
    let (_, raw) = parts.iter().rfind(|(kind, _)| *kind == TableKind::Packuments).unwrap();
    let json = raw.column_by_name("json").unwrap().as_string_view();
    assert_eq!(json.value(json.len() - 1).as_ptr(), body.as_ptr(), "the document was copied");
    let joined = |batches: &[(TableKind, arrow::array::RecordBatch)], table| {
        let of = batches.iter().filter(|(kind, _)| *kind == table).map(|(_, rows)| super::as_stored(table, rows));
        let of: Vec<_> = of.collect();
        arrow::compute::concat_batches(&crate::table::schema(table), &of).unwrap()
    };
    for table in TableKind::OF_DOCUMENTS {
        assert!(joined(&parts, table) == joined(&whole, table), "{table}");
    }
    assert_eq!(joined(&whole, TableKind::Dependencies).num_rows(), 1_300_000);
}
