//! The JavaScript engine: reads pivots files that are code.
//!
//! Not here: pivots files that are data ([`Pivots::parse`]), and the choice of the file (`cli/`).

mod engine;
#[cfg(test)]
mod tests;

use crate::error::{Doing, Result};
use crate::lake::{Pivots, PivotsText};
use engine::Limits;

/// Reads the text of a pivots file of any form. `file_name` helps to tell its form, and appears in errors.
///
/// Beside the forms of [`Pivots::parse`] it reads an array literal of JSON5 or JavaScript, and JavaScript that exports
/// an array as `module.exports`, `exports.pivots`, `export default` or `export const pivots`, computed by any code.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Input`]: as [`Pivots::parse`], and for code that fails, needs too much time or memory, or
/// exports no list of texts.
pub fn read_pivots(text: &str, file_name: &str) -> Result<Pivots> {
    read_within(text, file_name, Limits::DEFAULT)
}

fn read_within(text: &str, file_name: &str, limits: Limits) -> Result<Pivots> {
    match Pivots::parse(text, file_name)? {
        PivotsText::Pivots(pivots) => Ok(pivots),
        PivotsText::Code(code) => {
            let elements = engine::evaluate(code, file_name, limits);
            Pivots::from_elements(elements.doing(|| format!("reading the pivots file {file_name}"))?, file_name)
        }
    }
}
