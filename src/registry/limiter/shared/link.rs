//! A member's side: its requests that wait for the coordinator, and those that it admitted.
//!
//! They outlive a coordinator: its successor is told of them first. While there is no coordinator, messages wait.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::message::{Ended, Held, ToCoordinator, ToMember, read, write};
use super::session::BEAT;
use crate::registry::config::HostLimits;
use crate::registry::limiter::handover::Snapshot;
use crate::registry::limiter::local::now;
use crate::registry::limiter::{GivenUp, Observation};

/// How long the last state from an ended coordinator counts for the next one.
const REMEMBERED: Duration = Duration::from_secs(30);

/// All requests of this process that another process admits.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    waiting: AtomicU32,
}

#[derive(Debug)]
struct State {
    limits: HostLimits,
    share: NonZeroU32,
    next_request: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<(), GivenUp>>>,
    in_flight: BTreeMap<u64, InFlight>,
    /// The coordinator's mark, its last state, and the time of that state.
    told: Option<(u64, Snapshot, Instant)>,
    outbox: UnboundedSender<ToCoordinator>,
}

#[derive(Debug)]
struct InFlight {
    sent_at: Instant,
    is_aside: bool,
}

impl Link {
    /// Creates a link, and the queue of its messages.
    pub(super) fn new(limits: HostLimits, share: NonZeroU32) -> (Arc<Link>, UnboundedReceiver<ToCoordinator>) {
        let (outbox, _) = unbounded_channel();
        let (waiting, in_flight) = (HashMap::new(), BTreeMap::new());
        let state = State { limits, share, next_request: 0, waiting, in_flight, told: None, outbox };
        let link = Link { state: Mutex::new(state), waiting: AtomicU32::new(0) };
        let outbox = link.begin_again(None);
        (Arc::new(link), outbox)
    }

    /// Waits until a request may leave.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<LinkPermit, GivenUp> {
        let (sender, answer) = oneshot::channel();
        let permit = {
            let mut state = self.state();
            let request = state.next_request;
            state.next_request += 1;
            state.waiting.insert(request, sender);
            state.say(ToCoordinator::Enter { request });
            // A request that stops waiting sends the same message as one that ends.
            LinkPermit { link: Arc::clone(self), request }
        };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.waiting);
        // The sender stays in the state until the coordinator replies.
        answer.await.unwrap_or(Err(GivenUp { refused: false, named: None })).map(|()| permit)
    }

    /// Returns how many requests of this process wait.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns the coordinator's last state, aged to now.
    pub(super) fn standing(&self) -> Option<Snapshot> {
        let state = self.state();
        let (_, snapshot, at) = state.told.as_ref()?;
        Some(snapshot.clone().aged(now().saturating_duration_since(*at)))
    }

    /// Returns whether a coordinator has sent anything lately.
    pub(super) fn has_orders(&self) -> bool {
        self.state().recently_told().is_some()
    }

    pub(super) fn set_limits(&self, limits: HostLimits, share: NonZeroU32) {
        let mut state = self.state();
        (state.limits, state.share) = (limits.clone(), share);
        state.say(ToCoordinator::Limits { limits, share });
    }

    /// Handles a message of the coordinator.
    pub(super) fn hear(&self, message: ToMember) {
        let mut state = self.state();
        match message {
            ToMember::Go { request } => {
                // A missing request has left, and said so.
                if let Some(sender) = state.waiting.remove(&request) {
                    state.in_flight.insert(request, InFlight { sent_at: now(), is_aside: false });
                    // If it left just now, dropping its permit tells the coordinator.
                    let _ = sender.send(Ok(()));
                }
            }
            ToMember::GivenUp { request, given_up } => {
                if let Some(sender) = state.waiting.remove(&request) {
                    let _ = sender.send(Err(given_up));
                }
            }
            ToMember::Standing { coordinator, snapshot } => state.told = Some((coordinator, snapshot, now())),
        }
    }

    /// Prepares for the next coordinator. Returns a new queue of messages: first the state, then the outcomes that the
    /// previous coordinator may not have heard, then all later messages.
    pub(super) fn begin_again(
        &self,
        before: Option<UnboundedReceiver<ToCoordinator>>,
    ) -> UnboundedReceiver<ToCoordinator> {
        let (sender, outbox) = unbounded_channel();
        let mut state = self.state();
        let now = now();
        state.outbox = sender;
        let held = state.in_flight.iter().map(|(&request, in_flight)| Held {
            request,
            sent_ago: now.saturating_duration_since(in_flight.sent_at),
            is_aside: in_flight.is_aside,
        });
        let held = held.collect();
        let mut waiting: Vec<u64> = state.waiting.keys().copied().collect();
        waiting.sort_unstable();
        let before_told = state.recently_told();
        let (limits, share) = (state.limits.clone(), state.share);
        state.say(ToCoordinator::Hello { limits, share, before: before_told, held, waiting });
        if let Some(mut before) = before {
            while let Ok(message) = before.try_recv() {
                if matches!(message, ToCoordinator::Observe { .. }) {
                    state.say(message);
                }
            }
        }
        outbox
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn say(&self, message: ToCoordinator) {
        // Without a receiver the gate is gone.
        let _ = self.outbox.send(message);
    }

    fn recently_told(&self) -> Option<(u64, Snapshot)> {
        let (coordinator, snapshot, at) = self.told.as_ref()?;
        let age = now().saturating_duration_since(*at);
        (age < REMEMBERED).then(|| (*coordinator, snapshot.clone().aged(age)))
    }
}

