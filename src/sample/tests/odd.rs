//! The odd world over HTTP: all of it is listed, and served byte for byte to correct requests.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

#[tokio::test]
async fn every_odd_document_is_listed_and_served() {
    let server = serve(World::odd());
    let listed: serde_json::Value = serde_json::from_str(&get(&server, "/_all_docs").await.1).unwrap();
    let listed = listed["rows"].as_array().unwrap().clone();
    let documents = odd_documents();
    assert_eq!(listed.len(), documents.len());
    let client = client();
    for document in documents {
        let row = listed.iter().find(|row| row["id"] == document.name.as_str()).unwrap();
        assert_eq!(row["value"]["rev"], document.revision.as_str());
        let path = utf8_percent_encode(&document.name, NON_ALPHANUMERIC).to_string();
        let url = format!("{}/{path}", server.url());
        let answer = client.get(url).header("accept", "application/json").send().await.unwrap();
        let bytes = answer.bytes().await.unwrap();
        if document.name.split('/').any(|segment| matches!(segment, "." | "..")) {
            assert_ne!(bytes, document.bytes, "{}", document.name);
        } else {
            assert_eq!(bytes, document.bytes, "{}", document.name);
        }
    }
}

#[tokio::test]
async fn every_odd_document_has_an_abbreviated_form() {
    let world = World::odd();
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    for name in names {
        let (full, short) = (world.document(&name).unwrap(), world.abbreviated_document(&name).unwrap());
        assert!(short == full || short.starts_with(b"{"), "{name}");
    }
}

#[tokio::test]
async fn a_dot_segment_is_another_page() {
    let server = serve(World::odd());
    let root = get(&server, "/").await;
    assert_eq!(get(&server, "/@x%2F..").await, root);
    assert_eq!(server.requests()[1].kind, Kind::Root);
}
