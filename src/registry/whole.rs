//! Reads the body of a document to its end: decoded, and as received.
//!
//! Not here: whether it is the requested document (`identity`).

use bytes::Bytes;

use super::body::Body;
use super::classify::Fault;
use super::gzip::{claimed_bytes, inflate_at_once};
use super::packument::{BodyGate, Grown};

/// The most memory that is reserved because of a size that the server claims.
const MAX_RESERVED_BYTES: usize = 1 << 20;

/// Compressed bodies up to this size are kept as received and inflated in one step. Larger ones, a few of millions, are
/// inflated on arrival: otherwise both forms would be in memory for a long time.
const MAX_KEPT_GZIP_BYTES: usize = 4 << 20;

/// A whole body. The gate has counted the bytes of both forms.
pub(super) struct Whole {
    pub(super) document: Bytes,
    /// The body in gzip as received; `None` if it was not gzip or was too large to keep.
    pub(super) gzip: Option<Bytes>,
}

/// Reads a body of at most `limit_bytes`, decoded.
pub(super) async fn read_whole<G: BodyGate>(
    body: &mut Body<'_>,
    grown: &mut Grown<'_, G>,
    limit_bytes: u64,
) -> Result<Whole, Fault> {
    if body.is_gzip() {
        if let Some(whole) = read_gzip(body, grown, limit_bytes).await? {
            return Ok(whole);
        }
    } else if body.wire_bytes().is_some_and(|bytes| bytes > limit_bytes) {
        return Err(Fault::Oversize { limit_bytes });
    }
    let document = read_pieces(body, grown, limit_bytes).await?;
    Ok(Whole { document, gzip: None })
}

/// Reads a gzip body and inflates it in one step; `None` if it must be inflated in pieces from its beginning.
async fn read_gzip<G: BodyGate>(
    body: &mut Body<'_>,
    grown: &mut Grown<'_, G>,
    limit_bytes: u64,
) -> Result<Option<Whole>, Fault> {
    let mut encoded = Vec::with_capacity(reserved(body.wire_bytes()));
    while encoded.len() <= MAX_KEPT_GZIP_BYTES
        && let Some(wire) = body.next_encoded().await?
    {
        grown.grow(wire.len() as u64).await;
        encoded.extend_from_slice(&wire);
    }
    let claimed = claimed_bytes(&encoded).filter(|&claimed| claimed as u64 <= limit_bytes);
    if let Some(claimed) = claimed.filter(|_| encoded.len() <= MAX_KEPT_GZIP_BYTES) {
        grown.grow(claimed as u64).await;
        if let Some(document) = inflate_at_once(&encoded, claimed) {
            body.count_decoded(document.len());
            return Ok(Some(Whole { document: document.into(), gzip: Some(encoded.into()) }));
        }
        grown.shrink(claimed as u64);
    }
    grown.shrink(encoded.len() as u64);
    body.put_back(encoded.into());
    Ok(None)
}

async fn read_pieces<G: BodyGate>(
    body: &mut Body<'_>,
    grown: &mut Grown<'_, G>,
    limit_bytes: u64,
) -> Result<Bytes, Fault> {
    let expected = body.wire_bytes().filter(|_| !body.is_gzip());
    let mut document = Vec::with_capacity(reserved(expected));
    while let Some(piece) = body.next().await? {
        if (document.len() + piece.len()) as u64 > limit_bytes {
            return Err(Fault::Oversize { limit_bytes });
        }
        grown.grow(piece.len() as u64).await;
        make_room(&mut document, piece.len(), limit_bytes);
        document.extend_from_slice(piece);
    }
    // Capacity beyond the end of a small body would be memory that no gate counts.
    Ok(match document.len() <= MAX_RESERVED_BYTES {
        true => Bytes::from(document.into_boxed_slice()),
        false => Bytes::from(document),
    })
}

fn reserved(expected_bytes: Option<u64>) -> usize {
    usize::try_from(expected_bytes.unwrap_or_default()).unwrap_or_default().min(MAX_RESERVED_BYTES)
}

/// Reserves capacity for one more piece of a body. A large buffer grows fourfold instead of twofold: each step leaves a
/// block behind that the allocator keeps for a while, and unused capacity costs no memory.
fn make_room(document: &mut Vec<u8>, piece_bytes: usize, limit_bytes: u64) {
    if document.capacity() - document.len() < piece_bytes && document.len() >= MAX_RESERVED_BYTES {
        let most = usize::try_from(limit_bytes).unwrap_or(usize::MAX).max(document.len() + piece_bytes);
        document.reserve_exact(document.len().saturating_mul(4).min(most) - document.len());
    }
}
