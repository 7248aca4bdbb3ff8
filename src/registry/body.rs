//! The body of an answer, decoded piece by piece as it arrives.
//!
//! gzip is undone here rather than in the HTTP client, which would hide how many bytes came over the wire, hand on pieces
//! of 8 KiB, and let a small body inflate without our seeing it.

use std::time::Duration;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use super::classify::Fault;
use super::statistics::{Counters, add};

/// How much is inflated at once: as large as a processor's nearest caches like it.
const PIECE_BYTES: usize = 64 << 10;

/// The window of gzip, as a power of two: the greatest that the format has.
const WINDOW_BITS: u8 = 15;

/// What comes after the headers.
pub(super) struct Body<'a> {
    response: reqwest::Response,
    counters: &'a Counters,
    silence_timeout: Duration,
    /// How much longer this answer may be waited for.
    time_left: Duration,
    coding: Coding,
}

enum Coding {
    Identity(Bytes),
    Gzip(Box<Inflate>),
    Unknown(String),
}

struct Inflate {
    decompress: Decompress,
    wire: Bytes,
    member_ended: bool,
    more_output: bool,
    piece: Vec<u8>,
}

impl<'a> Body<'a> {
    pub(super) fn new(
        response: reqwest::Response,
        counters: &'a Counters,
        silence_timeout: Duration,
        time_left: Duration,
    ) -> Self {
        let coding = Coding::of(response.headers());
        Body { response, counters, silence_timeout, time_left, coding }
    }

    /// How many bytes all pieces will have, where the headers say it.
    pub(super) fn expected_bytes(&self) -> Option<u64> {
        match self.coding {
            Coding::Identity(_) => self.response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Whether the protocol tells a whole body from one that broke off: by a length, by chunks, or by gzip's own end.
    pub(super) fn has_certain_end(&self) -> bool {
        let headers = self.response.headers();
        !matches!(self.coding, Coding::Identity(_))
            || headers.contains_key(CONTENT_LENGTH)
            || headers.contains_key(TRANSFER_ENCODING)
    }

    /// The next piece, at most 64 KiB of an inflated body, never empty; `None` at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<&[u8]>, Fault> {
        loop {
            if self.inflate_piece()? {
                break;
            }
            let Some(wire) = self.next_wire_bytes().await? else {
                return match &self.coding {
                    Coding::Gzip(inflate) if !inflate.member_ended => {
                        Err(Fault::Cut("the compressed body stops before its end".to_owned()))
                    }
                    _ => Ok(None),
                };
            };
            match &mut self.coding {
                Coding::Identity(_) if wire.is_empty() => {}
                Coding::Identity(bytes) => {
                    *bytes = wire;
                    break;
                }
                Coding::Gzip(inflate) => inflate.wire = wire,
                Coding::Unknown(name) => {
                    return Err(Fault::Garbled(format!("content encoding {name:?} was not asked for")));
                }
            }
        }
        let piece: &[u8] = match &self.coding {
            Coding::Identity(bytes) => bytes,
            Coding::Gzip(inflate) => &inflate.piece,
            Coding::Unknown(_) => &[],
        };
        add(&self.counters.decoded_bytes, piece.len() as u64);
        Ok(Some(piece))
    }

    /// Reads on until `at_least` bytes are there or the body ends, for a look at a body that is no document. What is
    /// missing after a fault is not missed. A short body is drained by this, so its connection can be used again.
    pub(super) async fn beginning(mut self, at_least: usize) -> Vec<u8> {
        let mut beginning = Vec::new();
        while let Ok(Some(piece)) = self.next().await {
            beginning.extend_from_slice(piece);
            if beginning.len() >= at_least {
                break;
            }
        }
        beginning
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
    fn inflate_piece(&mut self) -> Result<bool, Fault> {
        let Coding::Gzip(inflate) = &mut self.coding else { return Ok(false) };
        inflate.piece.clear();
        // A full piece may have left output behind that no further input is needed for.
        while !inflate.wire.is_empty() || inflate.more_output {
            if inflate.member_ended {
                // Another member follows, or padding, which every other reader of gzip ignores as well.
                if inflate.wire.first() != Some(&0x1f) {
                    inflate.wire.clear();
                    break;
                }
                inflate.decompress = Decompress::new_gzip(WINDOW_BITS);
                inflate.member_ended = false;
            }
            let read_before = inflate.decompress.total_in();
            let status = inflate
                .decompress
                .decompress_vec(&inflate.wire, &mut inflate.piece, FlushDecompress::None)
                .map_err(|error| Fault::Garbled(error.to_string()))?;
            let read = usize::try_from(inflate.decompress.total_in() - read_before).unwrap_or(usize::MAX);
            let _ = inflate.wire.split_to(read.min(inflate.wire.len()));
            inflate.member_ended = status == Status::StreamEnd;
            inflate.more_output = inflate.piece.len() == inflate.piece.capacity() && !inflate.member_ended;
            if inflate.piece.len() == inflate.piece.capacity() {
                return Ok(true);
            }
            if read == 0 && !inflate.member_ended && !inflate.wire.is_empty() {
                return Err(Fault::Garbled("the compressed body makes no progress".to_owned()));
            }
        }
        Ok(!inflate.piece.is_empty())
    }
}

impl Coding {
    fn of(headers: &HeaderMap) -> Coding {
        let name = headers.get(CONTENT_ENCODING).map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
        match name.as_deref().map(str::trim) {
            None | Some("" | "identity") => Coding::Identity(Bytes::new()),
            Some("gzip" | "x-gzip") => Coding::Gzip(Box::new(Inflate {
                decompress: Decompress::new_gzip(WINDOW_BITS),
                wire: Bytes::new(),
                member_ended: false,
                more_output: false,
                piece: Vec::with_capacity(PIECE_BYTES),
            })),
            Some(other) => Coding::Unknown(other.chars().take(40).collect()),
        }
    }
}

/// The last cause of an error: the client's outer ones repeat the URL and each other.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
