//! The effects of edits on the listing, the documents and the feed.

use serde_json::Value;

use super::super::changes;
use super::super::feed_faults::FeedPlay;
use super::*;

fn json(world: &World, name: &str) -> Value {
    serde_json::from_slice(&world.document(name).unwrap()).unwrap()
}

fn feed(world: &World, query: &str) -> Value {
    serde_json::from_str(&changes::page(world, query, &mut FeedPlay::default()).unwrap()).unwrap()
}

#[test]
fn publishing_adds_a_version_and_moves_the_row_to_the_end_of_the_feed() {
    let mut world = small_world();
    let before = world.counts();
    world.publish("a", "1.1.0");
    let document = json(&world, "a");
    assert_eq!(document["dist-tags"]["latest"], "1.1.0");
    assert_eq!(document["versions"].as_object().unwrap().len(), 2);
    assert_eq!(document["_rev"], world.revision("a").unwrap());
    assert!(world.revision("a").unwrap().starts_with("2-"));
    assert_eq!(document["time"]["modified"], document["time"]["1.1.0"]);
    let rows = feed(&world, "");
    assert_eq!(rows["results"].as_array().unwrap().len(), 4);
    assert_eq!(rows["results"][3]["id"], "a");
    assert!(rows["results"][3]["seq"].as_u64().unwrap() > before.update_seq);
    assert_eq!(rows["last_seq"], world.counts().update_seq);
}

#[test]
fn publishing_makes_packages_also_in_place_of_what_is_no_packument() {
    let mut world = World::new();
    world.put_raw("broken", "3-x", "<html>");
    world.publish("broken", "1.0.0");
    world.publish("new", "0.0.1");
    assert!(world.revision("broken").unwrap().starts_with("4-"));
    assert_eq!(json(&world, "broken")["dist-tags"]["latest"], "1.0.0");
    assert_eq!(json(&world, "new")["name"], "new");
}

#[test]
fn an_unpublished_version_leaves_its_time() {
    let mut world = small_world();
    world.publish("a", "1.1.0");
    world.unpublish_version("a", "1.1.0");
    let document = json(&world, "a");
    assert_eq!(document["dist-tags"]["latest"], "1.0.0");
    assert!(document["versions"].get("1.1.0").is_none() && document["time"].get("1.1.0").is_some());
}

#[test]
fn an_unpublished_package_is_listed_with_a_tombstone() {
    let mut world = small_world();
    world.unpublish("a");
    let document = json(&world, "a");
    assert!(document.get("versions").is_none() && document.get("dist-tags").is_none());
    assert_eq!(document["time"]["unpublished"]["versions"], serde_json::json!(["1.0.0"]));
    assert!(world.names().any(|name| name == "a"));
    assert!(feed(&world, "")["results"][3].get("deleted").is_none());
}

#[tokio::test]
async fn a_deleted_package_is_gone_and_its_row_is_marked() {
    let server = serve(small_world());
    server.world().delete("a");
    server.world().delete_leaving_tombstone("b");
    assert_eq!(get(&server, "/a").await, (404, r#"{"error":"Not found"}"#.to_owned()));
    let (status, body) = get(&server, "/b").await;
    assert_eq!((status, body.contains("unpublished")), (200, true));
    let rows = feed(&server.world(), "");
    assert_eq!(rows["results"][2]["deleted"], true);
    assert_eq!(rows["results"][2]["id"], "a");
    assert_eq!(server.world().counts().packages, 2);
    server.world().publish("a", "5.0.0");
    assert!(server.world().revision("a").unwrap().starts_with("3-"));
    assert_eq!(feed(&server.world(), "")["results"].as_array().unwrap().len(), 4);
}

#[test]
fn events_can_be_late_or_missing() {
    let mut world = small_world();
    let seen = world.counts().update_seq;
    world.publish("a", "2.0.0");
    assert!(world.place_change_at("a", 1));
    assert_eq!(feed(&world, &format!("since={seen}"))["results"], serde_json::json!([]));
    assert_eq!(feed(&world, "")["results"][0]["id"], "a");
    world.publish("a", "3.0.0");
    world.forget_change("a");
    assert!(!feed(&world, "").to_string().contains("\"a\""));
    world.publish("a", "4.0.0");
    assert_eq!(feed(&world, "")["results"].as_array().unwrap().len(), 4);
}

#[test]
fn pages_of_the_feed_continue_from_their_last_seq() {
    let mut world = small_world();
    world.publish("b", "2.0.0");
    let (mut since, mut ids) = (0, Vec::new());
    loop {
        let page = feed(&world, &format!("since={since}&limit=2"));
        let rows = page["results"].as_array().unwrap().clone();
        since = page["last_seq"].as_u64().unwrap();
        ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["@s/p", "a", "-", "b"]);
    assert_eq!(since, world.counts().update_seq);
}

#[test]
fn the_same_edits_give_the_same_bytes() {
    let make = || {
        let mut world = small_world();
        world.publish("a", "2.0.0");
        world.unpublish("b");
        (world.document("a"), world.document("b"), feed(&world, "").to_string())
    };
    assert_eq!(make(), make());
}

#[test]
fn names_in_bulk_keep_what_is_there() {
    let mut world = World::new();
    world.publish("a", "2.0.0");
    let document = world.document("a");
    world.add_names(["b", "a", "b"]);
    assert_eq!(world.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(world.document("a"), document);
    assert_eq!(feed(&world, "")["results"].as_array().unwrap().len(), 2);
}
