//! The worker: an HTTP service to which work items are pushed. It does each while its sender waits, and answers with the
//! result. Any program that sends HTTP requests can push items.
//!
//! The status tells a queue what to do: 2xx is an end, 503 may be pushed again after Retry-After, 409 and 429 as well.
//! Not here: doing an item (`pipeline`), and the words on the terminal (`cli`).

mod arrival;
mod connections;
mod reply;
mod service;

pub use service::{Service, ServiceOptions};
