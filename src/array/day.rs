//! Days as the arrays hold them: numbers of days since 1970-01-01, with the CF attributes that say so.

use serde_json::{Value, json};

/// Returns the attributes that make xarray and other readers of CF metadata turn the numbers into dates.
pub(super) fn attributes(description: &str) -> Value {
    json!({
        "description": description,
        "units": "days since 1970-01-01",
        "calendar": "proleptic_gregorian",
    })
}
