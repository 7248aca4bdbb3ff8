//! The output formats by name. Not here: how each is written (`write`).

use std::str::FromStr;

use crate::error::Error;

use super::nearest::nearest;

/// The format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person: aligned columns, or one line per column if a row is too wide.
    Table,
    /// RFC 4180 with a header line; lists and structures as JSON text, a null as nothing, an empty text as `""`.
    Csv,
    /// One JSON array of objects, one object a line.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// One Parquet file, compressed with zstd.
    Parquet,
}

impl Format {
    /// Every format, in the order of the help.
    pub const ALL: [Format; 5] = [Format::Table, Format::Csv, Format::Json, Format::Ndjson, Format::Parquet];

    /// Returns the format's name, as [`FromStr`] reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Parquet => "parquet",
        }
    }

    /// Returns whether the output is binary, so that a terminal cannot show it.
    pub fn is_binary(self) -> bool {
        self == Format::Parquet
    }
}

impl FromStr for Format {
    type Err = Error;

    /// Reads a name in any case. Fails with [`crate::error::ErrorKind::Input`] and the list of names.
    fn from_str(name: &str) -> Result<Self, Error> {
        if let Some(format) = Format::ALL.into_iter().find(|format| format.as_str().eq_ignore_ascii_case(name)) {
            return Ok(format);
        }
        let names = Format::ALL.map(Format::as_str);
        let list = names.join(", ");
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {near}? The formats are {list}"),
            None => format!("the formats are {list}"),
        };
        Err(Error::input(format!("{name:?} is not an output format")).hint(hint))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_a_wrong_one_lists_them() {
        for format in Format::ALL {
            assert_eq!(format.as_str().to_uppercase().parse::<Format>().unwrap(), format);
        }
        let error = "jsn".parse::<Format>().unwrap_err();
        assert_eq!(error.message(), "\"jsn\" is not an output format");
        assert_eq!(error.hint_text(), Some("did you mean json? The formats are table, csv, json, ndjson, parquet"));
        assert_eq!(
            "xlsx".parse::<Format>().unwrap_err().hint_text(),
            Some("the formats are table, csv, json, ndjson, parquet")
        );
    }
}
