//! Lists of package names as users keep them: a JSON array, or one name a line. Not here: reading such a text from its
//! source.

use std::collections::BTreeSet;

use super::PackageName;
use crate::error::{Context, Error, ErrorKind, Result};

/// Returns the names in the text of a list: each once, in order. Drops versions (`name@1.0.0`), `#` comments and
/// entries without a name.
///
/// Fails with kind Input for a text that begins like a JSON array and is no array of strings, and for lines of JSON or
/// of a table.
pub fn parse_name_list(text: &str) -> Result<BTreeSet<PackageName>> {
    if text.trim_start().starts_with('[') {
        let specs: Vec<String> = serde_json::from_str(text).or_error(ErrorKind::Input, || {
            "the text begins like a JSON array, but is no array of strings".to_owned()
        })?;
        return Ok(names(specs.iter().map(String::as_str)));
    }
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or(""));
    if let Some(odd) = lines.clone().find(|line| line.contains(['"', '{', '}', '[', ']', ','])) {
        return Err(Error::input(format!("{:?} is no name", odd.trim()))
            .hint("give a JSON array of names, or one name a line and nothing else"));
    }
    Ok(names(lines))
}

fn names<'a>(specs: impl Iterator<Item = &'a str>) -> BTreeSet<PackageName> {
    let specs = specs.map(str::trim).filter(|spec| !spec.is_empty());
    specs.map(|spec| PackageName::new(PackageName::from_spec(spec).as_str().trim_end())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_an_array_or_lines() {
        let expected = BTreeSet::from(["@a/b", "lodash", "react"].map(PackageName::from));
        assert_eq!(parse_name_list("[\"@a/b\", \"lodash@4.17.21\", \"react\", \" \"]").unwrap(), expected);
        assert_eq!(parse_name_list("# list\n@a/b@1.0.0\n\nlodash # old\n react \n").unwrap(), expected);
        assert_eq!(parse_name_list("react @18\nlodash\n@a/b").unwrap(), expected);
        for bad in ["[1]", "{\"names\": [\"x\"]}", "\"x\",\n\"y\",", "react,18\nlodash,4", "// list\n[\"x\"]"] {
            assert_eq!(parse_name_list(bad).unwrap_err().kind(), ErrorKind::Input, "{bad}");
        }
    }
}
