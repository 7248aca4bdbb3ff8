//! The settings of a registry client, with the reason for each default.
//!
//! Facts about npm's servers are from measurements of others, 2025 and 2026, collected with this project's design.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Origin;
use super::fleet::Fleet;
use super::origin::is_loopback;
use super::proxies::Proxies;
use super::trust::Trust;

/// How long a host may refuse or fail before a run ends. One hour: bans, restarts and maintenance are shorter, and
/// a job that runs at night has the time.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Settings for requests to the servers of an origin.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryConfig {
    /// `User-Agent` of each request. The default names the program and its version. A heavy crawler should add a
    /// contact address.
    pub user_agent: String,
    /// The certificates of servers that are trusted.
    pub trust: Trust,
    /// The proxies. The default uses none, whatever the environment says.
    pub proxies: Proxies,
    /// Limits for the host of `_all_docs`.
    pub replicate: HostLimits,
    /// Limits for the host of packuments. They apply to both if one host serves both.
    pub registry: HostLimits,
    /// Limits for the host of download counts. They apply only if it serves nothing else of the origin.
    pub downloads: HostLimits,
    /// The most attempts of one request, including the first. 8: with the default pauses that covers half a minute of
    /// faults on average, longer than a restart of a server behind a load balancer. Refusals count only from the 33rd
    /// on: the gate decides how long to wait for the end of a ban.
    pub max_attempts: u32,
    /// The longest pause before the second attempt; it doubles with each attempt. The pause is drawn evenly from zero
    /// to this maximum ("full jitter"), so that requests that failed together do not return together. 500 ms.
    pub retry_pause: Duration,
    /// The longest pause between two attempts. 30 s: a single name should not hold a place for longer.
    pub retry_pause_cap: Duration,
    /// Time to open a connection, name look-up and TLS included. 10 s.
    pub connect_timeout: Duration,
    /// The longest silence, before the first byte of a response and between two pieces of its body. 60 s: servers take
    /// many seconds to begin the largest packuments.
    pub silence_timeout: Duration,
    /// The longest duration of one response, from request to last byte, except the time in which we did not read. 10
    /// min: it stops servers that send a byte now and then.
    pub answer_timeout: Duration,
    /// The largest document, decoded. 256 MiB: the largest known is above 100 MB. It guards against bodies without end
    /// and against small bodies that inflate without end.
    pub max_document_bytes: u64,
    /// How many redirects are followed for one request. 3: a host moved, and a CDN behind it.
    pub max_redirects: u32,
    /// Requests per host and calendar month (UTC), `None` for no limit. 4 million: npm's terms call 5 million by one
    /// party unreasonable, and others on the same network install packages too.
    pub monthly_budget: Option<u64>,
    /// The folder in which the processes of one user and machine find each other, so that they share these limits: see
    /// [`runtime_folder`](super::runtime_folder). `None` for a process that keeps limits of its own.
    pub runtime_folder: Option<PathBuf>,
    /// The fleet that the process belongs to: all its processes share one gate of each host, and one count of requests.
    /// `None` for a process that is in none.
    pub fleet: Option<Fleet>,
    /// How many machines send requests to these hosts at once. Each takes one part in `share` of the limits. 1; it can
    /// be changed during a run ([`Registry::set_share`](super::Registry::set_share)).
    pub share: NonZeroU32,
}

/// The limits of one host, and the reaction to its refusals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostLimits {
    /// The greatest number of requests in flight, including those whose bodies are being read.
    pub max_concurrency: u32,
    /// The greatest number of requests per second, `None` for as many as the concurrency allows.
    pub max_requests_per_second: Option<f64>,
    /// The requests per second at the start, from which the rate grows like one that was learned; `None` to start as
    /// fast as the greatest number and the concurrency allow.
    #[serde(default)]
    pub first_requests_per_second: Option<f64>,
    /// Refusals do not push the rate below this.
    pub min_requests_per_second: f64,
    /// Refusals that have nothing to do with the rate do not lower it, as long as at least so many responses come for
    /// each of them. 100 for public hosts: a host that refuses more often gets fewer requests, whatever the reason.
    pub least_answers_a_refusal: f64,
    /// The shortest time for which a refusal closes the gate, whatever `Retry-After` says. If the host names no time, it
    /// doubles with each further refusal until a good response. Then a single request probes whether the ban has ended.
    pub closed_floor: Duration,
    /// The longest such time, unless the host names a longer one.
    pub closed_cap: Duration,
    /// How long a host may go without a good response before the run stops. A host that names a later time stops it at
    /// once. The shortest patience of all processes that share a gate applies.
    pub patience: Duration,
}

impl HostLimits {
    /// Returns the limits for the host of `_all_docs` and `_changes`: 8 in flight, 20 a second. 30 at once met no
    /// refusal. All names are 450 requests of about 0.4 s, so 8 read them in under half a minute, and more would gain
    /// nothing.
    pub fn replicate() -> Self {
        HostLimits { max_concurrency: 8, max_requests_per_second: Some(20.0), ..HostLimits::registry() }
    }

