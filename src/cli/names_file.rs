//! Reads lists of package names from a file or standard input. Not here: the form of such a list (`npm/`), and the use
//! of the names.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Doing, Error, Result};
use crate::npm::{PackageName, parse_name_list};
use crate::text;

/// The longest list that is read, in bytes: all names of npm have less than a tenth of it.
const MOST_BYTES: u64 = 1 << 30;

/// Reads a list file, or standard input for `-`. Returns each name once, in order.
///
/// Fails with kind Input for a file that cannot be read or holds no name.
pub(super) fn read_names(path: &Path) -> Result<BTreeSet<PackageName>> {
    let text = match path == Path::new("-") {
        true => text::read_standard_input(MOST_BYTES)?,
        false => text::read(path, "names file", MOST_BYTES)?,
    };
    let names = parse_name_list(&text).doing(|| format!("reading the names file {}", path.display()))?;
    if names.is_empty() {
        return Err(Error::input(format!("the names file {} holds no name", path.display())));
    }
    Ok(names)
}
