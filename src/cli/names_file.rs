//! Reads lists of package names from a file or standard input. Not here: the form of such a list (`npm/`), and the use
//! of the names.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::npm::{PackageName, parse_name_list};

/// Reads a list file, or standard input for `-`. Returns each name once, in order.
///
/// Fails with kind Input for a file that cannot be read or holds no name.
pub(super) fn read_names(path: &Path) -> Result<BTreeSet<PackageName>> {
    let unreadable = || format!("cannot read the names file {}", path.display());
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).or_error(ErrorKind::Input, unreadable)?;
        text
    } else {
        std::fs::read_to_string(path).or_error(ErrorKind::Input, unreadable)?
    };
    let names = parse_name_list(&text).doing(|| format!("reading the names file {}", path.display()))?;
    if names.is_empty() {
        return Err(Error::input(format!("the names file {} holds no name", path.display())));
    }
    Ok(names)
}