    /// Returns the limits for the host of packuments: 64 in flight, 200 a second. 64 in flight were seen to give 227
    /// responses a second with no refusal; whole crawls by others ran at 50 to 120 a second. The gate closes for at
    /// least a second, since npm's proxy sends `Retry-After: 0` with a ban, and for at most 15 minutes.
    pub fn registry() -> Self {
        HostLimits {
            max_concurrency: 64,
            max_requests_per_second: Some(200.0),
            first_requests_per_second: None,
            min_requests_per_second: 1.0,
            least_answers_a_refusal: 100.0,
            closed_floor: Duration::from_secs(1),
            closed_cap: Duration::from_secs(15 * 60),
            patience: PATIENCE,
        }
    }

    /// Returns the limits for the API of download counts: 2 in flight, 1 a second. A raised ceiling is approached from
    /// there. It is the strictest of npm's APIs:
    /// it refused 2.3 a second at the 44th request, and steady crawls by others settled on one in two seconds. Refusals
    /// come with `Retry-After: 0`, so the gate closes for at least a minute, and the rate goes as low as one in five
    /// seconds.
    pub fn downloads() -> Self {
        HostLimits {
            max_concurrency: 2,
            max_requests_per_second: Some(1.0),
            first_requests_per_second: Some(1.0),
            min_requests_per_second: 0.2,
            closed_floor: Duration::from_secs(60),
            patience: Duration::from_secs(2 * 60 * 60),
            ..HostLimits::registry()
        }
    }

    /// Returns the limits for a server on this machine: 64 in flight, no limit to the rate, and a gate that closes for
    /// at least 20 ms. The server is the user's own. A mirror or a test may refuse, but 20 a second harm nobody else.
    pub fn loopback() -> Self {
        HostLimits {
            max_concurrency: 64,
            max_requests_per_second: None,
            first_requests_per_second: None,
            min_requests_per_second: 20.0,
            least_answers_a_refusal: 3.0,
            closed_floor: Duration::from_millis(20),
            closed_cap: Duration::from_secs(60),
            patience: PATIENCE,
        }
    }
}

impl HostLimits {
    /// Returns the limits that satisfy both.
    pub(super) fn strictest(&self, other: &HostLimits) -> HostLimits {
        let closed_cap = self.closed_cap.min(other.closed_cap);
        let lower = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        HostLimits {
            max_concurrency: self.max_concurrency.min(other.max_concurrency),
            max_requests_per_second: lower(self.max_requests_per_second, other.max_requests_per_second),
            first_requests_per_second: lower(self.first_requests_per_second, other.first_requests_per_second),
            min_requests_per_second: self.min_requests_per_second.min(other.min_requests_per_second),
            least_answers_a_refusal: self.least_answers_a_refusal.max(other.least_answers_a_refusal),
            closed_floor: self.closed_floor.max(other.closed_floor).min(closed_cap),
            closed_cap,
            patience: self.patience.min(other.patience),
        }
    }

    /// Returns the part of one of `share` machines.
    pub(super) fn part(&self, share: NonZeroU32) -> HostLimits {
        let part = f64::from(share.get()).recip();
        HostLimits {
            max_concurrency: (self.max_concurrency / share).max(1),
            max_requests_per_second: self.max_requests_per_second.map(|ceiling| ceiling * part),
            first_requests_per_second: self.first_requests_per_second.map(|first| first * part),
            min_requests_per_second: self.min_requests_per_second * part,
            ..self.clone()
        }
    }
}

impl Default for RegistryConfig {
    /// Returns the settings for public servers.
    fn default() -> Self {
        RegistryConfig {
            user_agent: concat!("all-docs/", env!("CARGO_PKG_VERSION")).to_owned(),
            trust: Trust::default(),
            proxies: Proxies::default(),
            replicate: HostLimits::replicate(),
            registry: HostLimits::registry(),
            downloads: HostLimits::downloads(),
            max_attempts: 8,
            retry_pause: Duration::from_millis(500),
            retry_pause_cap: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(10 * 60),
            max_document_bytes: 256 << 20,
            max_redirects: 3,
            monthly_budget: Some(4_000_000),
            runtime_folder: None,
            fleet: None,
            share: NonZeroU32::MIN,
        }
    }
}

impl RegistryConfig {
    /// Returns the default for this origin. A server on this machine gets [`HostLimits::loopback`], shorter pauses,
    /// and, where all parts are on it, no budget.
    pub fn for_origin(origin: &Origin) -> Self {
        let mut config = RegistryConfig::default();
        let [replicate_is_here, registry_is_here, downloads_are_here] =
            [&origin.replicate_url, &origin.registry_url, &origin.downloads_url].map(is_loopback);
        if replicate_is_here {
            config.replicate = HostLimits::loopback();
        }
        if registry_is_here {
            config.registry = HostLimits::loopback();
            config.retry_pause = Duration::from_millis(50);
            config.retry_pause_cap = Duration::from_secs(2);
        }
        if downloads_are_here {
            config.downloads = HostLimits::loopback();
        }
        if replicate_is_here && registry_is_here && downloads_are_here {
            config.monthly_budget = None;
        }
        config
    }
}
