//! The registry's description of itself, at its root.

use super::answer::{Answer, JSON};
use super::feed_faults::FeedPlay;
use super::world::World;

/// Returns the response for the root.
pub(super) fn answer(world: &World, feed: &mut FeedPlay) -> Answer {
    let (packages, seq) = (world.counts().packages, feed.update_seq(world));
    let seq = feed.told(seq);
    let body =
        format!(r#"{{"db_name":"registry","engine":"npm-replicate","doc_count":{packages},"update_seq":{seq}}}"#);
    Answer::new(200, JSON, body)
}
