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
mod connections;
mod credentials;
mod database_info;
mod exchange;
mod failure;
mod fleet;
mod gzip;
mod hosts;
mod identity;
mod introduction;
mod limiter;
mod no_proxy;
mod npmrc;
mod origin;
mod packument;
mod proxies;
mod retry;
#[cfg(test)]
mod scripted;
mod statistics;
mod tls_failure;
mod trust;
mod urls;
mod verifier;
mod webhook;
mod whole;
mod words;
mod worker_client;

pub use budget::{BudgetSnapshot, MonthCount, RequestLedger, month_of};
pub use client::{DownloadsAnswer, Registry};
pub use config::{HostLimits, RegistryConfig};
pub use credentials::Credentials;
pub use database_info::DatabaseInfo;
pub use failure::RequestFailure;
pub use fleet::{Election, Fleet, FleetHosts, Leadership};
pub use gzip::inflate_at_once;
pub use limiter::gate::GateStatus;
#[cfg(unix)]
pub use limiter::shared::runtime_folder;
pub use npmrc::Npmrc;
pub use origin::{Origin, host_of, shown_url};
pub use packument::{BodyGate, PackumentRequest, Response};
pub use proxies::Proxies;
pub use statistics::Statistics;
pub use trust::{SystemRoots, Trust, system_roots};
pub use webhook::Webhook;
pub use worker_client::{WorkerAnswer, WorkerClient};
