//! The coordinator's side of one member: the member's requests wait in the coordinator's queue, and its permits end
//! with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;

use super::message::{ToCoordinator, ToMember, read, write};
use crate::registry::limiter::GivenUp;
use crate::registry::limiter::local::{LocalGate, LocalPermit, OWN, now};

/// The longest interval between two states sent to a member.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// One member.
pub(super) struct Session {
    gate: Arc<LocalGate>,
    /// The key of its limits in the gate.
    member: u64,
    requests: Mutex<HashMap<u64, Request>>,
    replies: UnboundedSender<ToMember>,
}

enum Request {
    Waiting { _task: AbortOnDropHandle<()> },
    InFlight(LocalPermit),
}

impl Session {
    /// Creates a session, and the queue of messages to its member.
    pub(super) fn new(gate: Arc<LocalGate>, member: u64) -> (Arc<Session>, UnboundedReceiver<ToMember>) {
        let (replies, outbox) = unbounded_channel();
        (Arc::new(Session { gate, member, requests: Mutex::default(), replies }), outbox)
    }

    /// Handles a message. `coordinator` is this coordinator's own mark: a state that it sent itself is no news.
    pub(super) fn take(self: &Arc<Self>, message: ToCoordinator, coordinator: u64) {
        match message {
            ToCoordinator::Hello { limits, share, before, held, waiting } => {
                self.gate.set_limits(self.member, Some((limits, share)));
                if let Some((_, snapshot)) = before.filter(|(told_by, _)| *told_by != coordinator) {
                    self.gate.inherit(&snapshot);
                }
                for held in held {
                    let permit = self.gate.adopt(now().checked_sub(held.sent_ago).unwrap_or_else(now));
                    if held.is_aside {
                        permit.step_aside();
                    }
                    self.requests().insert(held.request, Request::InFlight(permit));
                }
                waiting.into_iter().for_each(|request| self.enter(request));
            }
            ToCoordinator::Enter { request } => self.enter(request),
            ToCoordinator::Observe { request, sent_ago, observation } => match self.requests().get(&request) {
                Some(Request::InFlight(permit)) => permit.observe(observation),
                _ => self.gate.observe(now().checked_sub(sent_ago).unwrap_or_else(now), observation),
            },
            ToCoordinator::StepAside { request } => {
                if let Some(Request::InFlight(permit)) = self.requests().get(&request) {
                    permit.step_aside();
                }
            }
            ToCoordinator::StepBack { request } => {
                if let Some(Request::InFlight(permit)) = self.requests().get(&request) {
                    permit.step_back();
                }
            }
            ToCoordinator::Leave { request } => drop(self.requests().remove(&request)),
            ToCoordinator::Limits { limits, share } => self.gate.set_limits(self.member, Some((limits, share))),
            ToCoordinator::Alive => {}
        }
    }

    fn enter(self: &Arc<Self>, request: u64) {
        // The task must find its entry.
        let mut requests = self.requests();
        let (gate, session) = (Arc::clone(&self.gate), Arc::downgrade(self));
        let task = tokio::spawn(async move {
            let entered = gate.enter().await;
            if let Some(session) = Weak::upgrade(&session) {
                session.entered(request, entered);
            }
        });
        requests.insert(request, Request::Waiting { _task: AbortOnDropHandle::new(task) });
    }

    fn entered(&self, request: u64, entered: Result<LocalPermit, GivenUp>) {
        let mut requests = self.requests();
        let reply = match entered {
            Ok(permit) => {
                // A request that left meanwhile gives its permit back.
                let Some(waiting) = requests.get_mut(&request) else { return };
                *waiting = Request::InFlight(permit);
                ToMember::Go { request }
            }
            Err(given_up) => {
                requests.remove(&request);
                ToMember::GivenUp { request, given_up }
            }
        };
        // The session ends with the connection.
        let _ = self.replies.send(reply);
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<u64, Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.member != OWN {
            self.gate.set_limits(self.member, None);
        }
    }
}

/// Serves one member until its connection ends. Notifies `greeted` once the member has sent its state, with whether it
/// was with another coordinator before.
pub(super) async fn serve(
    gate: Arc<LocalGate>,
    member: u64,
    coordinator: u64,
    stream: impl AsyncRead + AsyncWrite,
    greeted: UnboundedSender<bool>,
) {
    let mut reductions = gate.reductions();
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let (session, mut outbox) = Session::new(Arc::clone(&gate), member);
    let listen = async {
        let Ok(hello @ ToCoordinator::Hello { .. }) = read(&mut reader).await else { return };
        let was_with_another =
            matches!(&hello, ToCoordinator::Hello { before: Some((by, _)), .. } if *by != coordinator);
        session.take(hello, coordinator);
        // Its receiver aborts this when it goes.
        let _ = greeted.send(was_with_another);
        while let Ok(message) = read(&mut reader).await {
            session.take(message, coordinator);
        }
    };
    let tell = async {
        loop {
            let standing = ToMember::Standing { coordinator, snapshot: gate.snapshot() };
            if session.replies.send(standing).is_err() {
                return;
            }
            // Its sender lives in the gate.
            let _ = tokio::time::timeout(BEAT, reductions.changed()).await;
        }
    };
    tokio::select! {
        () = listen => {}
        () = tell => {}
        () = write(&mut writer, &mut outbox) => {}
    }
}
