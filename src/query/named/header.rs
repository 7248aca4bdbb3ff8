//! Reads the header of a query's file: comment lines that say what one row is, what the query reads, its columns and
//! parameters.
//!
//! ```sql
//! -- One row is: a package that depends on the given one.
//! -- Reads: depended_upon
//! -- Columns: name, description
//! -- Parameter: name text: the package that is depended upon
//! -- Parameter: limit number = 100: most rows
//! -- Example: all-docs query --view dependents --param name=react
//! ```
//!
//! A comment line that begins with two spaces continues the line before it. Other comments are for people.

use super::parameter::{Parameter, ParameterType};
use super::{NamedQuery, QueryKind};
use crate::error::{Error, Result};

/// The words that begin a line of a header.
const WORDS: [&str; 6] = ["One row is", "Reads", "Columns", "Key", "Parameter", "Example"];

impl NamedQuery {
    /// Reads a file of a folder of queries.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for a name that SQL cannot use without quotes, a header that does
    /// not say what one row is, an invalid declaration, and a view with parameters.
    pub fn parse(name: &str, kind: QueryKind, sql: &str) -> Result<NamedQuery> {
        let what = || format!("the {} {name}", kind.as_str());
        let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) || !name.chars().all(is_plain) {
            return Err(Error::input(format!("{name:?} is not a name that SQL can use"))
                .hint("name the file with small letters, digits and _, such as my_report.sql"));
        }
        let query = NamedQuery::read(name, kind, sql).map_err(|error| error.doing(format!("reading {}", what())))?;
        if query.grain.is_empty() {
            return Err(Error::input(format!("{} does not say what one row is", what()))
                .hint("begin the file with a line such as: -- One row is: a package"));
        }
        if kind == QueryKind::View && !query.parameters.is_empty() {
            return Err(Error::input(format!("{} has parameters, which only a report can have", what()))
                .hint(format!("move the file to the folder {}", QueryKind::Report.folder())));
        }
        Ok(query)
    }

    /// Reads a file that is given by its path. Members that its header does not give stay empty.
    ///
    /// Fails with [`crate::error::ErrorKind::Input`] for an invalid declaration of a parameter.
    pub fn read(name: &str, kind: QueryKind, sql: &str) -> Result<NamedQuery> {
        let mut query = NamedQuery {
            name: name.to_owned(),
            kind,
            grain: String::new(),
            reads: Vec::new(),
            columns: Vec::new(),
            key: Vec::new(),
            parameters: Vec::new(),
            example: String::new(),
            sql: sql.to_owned(),
        };
        for (word, text) in entries(sql) {
            let list = || text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
            match word {
                "One row is" => query.grain = text.trim_end_matches('.').to_owned(),
                "Reads" => query.reads = list(),
                "Columns" => query.columns = list(),
                "Key" => query.key = list(),
                "Parameter" => query.parameters.push(parameter(&text)?),
                _ => query.example = text,
            }
        }
        if kind == QueryKind::View && query.key.is_empty() {
            query.key.clone_from(&query.columns);
        }
        Ok(query)
    }
}

/// Returns the entries of the header: the comment lines before the first line of SQL.
fn entries(sql: &str) -> Vec<(&'static str, String)> {
    let mut entries: Vec<(&'static str, String)> = Vec::new();
    let mut goes_on = false;
    for line in sql.lines().map(str::trim_end).take_while(|line| line.is_empty() || line.starts_with("--")) {
        let comment = line.strip_prefix("--").unwrap_or_default();
        let begun = WORDS.into_iter().find_map(|word| {
            let text = comment.trim_start().strip_prefix(word)?.strip_prefix(':')?;
            Some((word, text.trim().to_owned()))
        });
        if let Some(entry) = begun {
            entries.push(entry);
            goes_on = true;
        } else if goes_on && comment.starts_with("  ") {
            if let Some((_, text)) = entries.last_mut() {
                text.push(' ');
                text.push_str(comment.trim());
            }
        } else {
            goes_on = false;
        }
    }
    entries
}

/// Parses a declaration: `limit number = 20: most rows`.
fn parameter(text: &str) -> Result<Parameter> {
    let wrong = |why: String| {
        Error::input(format!("{text:?} declares no parameter: {why}"))
            .hint("as in: -- Parameter: limit number = 20: most rows")
    };
    let (declared, doc) = text.split_once(':').unwrap_or((text, ""));
    let (declared, default) = match declared.split_once('=') {
        Some((declared, default)) => (declared, Some(default.trim())),
        None => (declared, None),
    };
    let (name, type_name) = declared.trim().split_once(' ').ok_or_else(|| wrong("it has no type".to_owned()))?;
    let value_type = ParameterType::parse(type_name.trim())
        .ok_or_else(|| wrong(format!("the types are {}", ParameterType::names())))?;
    let default = match default {
        None => None,
        Some(default) => {
            let value = value_type.read(default);
            Some(value.ok_or_else(|| wrong(format!("{default:?} is not a {}", value_type.as_str())))?)
        }
    };
    Ok(Parameter { name: name.to_owned(), value_type, default, doc: doc.trim().to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const REPORT: &str = "-- One row is: a package,\n--   and more of it.\n-- A note for people.\n-- Reads: packages, stars\n\
        -- Columns: name, stars\n-- Parameter: limit number = 20: most rows: all of them\n-- Parameter: since time\n\
        -- Example: all-docs query --view x\n\nselect 1 -- One row is: not this\n";

    #[test]
    fn a_header_describes_a_query() {
        let query = NamedQuery::parse("x", QueryKind::Report, REPORT).unwrap();
        assert_eq!(query.grain, "a package, and more of it");
        assert_eq!((query.reads.len(), query.columns.as_slice()), (2, &["name".to_owned(), "stars".to_owned()][..]));
        assert_eq!(query.parameters[0].to_string(), "limit (number, 20 unless given): most rows: all of them");
        assert_eq!(query.parameters[1].to_string(), "since (time, must be given)");
        assert_eq!(query.example, "all-docs query --view x");
        let view = NamedQuery::parse("v", QueryKind::View, "-- One row is: x\n-- Columns: a, b\nselect 1").unwrap();
        assert_eq!(view.key, ["a", "b"]);
    }

    #[test]
    fn an_incomplete_or_invalid_header_is_refused() {
        for (name, kind, sql, expected) in [
            ("x", QueryKind::Report, "select 1", "does not say what one row is"),
            ("x", QueryKind::View, REPORT, "only a report"),
            ("X y", QueryKind::View, REPORT, "not a name"),
            ("x", QueryKind::Report, "-- Parameter: limit", "no type"),
            ("x", QueryKind::Report, "-- Parameter: limit float", "the types are text"),
            ("x", QueryKind::Report, "-- Parameter: limit number = many: x", "\"many\" is not a number"),
        ] {
            let error = NamedQuery::parse(name, kind, sql).unwrap_err();
            assert!(error.message().contains(expected), "{sql}: {}", error.message());
        }
    }
}
