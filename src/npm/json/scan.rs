//! Finds the end of a value: walks over the grammar and keeps nothing.

use wide::u8x16;

use super::MAX_DEPTH;
use super::error::{JsonError, JsonProblem};

/// Returns the offset of the next `"` or `\` from `position` on.
#[inline]
fn quote_or_backslash(bytes: &[u8], mut position: usize) -> Option<usize> {
    // Most strings of a packument end within a few blocks. Wider instructions search the long ones.
    for _ in 0..4 {
        let Some(block) = bytes.get(position..).and_then(|rest| rest.first_chunk::<16>()) else { break };
        let block = u8x16::new(*block);
        let found = (block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\'))).to_bitmask();
        if found != 0 {
            return Some(position + found.trailing_zeros() as usize);
        }
        position += 16;
    }
    memchr::memchr2(b'"', b'\\', bytes.get(position..)?).map(|offset| position + offset)
}

/// Returns the offset of the closing quote of a string whose first character is at `start`, and whether it has escapes.
#[inline]
pub(super) fn string_end(bytes: &[u8], start: usize) -> Result<(usize, bool), JsonError> {
    let mut position = start;
    let mut escaped = false;
    loop {
        let Some(at) = quote_or_backslash(bytes, position) else {
            return Err(JsonError { offset: bytes.len(), problem: JsonProblem::UnexpectedEnd });
        };
        if bytes.get(at) == Some(&b'"') {
            return Ok((at, escaped));
        }
        escaped = true;
        position = escape_end(bytes, at)?;
    }
}

/// Returns the offset after the escape whose backslash is at `backslash`.
#[inline]
fn escape_end(bytes: &[u8], backslash: usize) -> Result<usize, JsonError> {
    match bytes.get(backslash + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(backslash + 2),
        Some(b'u') => match bytes.get(backslash + 2..backslash + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(backslash + 6),
            Some(_) => Err(JsonError { offset: backslash, problem: JsonProblem::Expected("four hex digits") }),
            None => Err(JsonError { offset: bytes.len(), problem: JsonProblem::UnexpectedEnd }),
        },
        Some(_) => Err(JsonError { offset: backslash, problem: JsonProblem::Expected("an escape") }),
        None => Err(JsonError { offset: bytes.len(), problem: JsonProblem::UnexpectedEnd }),
    }
}

fn skip_space(bytes: &[u8], mut position: usize) -> usize {
    while matches!(bytes.get(position), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        position += 1;
    }
    position
}

/// Returns the offset after the value that starts at `start` and is at most `depth_left` levels deep.
pub(super) fn value_end(bytes: &[u8], start: usize, depth_left: u32) -> Result<usize, JsonError> {
    let expected = |offset, what| JsonError {
        offset,
        problem: if offset < bytes.len() { JsonProblem::Expected(what) } else { JsonProblem::UnexpectedEnd },
    };
    // One bit a level: set for an object. 512 levels fit eight words.
    let mut objects = [0_u64; (MAX_DEPTH as usize).div_ceil(64)];
    let mut depth = 0_usize;
    let mut position = start;
    loop {
        // A value.
        let mut opened = false;
        match bytes.get(position) {
            Some(b'"') => position = string_end(bytes, position + 1)?.0 + 1,
            Some(open @ (b'{' | b'[')) => {
                if depth >= depth_left as usize {
                    return Err(JsonError { offset: position, problem: JsonProblem::TooDeep });
                }
                let Some(word) = objects.get_mut(depth / 64) else {
                    return Err(JsonError { offset: position, problem: JsonProblem::TooDeep });
                };
                let bit = 1_u64 << (depth % 64);
                *word = if *open == b'{' { *word | bit } else { *word & !bit };
                depth += 1;
                opened = true;
                position += 1;
            }
            Some(b'-' | b'0'..=b'9') => position = number_end(bytes, position)?,
            Some(b't') => position = literal_end(bytes, position, b"true")?,
            Some(b'f') => position = literal_end(bytes, position, b"false")?,
            Some(b'n') => position = literal_end(bytes, position, b"null")?,
            _ => return Err(expected(position, "a value")),
        }
        // After the value: the end of one or more containers, or the next element.
        loop {
            if depth == 0 {
                return Ok(position);
            }
            position = skip_space(bytes, position);
            let level = depth - 1;
            let in_object = objects.get(level / 64).is_some_and(|word| word >> (level % 64) & 1 == 1);
            let close = if in_object { b'}' } else { b']' };
            match bytes.get(position) {
                Some(&byte) if byte == close => {
                    position += 1;
                    depth -= 1;
                    opened = false;
                    continue;
                }
                Some(b',') if !opened => position = skip_space(bytes, position + 1),
                _ if opened => {}
                _ => return Err(expected(position, if in_object { "`,` or `}`" } else { "`,` or `]`" })),
            }
            if in_object {
                if bytes.get(position) != Some(&b'"') {
                    return Err(expected(position, "a key"));
                }
                position = skip_space(bytes, string_end(bytes, position + 1)?.0 + 1);
                if bytes.get(position) != Some(&b':') {
                    return Err(expected(position, "`:`"));
                }
                position = skip_space(bytes, position + 1);
            }
            break;
        }
    }
}

fn literal_end(bytes: &[u8], start: usize, literal: &'static [u8]) -> Result<usize, JsonError> {
    if bytes.get(start..).is_some_and(|rest| rest.starts_with(literal)) {
        return Ok(start + literal.len());
    }
    Err(JsonError { offset: start, problem: JsonProblem::Expected("a value") })
}

fn number_end(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits_end = |from: usize| {
        let mut position = from;
        while matches!(bytes.get(position), Some(b'0'..=b'9')) {
            position += 1;
        }
        if position > from {
            return Ok(position);
        }
        let problem = if from < bytes.len() { JsonProblem::Expected("a digit") } else { JsonProblem::UnexpectedEnd };
        Err(JsonError { offset: from, problem })
    };
    let mut position = start + usize::from(bytes.get(start) == Some(&b'-'));
    position = if bytes.get(position) == Some(&b'0') { position + 1 } else { digits_end(position)? };
    if bytes.get(position) == Some(&b'.') {
        position = digits_end(position + 1)?;
    }
    if matches!(bytes.get(position), Some(b'e' | b'E')) {
        let signed = matches!(bytes.get(position + 1), Some(b'+' | b'-'));
        position = digits_end(position + 1 + usize::from(signed))?;
    }
    Ok(position)
}
