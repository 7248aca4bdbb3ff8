//! The registry client: requests pages and packuments from npm, a mirror or a CouchDB, within rate limits.
//!
//! Refusals are data. One function decides what a response means (`classify`); its verdict decides whether the request
//! is retried (`retry`) and how fast all others may go (`limiter`). Not here: which names are requested, and how their
//! documents are used.

mod body;
mod budget;
mod classify;
mod client;
mod config;
mod credentials;
mod database_info;
mod exchange;
mod failure;
mod gzip;
mod hosts;
mod identity;
mod introduction;
mod limiter;
mod origin;
mod packument;
mod retry;
#[cfg(test)]
mod scripted;
mod statistics;
mod urls;
mod whole;
mod words;

pub use budget::{BudgetSnapshot, MonthCount, RequestLedger, month_of};
pub use client::Registry;
pub use config::{HostLimits, RegistryConfig};
pub use credentials::Credentials;
pub use database_info::DatabaseInfo;
pub use failure::RequestFailure;
pub use gzip::inflate_at_once;
pub use limiter::gate::GateStatus;
#[cfg(unix)]
pub use limiter::shared::runtime_folder;
pub use origin::{Origin, host_of};
pub use packument::{BodyGate, PackumentRequest, Response};
pub use statistics::Statistics;
