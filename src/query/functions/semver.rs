//! Semantic versions in SQL, by node's rules. Not here: the rules (`npm::semver` and `npm::semver_range`).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Int64Builder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::{Texts, rows_of};
use crate::npm::semver::Semver;
use crate::npm::semver_range::SemverRange;

/// The ranges of one batch, each parsed once: thousands of rows may have `^1.0.0`.
#[derive(Default)]
struct Ranges {
    read: HashMap<String, Option<SemverRange>>,
}

impl Ranges {
    fn contain(&mut self, range: &str, version: &Semver<'_>) -> bool {
        if !self.read.contains_key(range) {
            self.read.insert(range.to_owned(), SemverRange::parse(range));
        }
        self.read.get(range).is_some_and(|range| range.as_ref().is_some_and(|range| range.contains(version)))
    }
}

macro_rules! semver_function {
    ($(#[doc = $doc:literal])+ $type:ident, $name:literal, $arguments:literal, $returns:expr, $invoke:ident) => {
        $(#[doc = $doc])+
        #[derive(Debug, PartialEq, Eq, Hash)]
        pub(super) struct $type {
            signature: Signature,
        }

        impl Default for $type {
            fn default() -> Self {
                $type { signature: Signature::string($arguments, Volatility::Immutable) }
            }
        }

        impl ScalarUDFImpl for $type {
            fn name(&self) -> &str {
                $name
            }

            fn signature(&self) -> &Signature {
                &self.signature
            }

            fn return_type(&self, _: &[DataType]) -> Result<DataType> {
                Ok($returns)
            }

            fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
                let rows = rows_of(&arguments.args, arguments.number_rows);
                let texts: Vec<Texts> = arguments.args.iter().map(Texts::new).collect::<Result<_>>()?;
                let results = $invoke(&texts, rows).ok_or_else(|| {
                    DataFusionError::Internal(concat!($name, " was called without its arguments").to_owned())
                })?;
                Ok(ColumnarValue::Array(results))
            }
        }
    };
}

semver_function!(
    /// `semver_satisfies(version, range)`: whether npm accepts the version for the range. False if one of them is
    /// invalid, as in node; null if one of them is null.
    SemverSatisfies, "semver_satisfies", 2, DataType::Boolean, satisfies
);
semver_function!(
    /// `semver_compare(a, b)`: -1, 0 or 1. Null if one of them is no version.
    SemverCompare, "semver_compare", 2, DataType::Int64, compare
);
semver_function!(
    /// `semver_major(version)`: the first number. Null for a text that is no version.
    SemverMajor, "semver_major", 1, DataType::Int64, major
);
semver_function!(
    /// `semver_sort_key(version)`: a text that sorts as the version does. Null for a text that is no version.
    SemverSortKey, "semver_sort_key", 1, DataType::Utf8, sort_key
);

/// Parses a version as node's functions do.
fn version(text: Option<&str>) -> Option<Semver<'_>> {
    Semver::parse(text?.trim())
}

fn satisfies(texts: &[Texts], rows: usize) -> Option<ArrayRef> {
    let [versions, ranges] = texts else { return None };
    let mut known = Ranges::default();
    let mut results = BooleanBuilder::with_capacity(rows);
    for row in 0..rows {
        results.append_option(match (versions.get(row), ranges.get(row)) {
            (Some(text), Some(range)) => {
                Some(version(Some(text)).is_some_and(|version| known.contain(range, &version)))
            }
            _ => None,
        });
    }
    Some(Arc::new(results.finish()))
}

fn compare(texts: &[Texts], rows: usize) -> Option<ArrayRef> {
    let [ones, others] = texts else { return None };
    let mut results = Int64Builder::with_capacity(rows);
    for row in 0..rows {
        let both = version(ones.get(row)).zip(version(others.get(row)));
        results.append_option(both.map(|(one, other)| one.compare(&other) as i64));
    }
    Some(Arc::new(results.finish()))
}

fn major(texts: &[Texts], rows: usize) -> Option<ArrayRef> {
    let [versions] = texts else { return None };
    let mut results = Int64Builder::with_capacity(rows);
    for row in 0..rows {
        results.append_option(version(versions.get(row)).map(|version| version.major));
    }
    Some(Arc::new(results.finish()))
}

fn sort_key(texts: &[Texts], rows: usize) -> Option<ArrayRef> {
    let [versions] = texts else { return None };
    let mut results = StringBuilder::with_capacity(rows, rows * 52);
    for row in 0..rows {
        results.append_option(version(versions.get(row)).map(|version| version.sort_key()));
    }
    Some(Arc::new(results.finish()))
}
