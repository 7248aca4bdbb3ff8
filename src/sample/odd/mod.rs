//! (to be filled)
/// x
pub struct OddDocument;
/// x
pub fn odd_documents() -> Vec<OddDocument> {
    Vec::new()
}
