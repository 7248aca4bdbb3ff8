//! A registry on loopback: a real HTTP server over a world of packages, for the demo, the tests and the benches.
//!
//! It responds as npm's replication and registry hosts are known to, plays scripted faults, records its requests, and
//! can change while it runs. Not here: anything of the rest of the library. The module imports none of our code on
//! purpose: a fake that shares our parser shares our mistakes.

mod abbreviated;
mod all_docs;
mod answer;
mod changes;
mod counts;
mod document;
mod downloads;
mod edits;
mod error;
mod fault_play;
mod faults;
mod feed_faults;
mod json;
mod ndjson;
mod odd;
mod packument;
mod query;
mod random;
mod record;
mod root;
mod seeded;
mod server;
mod small;
mod world;

#[cfg(test)]
mod tests;

pub use error::SampleError;
pub use faults::{Action, Fault, FaultScript, Framing, Kind, RetryAfter, When};
pub use feed_faults::FeedFaults;
pub use odd::{OddDocument, odd_documents};
pub use record::RecordedRequest;
pub use server::{Options, SampleServer};
pub use world::{World, WorldCounts};
