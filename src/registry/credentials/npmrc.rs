//! The secrets of `.npmrc`, by host and path.

use std::collections::BTreeMap;

use url::Url;

use super::{Credentials, UrlPrefix, basic, basic_from_parts, bearer};
use crate::registry::npmrc::{Npmrc, shown};

/// The fields given for one URL prefix.
#[derive(Default)]
struct Fields<'a> {
    token: Option<&'a str>,
    auth: Option<&'a str>,
    username: Option<&'a str>,
    password: Option<&'a str>,
}

pub(super) fn read(npmrc: &Npmrc) -> Credentials {
    let mut credentials = Credentials { notes: npmrc.notes().to_vec(), ..Credentials::default() };
    for key in ["_auth", "_authToken", "_password", "cert", "key"] {
        if npmrc.value(&[key]).is_some() {
            let fields = if key.starts_with('_') { key } else { "certfile= and //host/:keyfile" };
            let note = format!("{key}: not used, because it names no host; write //host/:{fields}=");
            credentials.notes.push(note);
        }
    }
    let mut prefixes: BTreeMap<UrlPrefix, Fields<'_>> = BTreeMap::new();
    for (place, field, value) in npmrc.by_place() {
        let Some(prefix) = UrlPrefix::of_place(place) else {
            credentials.notes.push(format!("//{}: no host and path", shown(place)));
            continue;
        };
        if !matches!(field, "_authToken" | "_auth" | "username" | "_password") {
            continue;
        }
        let fields = prefixes.entry(prefix).or_default();
        match field {
            "_authToken" => fields.token = Some(value),
            "_auth" => fields.auth = Some(value),
            "username" => fields.username = Some(value),
            _ => fields.password = Some(value),
        }
    }
    for (prefix, fields) in prefixes {
        let secret = match fields {
            Fields { token: Some(token), .. } => bearer(token),
            Fields { auth: Some(auth), .. } => basic(auth),
            Fields { username: Some(username), password: Some(password), .. } => basic_from_parts(username, password),
            _ => None,
        };
        match secret {
            Some(secret) => credentials.insert(prefix, secret),
            None => credentials.notes.push(format!("the lines for {}{} make no credentials", prefix.host, prefix.path)),
        }
    }
    credentials
}

impl UrlPrefix {
    /// Returns the prefix of a host and path of `.npmrc`. The scheme only helps to parse them; secrets are not bound to
    /// it.
    pub(super) fn of_place(place: &str) -> Option<UrlPrefix> {
        Url::parse(&format!("https://{place}")).ok().map(|url| UrlPrefix::of(&url))
    }
}
