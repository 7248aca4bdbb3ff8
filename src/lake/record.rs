//! Records: the small JSON files of a lake, and how each is parsed, checked and written as text.
//!
//! Not here: the path of a record (`layout`), and the reading and replacing of the file (`store`).

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CommitIntent, LakeInfo, LockRecord, Manifest, PartitionSet, newer_than_known};
use crate::error::{Context, Error, ErrorKind, Result};

/// A small file of the lake that holds one value as JSON and is replaced as a whole.
///
/// A record that a newer version of the tool wrote, as [`newer_than_known`] finds, is refused.
pub trait Record: Serialize + DeserializeOwned {
    /// The noun for the record in errors: `the manifest`.
    const NOUN: &'static str;
    /// The hint for a file that cannot be parsed.
    const DAMAGED_HINT: &'static str;

    /// Parses the text of the file at `path`. Errors name the path.
    ///
    /// # Errors
    /// [`ErrorKind::Lake`] for a damaged text, and for a record that a newer version of the tool wrote.
    fn from_json(path: &str, text: &[u8]) -> Result<Self> {
        // The version is checked first: a newer record may lack members that this version needs.
        if let Some(why) = newer_than_known(text) {
            return Err(Error::lake(format!("a newer version of all-docs wrote {path}: {why}"))
                .hint("update all-docs, or ingest into a new lake"));
        }
        serde_json::from_slice(text)
            .or_error(ErrorKind::Lake, || format!("{} {path} is damaged", Self::NOUN))
            .map_err(|error| error.hint(Self::DAMAGED_HINT))
    }

    /// Returns the text of the file: JSON on several lines, with a line feed at its end.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for a value that JSON cannot express.
    fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)
            .or_error(ErrorKind::Internal, || format!("{} cannot be written as JSON", Self::NOUN))?;
        text.push(b'\n');
        Ok(text)
    }
}

impl Record for LakeInfo {
    const NOUN: &'static str = "the lake metadata";
    const DAMAGED_HINT: &'static str = "all-docs verify --repair restores it";
}

impl Record for PartitionSet {
    const NOUN: &'static str = "the partition set";
    const DAMAGED_HINT: &'static str = "all-docs verify --repair restores it from the manifests";
}

impl Record for Manifest {
    const NOUN: &'static str = "the manifest";
    const DAMAGED_HINT: &'static str = "delete that manifest: the next ingest rebuilds the partition";
}

impl Record for CommitIntent {
    const NOUN: &'static str = "the intent of a commit";
    const DAMAGED_HINT: &'static str = "all-docs verify --repair removes it";

    /// In format 1 an intent is only the manifest.
    fn from_json(path: &str, text: &[u8]) -> Result<Self> {
        match serde_json::from_slice(text) {
            Ok(intent) if newer_than_known(text).is_none() => Ok(intent),
            _ => Manifest::from_json(path, text).map(|manifest| CommitIntent {
                manifest,
                moved: None,
                base_sha256: None,
                uploads: BTreeMap::new(),
                events: None,
            }),
        }
    }
}

impl Record for LockRecord {
    const NOUN: &'static str = "the lock";
    const DAMAGED_HINT: &'static str = "delete it if no other process works on this lake";
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::version::FORMAT_VERSION;

    fn set() -> PartitionSet {
        PartitionSet {
            format_version: FORMAT_VERSION,
            rows_per_partition: None,
            pivots: Vec::new(),
            boundaries: vec!["m".to_owned()],
        }
    }

    #[test]
    fn a_record_that_is_written_is_read_again() {
        let text = set().to_json().unwrap();
        assert!(text.ends_with(b"}\n") && text.iter().filter(|byte| **byte == b'\n').count() > 1);
        assert_eq!(PartitionSet::from_json("npm/partitions.json", &text).unwrap(), set());
    }

    #[test]
    fn a_newer_record_is_refused_as_newer_whatever_its_members_are() {
        let newer = FORMAT_VERSION + 1;
        for text in
            [format!(r#"{{"format_version":{newer}}}"#), r#"{"format_version":18446744073709551615}"#.to_owned()]
        {
            let error = PartitionSet::from_json("npm/partitions.json", text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Lake);
            assert!(error.message().contains("newer version"), "{error}");
            assert!(newer_than_known(text.as_bytes()).is_some());
        }
        assert!(newer_than_known(&set().to_json().unwrap()).is_none());
    }

    #[test]
    fn a_damaged_record_is_reported_with_a_hint() {
        for text in [&b"{"[..], b"{}", b"", br#"{"format_version":"2"}"#] {
            let error = PartitionSet::from_json("npm/partitions.json", text).unwrap_err();
            assert_eq!(error.message(), "the partition set npm/partitions.json is damaged");
            assert_eq!(error.hint_text(), Some(PartitionSet::DAMAGED_HINT));
            assert!(newer_than_known(text).is_none());
        }
    }
}
