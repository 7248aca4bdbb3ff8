//! The limits of a document's rows: a small document can be made to expand into rows without end.

use crate::npm::packument::{DocumentMember, Outline};

/// The most bytes that the rows of one member of a document or version may take, by an upper bound. A member made to
/// expand (a long name beside a million one-letter dependencies) is malformed.
const MAX_ROWS_BYTES: usize = 256 << 20;
/// The most elements of a member, in objects and lists of any depth. npm's largest have 80,000: the times of 40,000
/// versions, and as many unpublished ones.
const MAX_ELEMENTS: usize = 1_000_000;

/// Checks that a JSON object is a packument whose rows can be held.
pub(super) fn check(outline: &Outline, text: &str, name: &str) -> Result<(), String> {
    use DocumentMember::{Id, Name, Time, Versions};
    if [Id, Name, Time, Versions].into_iter().all(|member| outline.member(text, member).is_none()) {
        return Err("it has no _id, name, time or versions: no packument".to_owned());
    }
    let longest_key = outline.versions().iter().map(|version| version.key.size_bytes()).max().unwrap_or(0) as usize;
    if has_few_rows(text, name.len() + longest_key) {
        return Ok(());
    }
    let mut rows_bytes = 0;
    for member in DocumentMember::ALL.into_iter().filter(|member| *member != Versions) {
        rows_bytes = rows_bytes.max(bounded_rows(outline.member(text, member).unwrap_or_default(), name.len())?);
    }
    for version in outline.versions() {
        let key_bytes = version.key.size_bytes() as usize;
        for found in outline.members(version) {
            rows_bytes = rows_bytes.max(bounded_rows(found.value.of(text), name.len() + key_bytes)?);
        }
    }
    if rows_bytes > MAX_ROWS_BYTES {
        return Err(format!("the rows of one of its members could take more than {} MiB", MAX_ROWS_BYTES >> 20));
    }
    Ok(())
}

/// Returns whether a value is too small to have too many rows. Nearly all documents need no closer look.
fn has_few_rows(value: &str, key_bytes: usize) -> bool {
    // An element takes at least a character and a comma.
    let most_elements = value.len() / 2;
    most_elements <= MAX_ELEMENTS && most_elements.saturating_mul(key_bytes) <= MAX_ROWS_BYTES
}

/// Returns the most bytes that the rows of a member's value can take when each repeats `key_bytes`.
fn bounded_rows(value: &str, key_bytes: usize) -> Result<usize, String> {
    if has_few_rows(value, key_bytes) {
        return Ok(0);
    }
    let mut is_string = false;
    let mut escaped = false;
    let mut elements = 1_usize;
    for byte in value.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => is_string = !is_string,
            b',' if !is_string => elements += 1,
            _ => {}
        }
    }
    if elements > MAX_ELEMENTS {
        return Err(format!("one of its members has more than {MAX_ELEMENTS} elements"));
    }
    Ok(elements.saturating_mul(key_bytes))
}
