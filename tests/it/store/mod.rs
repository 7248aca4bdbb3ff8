//! The stores of lakes, each by the same functions.

/// The promises of a store.
pub(crate) mod conformance;
/// A bucket that fails by a script.
pub(crate) mod faulty;
/// A local disk and memory.
mod near;
/// Buckets with faults, and deaths.
mod weather;
