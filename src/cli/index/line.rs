//! Writes and reads one line of an index.

use std::io::{self, Write};

use serde::Deserialize;

use super::IndexFormat;
use crate::error::{Error, Result};
use crate::npm::DocRow;

/// Writes a name and its revision.
pub(super) fn write_row(output: &mut dyn Write, format: IndexFormat, name: &str, rev: &str) -> io::Result<()> {
    match format {
        IndexFormat::Csv => {
            write_field(output, name)?;
            output.write_all(b",")?;
            write_field(output, rev)?;
            output.write_all(b"\n")
        }
        IndexFormat::Json => {
            write!(output, "{{\"name\":{},\"rev\":{}}}", serde_json::Value::from(name), serde_json::Value::from(rev))
        }
    }
}

/// Writes what happened to a name.
pub(super) fn write_change(
    output: &mut dyn Write,
    format: IndexFormat,
    kind: &str,
    name: &str,
    rev: &str,
) -> io::Result<()> {
    match format {
        IndexFormat::Csv => {
            write!(output, "{kind},")?;
            write_row(output, format, name, rev)
        }
        IndexFormat::Json => {
            let (name, rev) = (serde_json::Value::from(name), serde_json::Value::from(rev));
            write!(output, "{{\"change\":\"{kind}\",\"name\":{name},\"rev\":{rev}}}")
        }
    }
}

/// Writes a field by RFC 4180: in quotes if it holds a comma, a quote or a line end.
fn write_field(output: &mut dyn Write, text: &str) -> io::Result<()> {
    if text.contains([',', '"', '\n', '\r']) {
        write!(output, "\"{}\"", text.replace('"', "\"\""))
    } else {
        output.write_all(text.as_bytes())
    }
}

#[derive(Deserialize)]
struct Row {
    name: String,
    rev: String,
}

/// Reads a line of either format; returns `None` for one that holds no row. A name in quotes may hold line ends, so
/// `line` may span several lines; [`is_whole`] says whether it is complete.
pub(super) fn read_row(line: &str) -> Result<Option<DocRow>> {
    let line = line.trim_end_matches(['\n', '\r']);
    if line.is_empty() || line == "[" || line == "]" || line == "[]" {
        return Ok(None);
    }
    if line.starts_with('{') {
        let row: Option<Row> = serde_json::from_str(line.trim_end_matches(',')).ok();
        if let Some(row) = row {
            return Ok(Some(DocRow::new(row.name, &row.rev)));
        }
    }
    let not_a_row = || {
        let shown: String = line.chars().take(80).collect();
        Error::input(format!("this is no line of an index: {shown:?}"))
            .hint("a line is name,rev, or an object with name and rev, as all-docs cache create-index writes them")
    };
    let (name, rev) = match line.strip_prefix('"') {
        Some(rest) => {
            let (name, rev) = rest.rsplit_once("\",").ok_or_else(not_a_row)?;
            (name.replace("\"\"", "\""), rev)
        }
        None => {
            let (name, rev) = line.rsplit_once(',').ok_or_else(not_a_row)?;
            (name.to_owned(), rev)
        }
    };
    Ok(Some(DocRow::new(name, rev)))
}

/// Whether a line of CSV ends outside of quotes.
pub(super) fn is_whole(line: &str) -> bool {
    !line.starts_with('"') || line.matches('"').count().is_multiple_of(2)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for name in ["left-pad", "@a/b", "a,b", "say \"hi\"", "\"", "two\nlines", "{odd", "\u{e4}"] {
            for format in [IndexFormat::Csv, IndexFormat::Json] {
                let mut line = Vec::new();
                write_row(&mut line, format, name, "1-abc").unwrap();
                let line = String::from_utf8(line).unwrap();
                assert!(format == IndexFormat::Json || is_whole(&line), "{line:?}");
                assert_eq!(read_row(&line).unwrap(), Some(DocRow::new(name, "1-abc")), "{line:?}");
            }
        }
        assert_eq!(read_row("{\"name\":\"a\",\"rev\":\"1-x\"},\n").unwrap(), Some(DocRow::new("a", "1-x")));
        assert_eq!(read_row("]\n").unwrap(), None);
        assert!(read_row("nothing").is_err());
        assert!(!is_whole("\"two\n"));
    }
}
