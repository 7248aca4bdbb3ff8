//! Errors about packages that have no values, with what to do. Not here: statements about values.

use super::rows::Statement;
use crate::error::{Error, Result};
use crate::query::Session;

/// Returns those of `names` that are packages of the lake.
pub(super) async fn held(session: &Session, names: &[String]) -> Result<Vec<String>> {
    Statement::new("select name from packages where name in ($names)").with_names(names).texts(session).await
}

/// Returns the error for a package that has no values: `of_held` if the lake holds it, else an error that suggests the
/// nearest name.
pub(super) async fn without_values(session: &Session, name: &str, flags: &str, of_held: Error) -> Result<Error> {
    if !held(session, &[name.to_owned()]).await?.is_empty() {
        return Ok(of_held);
    }
    // A name differs from the one that was meant by few letters.
    let letters = name.chars().count() / 4 + 1;
    let nearest = "select name from packages where levenshtein(name, $name) <= cast($letters as int)
        order by levenshtein(name, $name), name limit 1";
    let nearest = Statement::new(nearest).with("name", name).with("letters", &letters.to_string());
    let meant = nearest.texts(session).await?.pop();
    let meant = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
    Ok(Error::input(format!("the lake holds no package {name:?}"))
        .hint(format!("{meant}all-docs packument fetch {name}{flags} fetches it")))
}
