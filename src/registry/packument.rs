//! The request for one packument: its parameters, its response, and the gate that counts its bytes on arrival.

use std::future::Future;

use bytes::Bytes;
use futures::future::poll_immediate;

use super::limiter::permit::Permit;
use crate::npm::{Answer, Document, PackageName, Representation, Validators};

/// The accepted media type of the full form. It must stand alone: beside any other, npm may return the abbreviated form
/// (npm-facts A.5).
const ACCEPT_FULL: &str = "application/json";

/// The accepted media type of the abbreviated form.
const ACCEPT_ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

/// A request for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackumentRequest {
    /// The package.
    pub name: PackageName,
    /// The requested form.
    pub representation: Representation,
    /// The validators that the lake holds. With a tag or a date in them, the response may be [`Answer::NotModified`].
    pub validators: Option<Validators>,
    /// Whether the lake holds a document of this name. Then only a packument may replace it.
    pub is_held: bool,
}

impl PackumentRequest {
    /// Creates a request for the full form, whatever the lake holds.
    pub fn full(name: impl Into<PackageName>) -> Self {
        PackumentRequest { name: name.into(), representation: Representation::Full, validators: None, is_held: false }
    }
}

/// A registry's response to a request for a packument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The decoded response.
    pub answer: Answer<Document>,
    /// Its HTTP status.
    pub http_status: u16,
    /// How many requests were sent for it.
    pub attempts: u32,
    /// The validators of a [`Answer::NotModified`]: those sent back, else those of the request. A fresh document holds
    /// its own too.
    pub validators: Validators,
    /// Whether a document has members of a packument. One without them may be a message in its place.
    pub is_packument: bool,
    /// The document's body in gzip as received, to be kept without compressing it again: a single member with a correct
    /// checksum. `None` otherwise.
    pub gzip: Option<Bytes>,
}

/// Counts the bytes in flight, and holds them back when there are too many.
pub trait BodyGate: Send + Sync {
    /// Waits before `more_bytes` of a body are kept, decoded or in the form in which they were received. A request that
    /// waits here reads nothing meanwhile, and frees its place among the requests in flight.
    fn grow(&self, more_bytes: u64) -> impl Future<Output = ()> + Send;

    /// Records that `bytes` are no longer kept, because an attempt was given up or they were not needed.
    fn shrink(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// A gate that counts nothing.
impl BodyGate for () {
    async fn grow(&self, _more_bytes: u64) {}
}

pub(super) fn accept(representation: Representation) -> &'static str {
    match representation {
        Representation::Full => ACCEPT_FULL,
        Representation::Abbreviated => ACCEPT_ABBREVIATED,
    }
}

/// The bytes of one attempt's body that a gate has counted. Given back unless the body is kept, also when the attempt
/// is cancelled.
pub(super) struct Grown<'a, G: BodyGate> {
    gate: &'a G,
    permit: &'a Permit,
    bytes: u64,
}

impl<'a, G: BodyGate> Grown<'a, G> {
    pub(super) fn new(gate: &'a G, permit: &'a Permit) -> Self {
        Grown { gate, permit, bytes: 0 }
    }

    /// Waits until there is memory for `more_bytes`. Frees the place among the requests in flight while it waits:
    /// memory may become free only when another request has had that place.
    pub(super) async fn grow(&mut self, more_bytes: u64) {
        let mut growing = std::pin::pin!(self.gate.grow(more_bytes));
        if poll_immediate(&mut growing).await.is_none() {
            let _aside = self.permit.step_aside();
            growing.await;
        }
        self.bytes += more_bytes;
    }

    /// Gives back `bytes` that are not kept after all.
    pub(super) fn shrink(&mut self, bytes: u64) {
        self.gate.shrink(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Keeps the body: from here on the caller counts its bytes.
    pub(super) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl<G: BodyGate> Drop for Grown<'_, G> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.gate.shrink(self.bytes);
        }
    }
}
