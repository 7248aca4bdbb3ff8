//! A fleet whose processes meet at a queue: they share the gate, the pace and the month of each host, and pass each
//! other items.
//!
//! Not here: the server and its streams (`queue`), what the gate decides (`registry`), and the work of an item (`items`).

mod claim;
mod consume;
mod dispatch;
mod election;
mod hosts;
mod ledger;
#[cfg(test)]
mod tests;

pub use consume::Consumer;
pub use dispatch::QueueDispatch;
pub use hosts::QueueFleet;
