//! The information that a registry gives about itself at its root.

use serde_json::Value;

use crate::npm::Seq;

/// The response of the root. Every member may be missing: other registries say less than npm's, or more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseInfo {
    /// `registry`, at npm.
    pub db_name: Option<String>,
    /// `npm-replicate`, at npm; CouchDB's storage has none.
    pub engine: Option<String>,
    /// The number of documents.
    pub doc_count: Option<u64>,
    /// The current position of the feed of changes.
    pub update_seq: Option<Seq>,
}

impl DatabaseInfo {
    /// Decodes the root's body. The error is a clause that describes an unusable one.
    pub(super) fn decode(body: &[u8]) -> Result<DatabaseInfo, String> {
        let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else {
            return Err("its root is no JSON object".to_owned());
        };
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let info = DatabaseInfo {
            db_name: text("db_name"),
            engine: text("engine").filter(|_| members.get("engine").is_some_and(Value::is_string)),
            doc_count: members.get("doc_count").and_then(Value::as_u64),
            update_seq: text("update_seq").map(Seq::new),
        };
        if info == DatabaseInfo::default() {
            return Err("its root is JSON, but says neither db_name nor doc_count nor update_seq".to_owned());
        }
        Ok(info)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn npm_and_couchdb_are_understood() {
        let npm = br#"{"db_name":"registry","engine":"npm-replicate","doc_count":4250224,"update_seq":122786079}"#;
        let info = DatabaseInfo::decode(npm).unwrap();
        assert_eq!((info.doc_count, info.update_seq), (Some(4_250_224), Some(Seq::new("122786079"))));
        let couch = br#"{"db_name":"r","doc_count":3,"update_seq":"3-g1AAA","disk_format_version":8,"props":{}}"#;
        assert_eq!(DatabaseInfo::decode(couch).unwrap().update_seq, Some(Seq::new("3-g1AAA")));
    }

    #[test]
    fn a_body_that_is_not_a_database_is_an_error() {
        for body in ["", "<html>", "[]", "\"x\"", r#"{"couchdb":"Welcome"}"#] {
            assert!(DatabaseInfo::decode(body.as_bytes()).is_err(), "{body}");
        }
    }
}
