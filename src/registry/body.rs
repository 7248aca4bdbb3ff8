//! The body of an answer, decoded piece by piece as it arrives.
//!
//! gzip is undone by us rather than by the HTTP client, which would hide how many bytes came over the wire, hand on pieces
//! of 8 KiB, and let a small body inflate without our seeing it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use super::classify::Fault;
use super::gzip::Inflate;
use super::statistics::{Counters, add};

/// How much is inflated at once: as large as a processor's nearest caches like it.
const PIECE_BYTES: usize = 64 << 10;
/// How much of a body's beginning is looked at: more white space than any server sends before its JSON.
const PEEK_BYTES: usize = 1 << 10;
/// So many bytes over the wire make at least one, unless they are made not to.
const MOST_WIRE_BYTES_OF_PEEK: usize = 64 << 10;

/// What comes after the headers.
pub(super) struct Body<'a> {
    response: reqwest::Response,
    counters: &'a Counters,
    silence_timeout: Duration,
    /// How much longer this answer may be waited for.
    time_left: Duration,
    coding: Coding,
    /// Came over the wire and is not decoded yet.
    wire: Bytes,
    /// The last piece of a body that is not compressed.
    piece: Bytes,
    inflate: Option<Box<Inflate>>,
}

enum Coding {
    Identity,
    Gzip,
    Unknown(String),
}

impl<'a> Body<'a> {
    pub(super) fn new(
        response: reqwest::Response,
        counters: &'a Counters,
        silence_timeout: Duration,
        time_left: Duration,
    ) -> Self {
        let coding = Coding::of(response.headers());
        let (wire, piece, inflate) = (Bytes::new(), Bytes::new(), None);
        Body { response, counters, silence_timeout, time_left, coding, wire, piece, inflate }
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn is_gzip(&self) -> bool {
        matches!(self.coding, Coding::Gzip)
    }

    /// How many bytes come over the wire, where the headers say it.
    pub(super) fn wire_bytes(&self) -> Option<u64> {
        self.response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Whether the protocol tells a whole body from one that broke off: by a length, by chunks, or by gzip's own end.
    pub(super) fn has_certain_end(&self) -> bool {
        let headers = self.response.headers();
        !matches!(self.coding, Coding::Identity)
            || headers.contains_key(CONTENT_LENGTH)
            || headers.contains_key(TRANSFER_ENCODING)
    }

    /// What the decoded body begins with, at most 1 KiB; nothing where the body is empty. No piece is taken by this.
    pub(super) async fn peek(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            let (beginning, has_ended) = match &self.coding {
                Coding::Identity => (self.wire.get(..PEEK_BYTES).unwrap_or(&self.wire).to_vec(), true),
                Coding::Gzip => {
                    let mut inflate = Inflate::new(PEEK_BYTES);
                    inflate.next_piece(&mut self.wire.clone())?;
                    (inflate.piece, inflate.member_ended)
                }
                Coding::Unknown(name) => return Err(unknown(name)),
            };
            if !beginning.is_empty() {
                return Ok(beginning);
            }
            if self.wire.len() > MOST_WIRE_BYTES_OF_PEEK {
                return Err(Fault::Garbled("the compressed body does not begin".to_owned()));
            }
            match self.next_wire_bytes().await? {
                Some(more) if self.wire.is_empty() => self.wire = more,
                Some(more) => self.wire = [&self.wire[..], &more].concat().into(),
                None if has_ended => return Ok(beginning),
                None => return Err(cut()),
            }
        }
    }

    /// The next piece, at most 64 KiB of an inflated body, never empty; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        while !self.decode_piece()? {
            match self.next_wire_bytes().await? {
                Some(wire) => self.wire = wire,
                None if self.is_gzip() && !self.inflate.as_ref().is_some_and(|inflate| inflate.member_ended) => {
                    return Err(cut());
                }
                None => return Ok(None),
            }
        }
        let piece: &[u8] = self.inflate.as_ref().map_or(&self.piece, |inflate| &inflate.piece);
        add(&self.counters.decoded_bytes, piece.len() as u64);
        Ok(Some(piece))
    }

    /// Reads on until `at_least` bytes are there or the body ends, for a look at a body that is no document. What is
    /// missing after a fault is not missed. A short body is drained by this, so its connection can be used again.
    pub(super) async fn beginning(&mut self, at_least: usize) -> Vec<u8> {
        let mut beginning = Vec::new();
        while let Ok(Some(piece)) = self.next().await {
            beginning.extend_from_slice(piece);
            if beginning.len() >= at_least {
                break;
            }
        }
        beginning
    }

    /// The next bytes as they come over the wire; `None` at their end. Not mixed with [`Body::next`], but for what is put
    /// back.
    pub(super) async fn next_encoded(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.wire.is_empty() {
            false => Ok(Some(std::mem::take(&mut self.wire))),
            true => self.next_wire_bytes().await,
        }
    }

    /// Puts back what [`Body::next_encoded`] gave, so that [`Body::next`] decodes it.
    pub(super) fn put_back(&mut self, encoded: Bytes) {
        self.wire = encoded;
    }

    /// Counts bytes that were decoded elsewhere.
    pub(super) fn count_decoded(&self, bytes: usize) {
        add(&self.counters.decoded_bytes, bytes as u64);
    }

    async fn next_wire_bytes(&mut self) -> Result<Option<Bytes>, Fault> {
        let began = tokio::time::Instant::now();
        let patience = self.silence_timeout.min(self.time_left);
        let chunk = match tokio::time::timeout(patience, self.response.chunk()).await {
            Err(_) => return Err(Fault::TimedOut),
            Ok(Err(error)) => return Err(Fault::Cut(innermost(&error))),
            Ok(Ok(chunk)) => chunk,
        };
        self.time_left = self.time_left.saturating_sub(began.elapsed());
        if let Some(chunk) = &chunk {
            add(&self.counters.wire_bytes, chunk.len() as u64);
        }
        Ok(chunk)
    }

    /// Makes a piece of what has come over the wire; false if more of that is needed.
    fn decode_piece(&mut self) -> Result<bool, Fault> {
        match &self.coding {
            Coding::Identity => {
                self.piece = std::mem::take(&mut self.wire);
                Ok(!self.piece.is_empty())
            }
            Coding::Gzip => {
                let inflate = self.inflate.get_or_insert_with(|| Box::new(Inflate::new(PIECE_BYTES)));
                inflate.next_piece(&mut self.wire)
            }
            Coding::Unknown(name) => Err(unknown(name)),
        }
    }
}

impl Coding {
    fn of(headers: &HeaderMap) -> Coding {
        let name = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
        match name.as_deref().map(str::trim) {
            None | Some("" | "identity") => Coding::Identity,
            Some("gzip" | "x-gzip") => Coding::Gzip,
            Some(other) => Coding::Unknown(other.chars().take(40).collect()),
        }
    }
}

fn cut() -> Fault {
    Fault::Cut("the compressed body stops before its end".to_owned())
}

fn unknown(coding: &str) -> Fault {
    Fault::Garbled(format!("content encoding {coding:?} was not asked for"))
}

/// The last cause of an error: the client's outer ones repeat the URL and each other.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