/// Removes one waiting request when it is dropped.
struct Counted<'a>(&'a AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to have one request in flight, granted by another process.
#[derive(Debug)]
pub(in crate::registry::limiter) struct LinkPermit {
    link: Arc<Link>,
    request: u64,
}

impl LinkPermit {
    pub(in crate::registry::limiter) fn observe(&self, observation: Observation) {
        let state = self.link.state();
        let sent_at = state.in_flight.get(&self.request).map_or_else(now, |in_flight| in_flight.sent_at);
        let sent_ago = now().saturating_duration_since(sent_at);
        state.say(ToCoordinator::Observe { request: self.request, sent_ago, observation });
    }

    pub(in crate::registry::limiter) fn step_aside(&self) {
        self.set_aside(true, ToCoordinator::StepAside { request: self.request });
    }

    pub(in crate::registry::limiter) fn step_back(&self) {
        self.set_aside(false, ToCoordinator::StepBack { request: self.request });
    }

    fn set_aside(&self, is_aside: bool, message: ToCoordinator) {
        let mut state = self.link.state();
        if let Some(in_flight) = state.in_flight.get_mut(&self.request) {
            in_flight.is_aside = is_aside;
        }
        state.say(message);
    }
}

impl Drop for LinkPermit {
    fn drop(&mut self) {
        let request = self.request;
        let mut state = self.link.state();
        if state.waiting.remove(&request).is_some() || state.in_flight.remove(&request).is_some() {
            state.say(ToCoordinator::Leave { request });
        }
    }
}

/// Follows the coordinator at the other end of `stream` until the connection ends. Returns how it ended.
pub(super) async fn attend(
    link: &Link,
    outbox: &mut UnboundedReceiver<ToCoordinator>,
    stream: impl AsyncRead + AsyncWrite,
) -> Ended {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let listen = async {
        loop {
            match read(&mut reader).await {
                Ok(message) => link.hear(message),
                Err(ended) => return ended,
            }
        }
    };
    let beat = async {
        loop {
            tokio::time::sleep(BEAT).await;
            link.state().say(ToCoordinator::Alive);
        }
    };
    tokio::select! {
        ended = listen => ended,
        () = beat => Ended::Closed,
        () = write(&mut writer, outbox) => Ended::Closed,
    }
}
