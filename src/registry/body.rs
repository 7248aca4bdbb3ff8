//! The body of a response, decoded piece by piece as it arrives.
//!
//! This module inflates gzip itself. The HTTP client would hide the number of bytes on the wire, return pieces of 8
//! KiB, and let a small body inflate without limit.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use super::classify::Fault;
use super::gzip::Inflate;
use super::statistics::{Counters, add};

/// The size of an inflated piece. It fits a processor's nearest caches.
const PIECE_BYTES: usize = 64 << 10;
/// The length of the peeked beginning: more white space than any server sends before its JSON.
const PEEK_BYTES: usize = 1 << 10;
/// The most wire bytes read for a peek. So many inflate to at least one byte, unless they are crafted not to.
const MOST_WIRE_BYTES_OF_PEEK: usize = 64 << 10;

/// The part of a response after the headers.
pub(super) struct Body<'a> {
    response: reqwest::Response,
    counters: &'a Counters,
    silence_timeout: Duration,
    /// The time left for this response.
    time_left: Duration,
    coding: Coding,
    /// Bytes from the wire that are not decoded yet.
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

    /// Returns the number of bytes on the wire, where the headers tell it.
    pub(super) fn wire_bytes(&self) -> Option<u64> {
        self.response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Returns whether the protocol tells a whole body from a broken-off one: by a length, by chunks, or by gzip's own
    /// end.
    pub(super) fn has_certain_end(&self) -> bool {
        let headers = self.response.headers();
        !matches!(self.coding, Coding::Identity)
            || headers.contains_key(CONTENT_LENGTH)
            || headers.contains_key(TRANSFER_ENCODING)
    }

    /// Returns the beginning of the decoded body, at most 1 KiB; nothing where the body is empty. Consumes no piece.
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

    /// Returns the next piece, at most 64 KiB of an inflated body, never empty; `None` at the end of the body.
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

    /// Reads on until `at_least` bytes are there or the body ends, to inspect a body that is no document. Ignores
    /// faults. This drains a short body, so its connection can be reused.
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

    /// Returns the next bytes as they come over the wire; `None` at their end. Not mixed with [`Body::next`], except
    /// for bytes put back.
    pub(super) async fn next_encoded(&mut self) -> Result<Option<Bytes>, Fault> {
        match self.wire.is_empty() {
            false => Ok(Some(std::mem::take(&mut self.wire))),
            true => self.next_wire_bytes().await,
        }
    }

    /// Puts back bytes from [`Body::next_encoded`], for [`Body::next`] to decode.
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

    /// Decodes a piece from the bytes received; false if more are needed.
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
    Fault::Garbled(format!("content encoding {coding:?} was not requested"))
}

/// Returns the last cause of an error: the client's outer ones repeat the URL and each other.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
