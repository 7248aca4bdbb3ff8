//! Quirks: values of a document that did not become their column unchanged. Not here: finding them (`table/`).

macro_rules! quirk_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal),+ $(,)?) => {
        /// The reason why a value did not become its column unchanged. An absent member or a `null` is no quirk.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum QuirkCode {
            $($(#[doc = $doc])+ $variant),+
        }

        impl QuirkCode {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [QuirkCode] = &[$(QuirkCode::$variant),+];

            /// Returns the code as the `quirks` table spells it.
            pub fn as_str(self) -> &'static str {
                match self { $(QuirkCode::$variant => $code),+ }
            }

            /// Returns its meaning, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(QuirkCode::$variant => concat!($($doc),+).trim_ascii_start()),+ }
            }
        }
    };
}

quirk_codes! {
    /// A string was expected; the column is null.
    NotAString = "not_a_string",
    /// A list was expected; the column is null, or has no rows.
    NotAList = "not_a_list",
    /// An object was expected; its columns are null, or have no rows.
    NotAnObject = "not_an_object",
    /// true or false was expected; the column is null.
    NotABoolean = "not_a_boolean",
    /// A whole number within 64 bits was expected; the column is null.
    NotAnInteger = "not_an_integer",
    /// A point in time was expected; the column is null.
    NotATime = "not_a_time",
    /// An address on the web was expected; the column is null.
    NotAUrl = "not_a_url",
    /// The version is not one by the rules of semantic versioning; its parts are null.
    NotSemver = "not_semver",
    /// An item of a list was of the wrong kind and was left out.
    ItemDropped = "item_dropped",
    /// The column was read from a string where another kind belongs.
    ReadFromString = "read_from_string",
    /// The column was read from a list where another kind belongs.
    ReadFromList = "read_from_list",
    /// The column was read from an object where another kind belongs.
    ReadFromObject = "read_from_object",
    /// The column was read from true or false where another kind belongs.
    ReadFromBoolean = "read_from_boolean",
    /// The column was read from a number where a string belongs.
    ReadFromNumber = "read_from_number",
    /// The column was read from a member that is spelt otherwise than the documented one.
    ReadFromOtherMember = "read_from_other_member",
    /// The key came again later in the same object; this value was replaced by the last one.
    DuplicateKey = "duplicate_key",
    /// The value differs from its key, or from the requested name; the key is used.
    DiffersFromKey = "differs_from_key",
    /// Half of a surrogate pair stood alone; it was read as U+FFFD.
    LoneSurrogate = "lone_surrogate",
    /// A control character stood unescaped in a string; it was kept.
    ControlCharacter = "control_character",
    /// The document is not valid UTF-8: its bytes are in `bytes`, and the columns were read with U+FFFD in their place.
    InvalidUtf8 = "invalid_utf8",
    /// A byte order mark stood before the document; it was passed over.
    ByteOrderMark = "byte_order_mark",
    /// A user's star is recorded as false, null, 0 or "": in `stars`, but not in `star_count`.
    FalsyStar = "falsy_star",
}

/// The longest sample of a quirk, in bytes.
pub const MAX_SAMPLE_BYTES: usize = 200;

/// Returns the first [`MAX_SAMPLE_BYTES`] of raw JSON, cut between characters.
pub fn sample(raw: &str) -> &str {
    raw.get(..raw.floor_char_boundary(MAX_SAMPLE_BYTES)).unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_cut_between_characters() {
        assert_eq!(sample("short"), "short");
        let long = format!("{}é and more", "x".repeat(MAX_SAMPLE_BYTES - 1));
        assert_eq!(sample(&long), "x".repeat(MAX_SAMPLE_BYTES - 1));
    }

    #[test]
    fn codes_are_distinct_and_explained() {
        let codes: std::collections::BTreeSet<_> = QuirkCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), QuirkCode::ALL.len());
        assert_eq!(QuirkCode::NotAString.meaning(), "A string was expected; the column is null.");
    }
}
