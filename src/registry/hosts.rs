//! The hosts that an origin's requests reach: its own two and those it redirects to. Each has its gate.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::classify::Fault;
use super::config::{HostLimits, RegistryConfig};
use super::fleet::Fleet;
use super::limiter::gate::Gate;
#[cfg(unix)]
use super::limiter::shared::Place;
use super::origin::{Origin, host_of, is_loopback};
use super::retry::Standing;
use crate::error::{Error, ErrorKind, Result};

/// The most hosts beyond the origin's own. A registry has one or two storage hosts behind it. Without the limit, a
/// registry that names a new host in every response would create gates and counts without end.
const MAX_OTHER_HOSTS: usize = 16;

/// So many documents may be refused for longer than patience lasts while others are served. A host that refuses more, and
/// serves the rest from a cache, refuses all.
const MAX_LONG_REFUSALS: u64 = 8;

/// So many refusals of names in a row can be about these names: the halves of a bulk with the refused one in front are
/// eight. After more, a request without names shows whether the host refuses everything.
const MAX_NAMES_REFUSED_IN_A_ROW: u32 = 16;

/// One server.
pub(super) struct Host {
    pub(super) gate: Gate,
    /// Useful responses so far. One proves that the server is a registry, whatever its later responses are.
    useful_answers: AtomicU64,
    /// How many there were when it last refused a request for longer than patience lasts.
    useful_at_long_refusal: AtomicU64,
    /// How often it did.
    long_refusals: AtomicU64,
    /// Refusals of names, for which requests for others are no remedy, since the last response without one.
    names_refused: AtomicU32,
    /// Admits one request at a time that finds out whether it refuses all names.
    doubt: Semaphore,
    /// Whether the lake holds names that it has listed in an earlier run.
    has_listed_before: AtomicBool,
    /// Admits one request for a page at a time until the first page has come; closed from then on. Otherwise a server
    /// without pages would be asked for several at once.
    before_first_page: Semaphore,
    /// The errors of requests that did not find a first page.
    without_pages: Mutex<WithoutPages>,
}

/// How often a host had no first page, and the last error: its kind, message and hint.
#[derive(Default)]
struct WithoutPages {
    times: u64,
    last: Option<(ErrorKind, String, Option<String>)>,
}

impl Host {
    /// Counts a response that only a registry gives, and returns it.
    pub(super) fn useful<T>(&self, answer: T) -> T {
        self.useful_answers.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Returns whether it has listed names, so that it is a database.
    pub(super) fn has_listed(&self) -> bool {
        self.before_first_page.is_closed()
    }

    /// Waits until it has listed names, or until the request is the only one that may find that out. The permit, if
    /// there is one, must be kept until the request has ended. Fails if another request found meanwhile that there are
    /// no pages.
    pub(super) async fn first_page(&self) -> Result<Option<SemaphorePermit<'_>>> {
        let times_before = self.without_pages().times;
        let permit = self.before_first_page.acquire().await.ok();
        let found = self.without_pages();
        match &found.last {
            Some((kind, message, hint)) if permit.is_some() && found.times > times_before => {
                let error = Error::new(*kind, message.clone());
                Err(hint.iter().fold(error, |error, hint| error.hint(hint)))
            }
            _ => Ok(permit),
        }
    }

    /// Records why there is no first page, for the requests that wait for it.
    pub(super) fn has_no_pages(&self, error: &Error) {
        let mut found = self.without_pages();
        found.times += 1;
        found.last = Some((error.kind(), error.message().to_owned(), error.hint_text().map(str::to_owned)));
    }

    fn without_pages(&self) -> MutexGuard<'_, WithoutPages> {
        self.without_pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that it has listed names.
    pub(super) fn listed(&self) {
        self.before_first_page.close();
    }

    /// Records that it has listed names in an earlier run: if it is in trouble now, that may pass.
    pub(super) fn listed_before(&self) {
        self.has_listed_before.store(true, Ordering::Relaxed);
    }

    /// Records that it has refused the names of a request. Returns a permit if it has refused so many in a row that it may
    /// refuse all: its holder finds that out, and the next holder does so too unless [`Host::took_names`] was called.
    pub(super) async fn refused_names(&self) -> Option<SemaphorePermit<'_>> {
        if self.names_refused.fetch_add(1, Ordering::Relaxed) + 1 < MAX_NAMES_REFUSED_IN_A_ROW {
            return None;
        }
        let permit = self.doubt.acquire().await.ok()?;
        (self.names_refused.load(Ordering::Relaxed) >= MAX_NAMES_REFUSED_IN_A_ROW).then_some(permit)
    }

    /// Records that it has not refused the names of a request.
    pub(super) fn took_names(&self) {
        self.names_refused.store(0, Ordering::Relaxed);
    }

    /// Returns whether it has given a useful response since it last refused a request for longer than patience lasts,
    /// and has not done that too often.
    pub(super) fn serves_others(&self) -> bool {
        self.useful_answers.load(Ordering::Relaxed) > self.useful_at_long_refusal.load(Ordering::Relaxed)
            && self.long_refusals.load(Ordering::Relaxed) < MAX_LONG_REFUSALS
    }

    /// Records that it has refused a request for longer than patience lasts.
    pub(super) fn refused_for_long(&self) {
        self.long_refusals.fetch_add(1, Ordering::Relaxed);
        self.useful_at_long_refusal.store(self.useful_answers.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Returns the host's current state.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            useful_answers: self.useful_answers.load(Ordering::Relaxed),
            waiting: self.gate.waiting(),
            has_listed_before: self.has_listed_before.load(Ordering::Relaxed),
            is_down: false,
        }
    }
}

