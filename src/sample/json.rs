//! JSON objects as ordered members with raw values, and JSON strings.
//!
//! An edited document keeps the order, the numbers and the duplicates of its other parts. Not here: the meaning of a
//! packument.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of one object, in the order of the text, each value as spelled there.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Object<'a> {
    /// Returns the members of `json`, or `None` when it is not one well-formed object in valid UTF-8.
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// Returns the raw value of a member; of several with one name the last.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// Returns the value of a member that is a string, unescaped.
    pub(super) fn get_string(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|raw| serde_json::from_str(raw).ok())
    }

    /// Returns the members of a member that is an object.
    pub(super) fn get_object(&self, name: &str) -> Option<Object<'_>> {
        self.get(name).and_then(|raw| Object::parse(raw.as_bytes()))
    }

    /// Replaces a member's value where it stands, or appends the member.
    pub(super) fn set(&mut self, name: &str, raw: impl Into<Cow<'a, str>>) {
        match self.0.iter_mut().rev().find(|(key, _)| key == name) {
            Some((_, value)) => *value = raw.into(),
            None => self.0.push((Cow::Owned(name.to_owned()), raw.into())),
        }
    }

    /// Appends a member, even when one of that name exists.
    pub(super) fn push(&mut self, name: &str, raw: impl Into<Cow<'a, str>>) {
        self.0.push((Cow::Owned(name.to_owned()), raw.into()));
    }

    /// Sets a member to a string.
    pub(super) fn set_string(&mut self, name: &str, value: &str) {
        self.set(name, quoted(value));
    }

    /// Removes all members of that name. Returns true when there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(key, _)| key != name);
        self.0.len() < before
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (key, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}:{value}", quoted(key))?;
        }
        f.write_str("}")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((Cow::Owned(key), Cow::Borrowed(value.get())));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Appends `text` as a JSON string.
pub(super) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
                other => out.push(other),
            }
        }
    } else {
        out.push_str(text);
    }
    out.push('"');
}

/// Returns `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unedited_members_stay_unchanged() {
        let mut object = Object::parse(br#"{"b":1e400,"a":{"x":1,"x":2},"z":"\ud800"}"#).unwrap();
        object.set("a", "[]");
        object.set_string("new", "\u{1}\"");
        assert!(object.remove("b"));
        assert_eq!(object.to_string(), r#"{"a":[],"z":"\ud800","new":"\u0001\""}"#);
    }

    #[test]
    fn anything_but_an_object_is_none() {
        for json in ["[]", "", "{\"a\":\"\n\"}", "{}x"] {
            assert!(Object::parse(json.as_bytes()).is_none(), "{json}");
        }
    }
}
