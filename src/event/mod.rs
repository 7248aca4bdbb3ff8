//! The files of events: one of each commit in the feed, and one of each day, into which the feed is drained.
//!
//! A file of a day is right at any moment: it is replaced by one put, and has each event once. Not here: what an event is
//! (`table::events`), when events are recorded and drained (`pipeline`), and how a commit moves them (`commit`).

mod drain;
mod file;
mod gone;
#[cfg(test)]
mod tests;

pub use drain::{Drained, FeedFile, drain, feed_files, feed_files_among};
pub use file::{EventsReader, EventsWriter, encode_events};
pub use gone::GoneNames;
