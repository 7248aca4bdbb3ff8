//! Lists of package names, as users keep them: a JSON array, or a name a line. Not here: what is done with them.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::npm::PackageName;

/// Reads a list file, `-` for standard input: each name once, in order. Versions and `#` comments are dropped.
///
/// Fails, of kind Input, for a file that cannot be read or holds no name.
pub(super) fn read_names(path: &Path) -> Result<BTreeSet<PackageName>> {
    let unreadable = || format!("cannot read the names file {}", path.display());
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).or_error(ErrorKind::Input, unreadable)?;
        text
    } else {
        std::fs::read_to_string(path).or_error(ErrorKind::Input, unreadable)?
    };
    let names = parse_names(&text).doing(|| format!("reading the names file {}", path.display()))?;
    if names.is_empty() {
        return Err(Error::input(format!("the names file {} holds no name", path.display())));
    }
    Ok(names.into_iter().collect())
}

fn parse_names(text: &str) -> Result<Vec<PackageName>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('[') {
        let names: Vec<String> = serde_json::from_str(text).or_error(ErrorKind::Input, || {
            "the file begins like a JSON array, but is no array of strings".to_owned()
        })?;
        return Ok(names.iter().map(|name| PackageName::from_spec(name.trim())).collect());
    }
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    Ok(lines.filter(|line| !line.is_empty()).map(PackageName::from_spec).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_names_file_is_an_array_or_lines() {
        let expected = ["@a/b", "lodash", "react"].map(PackageName::from);
        assert_eq!(parse_names("[\"@a/b\", \"lodash@4.17.21\", \"react\"]").unwrap(), expected);
        assert_eq!(parse_names("\u{feff}# list\n@a/b@1.0.0\n\nlodash # old\n react \n").unwrap(), expected);
        assert_eq!(parse_names("[1]").unwrap_err().kind(), ErrorKind::Input);
    }
}