/// All hosts of an origin.
pub(super) struct Hosts {
    /// The host of `_all_docs`.
    pub(super) replicate: Arc<Host>,
    /// The host of packuments; the same one if one host serves both.
    pub(super) registry: Arc<Host>,
    /// The host of download counts; one of the others if it serves both.
    pub(super) downloads: Arc<Host>,
    others: Mutex<Others>,
    limits_of_others: HostLimits,
    limits_of_loopback: HostLimits,
}

/// The hosts that redirects lead to, and the settings of new gates.
struct Others {
    hosts: BTreeMap<String, Arc<Host>>,
    make: Make,
}

/// The settings that the gates of all hosts share.
struct Make {
    runtime_folder: Option<PathBuf>,
    fleet: Option<Fleet>,
    share: NonZeroU32,
}

impl Make {
    fn host(&self, name: String, limits: &HostLimits) -> Arc<Host> {
        #[cfg(unix)]
        let place = match (&self.fleet, &self.runtime_folder) {
            (Some(fleet), _) => Some(Place::fleet(fleet, &name)),
            (None, folder) => folder.as_deref().map(|folder| Place::folder(folder, &name)),
        };
        let gate = Gate::new(
            name,
            limits.clone(),
            self.share,
            #[cfg(unix)]
            place,
        );
        Arc::new(Host {
            gate,
            useful_answers: AtomicU64::new(0),
            useful_at_long_refusal: AtomicU64::new(0),
            long_refusals: AtomicU64::new(0),
            names_refused: AtomicU32::new(0),
            doubt: Semaphore::new(1),
            has_listed_before: AtomicBool::new(false),
            before_first_page: Semaphore::new(1),
            without_pages: Mutex::default(),
        })
    }
}

impl Hosts {
    pub(super) fn new(origin: &Origin, config: &RegistryConfig) -> Hosts {
        let (replicate_name, registry_name) = (host_of(&origin.replicate_url), host_of(&origin.registry_url));
        let (runtime_folder, fleet) = (config.runtime_folder.clone(), config.fleet.clone());
        let make = Make { runtime_folder, fleet, share: config.share };
        let registry = make.host(registry_name.clone(), &config.registry);
        let replicate = match replicate_name == registry_name {
            true => Arc::clone(&registry),
            false => make.host(replicate_name, &config.replicate),
        };
        let downloads_name = host_of(&origin.downloads_url);
        let same = [&registry, &replicate].into_iter().find(|host| host.gate.host() == downloads_name).map(Arc::clone);
        let downloads = same.unwrap_or_else(|| make.host(downloads_name, &config.downloads));
        // Limits for a server on this machine must not apply to one elsewhere.
        let limits_of_others = match is_loopback(&origin.registry_url) {
            true => HostLimits::registry(),
            false => config.registry.clone(),
        };
        let limits_of_loopback = config.registry.clone();
        let others = Mutex::new(Others { hosts: BTreeMap::new(), make });
        Hosts { replicate, registry, downloads, others, limits_of_others, limits_of_loopback }
    }

    /// Returns the host of a redirect's URL. Fails when there are too many hosts.
    pub(super) fn of(&self, url: &Url) -> Result<Arc<Host>, Fault> {
        let name = host_of(url);
        for own in [&self.registry, &self.replicate, &self.downloads] {
            if own.gate.host() == name {
                return Ok(Arc::clone(own));
            }
        }
        let mut others = self.others();
        if let Some(host) = others.hosts.get(&name) {
            return Ok(Arc::clone(host));
        }
        if others.hosts.len() == MAX_OTHER_HOSTS {
            return Err(Fault::Redirect(format!(
                "it redirects to more than {MAX_OTHER_HOSTS} hosts, at last to {name}"
            )));
        }
        let limits = if is_loopback(url) { &self.limits_of_loopback } else { &self.limits_of_others };
        let host = others.make.host(name.clone(), limits);
        others.hosts.insert(name, Arc::clone(&host));
        Ok(host)
    }

    /// Joins the processes that share the gates of the origin's own hosts.
    pub(super) fn join(&self) {
        [&self.registry, &self.replicate].into_iter().for_each(|host| host.gate.join());
    }

    #[cfg(test)]
    pub(super) fn share(&self) -> NonZeroU32 {
        self.others().make.share
    }

    /// Limits every host to one part in `share` of its limits.
    pub(super) fn set_share(&self, share: NonZeroU32) {
        let mut others = self.others();
        // The processes of a fleet share one gate, whatever their machines.
        if others.make.fleet.is_some() {
            return;
        }
        others.make.share = share;
        let own = [&self.registry, &self.replicate, &self.downloads];
        own.into_iter().chain(others.hosts.values()).for_each(|host| host.gate.set_share(share));
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_names_ever_new_hosts_is_not_followed() {
        let origin = Origin::parse("https://a.example/", None).unwrap();
        let hosts = Hosts::new(&origin, &RegistryConfig::default());
        let host = |name: &str| hosts.of(&Url::parse(&format!("https://{name}.example/x")).unwrap());
        assert!(Arc::ptr_eq(&host("a").unwrap(), &hosts.registry));
        let first = host("b0").unwrap();
        for number in 1..MAX_OTHER_HOSTS {
            host(&format!("b{number}")).unwrap();
        }
        assert!(matches!(host("c"), Err(Fault::Redirect(_))));
        assert!(Arc::ptr_eq(&host("b0").unwrap(), &first));
    }
}
