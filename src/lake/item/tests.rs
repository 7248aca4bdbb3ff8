#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: &Value) -> Result<Item> {
    Item::parse(value.to_string().as_bytes(), None, "npm")
}

#[test]
fn the_id_is_the_key_of_the_payload() {
    for (value, id) in [
        (json!({"type": "partition", "payload": {"startKey": "a", "endKey": "b"}}), "v1:partition:npm:61:62"),
        (json!({"type": "partition", "payload": {"startKey": null, "endKey": null}}), "v1:partition:npm:_:_"),
        (json!({"type": "packument", "payload": {"packageName": "@x/y"}}), "v1:packument:npm:40782f79"),
        (json!({"type": "partition-set"}), "v1:partition-set:npm"),
    ] {
        let item = parse(&value).unwrap();
        assert_eq!(item.id(), id);
        // A written item is read as the same.
        assert_eq!(Item::parse(item.to_json().unwrap().as_bytes(), Some(item.kind()), "npm").unwrap(), item);
    }
}

#[test]
fn the_same_id_and_payload_are_the_same_work_whatever_priority_and_attempts_are() {
    let item = |run: &str, priority: i64| {
        let payload = json!({"endKey": "b", "startKey": "a", "run": run});
        parse(&json!({"type": "partition", "payload": payload, "priority": priority, "attempts": priority})).unwrap()
    };
    assert_eq!(item("x", 1).digest(), item("x", 2).digest());
    assert_ne!(item("x", 1).digest(), item("y", 1).digest());
}

#[test]
fn what_is_no_item_is_refused_with_the_reason() {
    for (value, why) in [
        (json!([]), "JSON object"),
        (json!(null), "JSON object"),
        (json!(["packument", null, {"packageName": "x"}, 0, 0]), "JSON object"),
        (json!({"type": "packument", "payload": ["x", null]}), "payload is no JSON object"),
        (json!({"type": 7}), "its type is no text"),
        (json!({"type": "packument", "id": 7, "payload": {"packageName": "x"}}), "its id is no text"),
        (json!({"type": "packument", "payload": {"packageName": "x"}, "attempts": -1}), "attempts is no whole number"),
        (json!({"type": "packument", "payload": {"packageName": "x"}, "priority": 0.5}), "priority is no whole number"),
        (json!({}), "no type"),
        (json!({"type": "tarball"}), "\"tarball\" is no type"),
        (json!({"type": "partition"}), "payload"),
        (json!({"type": "partition", "payload": {"startKey": "a"}}), "endKey"),
        (json!({"type": "partition", "payload": {"startkey": "a", "endKey": null}}), "startkey"),
        (json!({"type": "partition", "payload": {"startKey": "b", "endKey": "a"}}), "no name is at or above"),
        (json!({"type": "partition", "payload": {"startKey": 1, "endKey": "a"}}), "integer"),
        (json!({"type": "packument", "payload": {"packageName": ""}}), "no name"),
        (json!({"type": "packument", "payload": {"packageName": "x".repeat(5000)}}), "no name"),
        (json!({"type": "packument", "payload": {"packageName": "x", "run": "x".repeat(5000)}}), "5000 bytes"),
        (json!({"type": "packument", "id": "x", "payload": {"packageName": "x"}}), "its id is not the key"),
        (json!({"type": "packument", "id": "v1:packument:other:78", "payload": {"packageName": "x"}}), "key"),
        (json!({"type": "partition-set", "payload": {"pivots": ["a", null, "b"]}}), "null between"),
        (json!({"type": "partition-set", "payload": {"pivots": ["b", "a"]}}), "pivots"),
    ] {
        let error = parse(&value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.report().contains(why), "{value}: {}", error.report());
    }
    let elsewhere = br#"{"type":"packument","payload":{"packageName":"x"}}"#;
    let error = Item::parse(elsewhere, Some(ItemKind::Partition), "npm").unwrap_err();
    assert!(error.report().contains("a partition belongs here"), "{}", error.report());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", bytes in any::<Vec<u8>>()) {
        for arrived in [text.as_bytes(), &bytes] {
            let _ = Item::parse(arrived, None, "npm");
        }
    }
}
