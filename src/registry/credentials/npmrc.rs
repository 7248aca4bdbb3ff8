//! The text of `.npmrc` files: lines of `key = value`, with `${NAME}` for variables.
//!
//! Reads only the settings that a registry client needs: secrets by host and path. The other settings concern npm
//! alone, including `@scope:registry`: it says where npm installs a scope from, while an origin's documents come from
//! the registry that lists them, and from no other.

use std::collections::BTreeMap;

use url::Url;

use super::{Credentials, UrlPrefix, basic, basic_from_parts, bearer};

/// The fields given for one URL prefix.
#[derive(Default)]
struct Fields {
    token: Option<String>,
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

pub(super) fn read<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Credentials {
    let mut credentials = Credentials::default();
    let mut prefixes: BTreeMap<UrlPrefix, Fields> = BTreeMap::new();
    for text in texts {
        for (key, value) in text.split(['\r', '\n']).filter_map(line) {
            let (key, value) = match (expand(key, variable), expand(&value, variable)) {
                (Ok(key), Ok(value)) => (key, value),
                (Err(unknown), _) | (_, Err(unknown)) => {
                    // npm would send the text `${NAME}` itself; no user intends that.
                    if key.starts_with("//") {
                        credentials.notes.push(format!("{}: the variable {unknown} is not set", field_of(key)));
                    }
                    continue;
                }
            };
            take(&key, value, &mut prefixes, &mut credentials);
        }
    }
    for (prefix, fields) in prefixes {
        let secret = match &fields {
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

fn take(key: &str, value: String, prefixes: &mut BTreeMap<UrlPrefix, Fields>, credentials: &mut Credentials) {
    if matches!(key, "_auth" | "_authToken" | "_password") {
        credentials.notes.push(format!("{key}: not used, because it names no host; write //host/:{key}="));
        return;
    }
    let Some((prefix, field)) = key.strip_prefix("//").and_then(|rest| rest.rsplit_once(':')) else { return };
    // The scheme only helps to parse host and path; secrets are not bound to it.
    let Ok(url) = Url::parse(&format!("https://{prefix}")) else {
        credentials.notes.push(format!("//{prefix}: no host and path"));
        return;
    };
    let fields = match field {
        "_authToken" | "_auth" | "username" | "_password" => prefixes.entry(UrlPrefix::of(&url)).or_default(),
        // Certificates and keys (`certfile`, `keyfile`), mail addresses.
        _ => return,
    };
    match field {
        "_authToken" => fields.token = Some(value),
        "_auth" => fields.auth = Some(value),
        "username" => fields.username = Some(value),
        _ => fields.password = Some(value),
    }
}

/// Splits a line into key and value; `None` for a comment, a section and an empty line.
fn line(line: &str) -> Option<(&str, String)> {
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.is_empty() || line.starts_with([';', '#', '[']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    let value = value.trim();
    let value = in_quotes(value).map_or_else(|| without_comment(value), str::to_owned);
    let key = key.trim();
    Some((in_quotes(key).unwrap_or(key), value))
}

/// Returns an unquoted value up to the `;` or `#` that begins a comment, as npm's reader does. A `\` before one of
/// these or before another `\` escapes it, and is removed.
fn without_comment(value: &str) -> String {
    let mut kept = String::with_capacity(value.len());
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ';' | '#' => break,
            '\\' => kept.push(letters.next_if(|next| matches!(next, '\\' | ';' | '#')).unwrap_or(letter)),
            _ => kept.push(letter),
        }
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// Returns the text between quotes; `None` for an unquoted text.
fn in_quotes(text: &str) -> Option<&str> {
    let between = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    between('"').or_else(|| between('\''))
}

/// Replaces `${NAME}` by its value; `${NAME?}` is empty where NAME is not set. The error is the name of the unset
/// variable.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        expanded.push_str(before);
        let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        match variable(name) {
            Some(value) => expanded.push_str(&value),
            None if optional => {}
            None => return Err(name.to_owned()),
        }
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Returns a key as it may be shown. Keys hold no secrets, unless a line was written wrongly: only its beginning is
/// shown.
fn field_of(key: &str) -> String {
    key.chars().take(80).collect()
}
