//! Asking for one packument: what is asked, what comes back, and who is told of its size while it comes.

use std::future::Future;

use bytes::Bytes;
use futures::future::poll_immediate;

use super::limiter::permit::Permit;
use crate::npm::{Answer, Document, PackageName, Representation, Validators};

/// The accepted media type of the full form, which must stand alone: beside any other, npm may give the abbreviated form
/// (npm-facts A.5).
const ACCEPT_FULL: &str = "application/json";

/// The accepted media type of the abbreviated form.
const ACCEPT_ABBREVIATED: &str = "application/vnd.npm.install-v1+json";

/// A request for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackumentRequest {
    /// Whose document.
    pub name: PackageName,
    /// Which form of it.
    pub representation: Representation,
    /// What the lake has. With a tag or a date in it, the answer may be [`Answer::NotModified`].
    pub validators: Option<Validators>,
    /// Whether the lake holds a document of this name: then what is no packument does not take its place.
    pub is_held: bool,
}

impl PackumentRequest {
    /// Asks for the full form, whatever the lake has.
    pub fn full(name: impl Into<PackageName>) -> Self {
        PackumentRequest { name: name.into(), representation: Representation::Full, validators: None, is_held: false }
    }
}

/// What a registry answered to a request for a packument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The answer.
    pub answer: Answer<Document>,
    /// Its HTTP status.
    pub http_status: u16,
    /// How many requests were sent for it.
    pub attempts: u32,
    /// The validators of a [`Answer::NotModified`]: those sent back, else those that the request had. Of a fresh
    /// document they are in the document too.
    pub validators: Validators,
    /// The document's body as it came over the wire, in gzip, for who wants to keep it without compressing it again; a
    /// single member whose checksum was right. `None` where there is no such.
    pub gzip: Option<Bytes>,
}

/// Who counts the bytes in flight, and holds them back when there are too many.
pub trait BodyGate: Send + Sync {
    /// Awaited before `more_bytes` of a body are kept, decoded or as it came over the wire. A request that waits here reads nothing meanwhile, and leaves its
    /// place among the requests in flight to others.
    fn grow(&self, more_bytes: u64) -> impl Future<Output = ()> + Send;

    /// Told that `bytes` are kept no longer, because an attempt was given up or they were not needed.
    fn shrink(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Counts nothing.
impl BodyGate for () {
    async fn grow(&self, _more_bytes: u64) {}
}

pub(super) fn accept(representation: Representation) -> &'static str {
    match representation {
        Representation::Full => ACCEPT_FULL,
        Representation::Abbreviated => ACCEPT_ABBREVIATED,
    }
}

/// What a gate was told of one attempt's body; given back unless the body is kept, also when the attempt is cancelled.
pub(super) struct Grown<'a, G: BodyGate> {
    gate: &'a G,
    permit: &'a Permit,
    bytes: u64,
}

impl<'a, G: BodyGate> Grown<'a, G> {
    pub(super) fn new(gate: &'a G, permit: &'a Permit) -> Self {
        Grown { gate, permit, bytes: 0 }
    }

    /// Waits until there is memory for so much more, with a place among the requests in flight only while it need not wait:
    /// memory may become free only when another has had that place.
    pub(super) async fn grow(&mut self, more_bytes: u64) {
        let mut growing = std::pin::pin!(self.gate.grow(more_bytes));
        if poll_immediate(&mut growing).await.is_none() {
            let _aside = self.permit.step_aside();
            growing.await;
        }
        self.bytes += more_bytes;
    }

    /// So much of it is not kept after all.
    pub(super) fn shrink(&mut self, bytes: u64) {
        self.gate.shrink(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The body is kept: from here on its bytes are the caller's to count.
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
