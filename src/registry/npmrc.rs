//! The text of `.npmrc` files: lines of `key = value`, with `${NAME}` for variables.
//!
//! Reads the format as npm's reader does. Not here: the meaning of a key (`credentials`, `trust`, `proxies`). Settings
//! that concern npm alone are kept and never read, including `@scope:registry`: it says where npm installs a scope
//! from, while an origin's documents come from the registry that lists them, and from no other.

use std::collections::BTreeMap;
use std::fmt;

/// The most defaults within defaults.
const MOST_NESTED: u32 = 16;

/// The settings of `.npmrc` files and of npm's variables, and notes on their unusable lines. Its debug output shows
/// keys, never values: they hold secrets.
#[derive(Clone, Default)]
pub struct Npmrc {
    settings: BTreeMap<String, Setting>,
    notes: Vec<String>,
    next_order: usize,
}

/// The value of a key: one text, or the texts of `key[] = value` lines.
#[derive(Clone)]
struct Setting {
    values: Vec<String>,
    is_list: bool,
    /// `KEY of FILE`, or the variable that it comes from, for messages.
    source: String,
    /// Later ones replace earlier ones.
    order: usize,
}

impl Npmrc {
    /// Reads the text of a file, which `source` names. Its lines replace those of earlier files. `variable` looks up
    /// the value of `${NAME}`.
    pub fn read(&mut self, source: &str, text: &str, variable: &dyn Fn(&str) -> Option<String>) {
        let mut section = None;
        let mut of_this_file = BTreeMap::new();
        for line in text.trim_start_matches('\u{feff}').split(['\r', '\n']) {
            let line = line.trim();
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Some(name);
                continue;
            }
            let (raw_key, value) = split(line);
            if let Some(section) = section {
                // npm puts the lines below a section into an object that it never reads.
                if raw_key.starts_with("//") {
                    self.notes.push(format!("{}: not used, because it is below [{section}]", shown(&raw_key)));
                }
                continue;
            }
            match (expand(&raw_key, variable), expand(&value, variable)) {
                (Ok(key), Ok(value)) => put(&mut of_this_file, source, &key, value, self.next_order),
                // npm would use the text `${NAME}` itself; no user intends that.
                (Err(unset), _) | (_, Err(unset)) => {
                    if is_read(&raw_key) {
                        self.notes.push(format!("{}: the variable {unset} is not set", shown(&raw_key)));
                    }
                }
            }
        }
        self.next_order += 1;
        self.settings.append(&mut of_this_file);
    }

    /// Takes a variable of npm's, `npm_config_KEY` in any case. It replaces the lines of files. Ignores any other, and
    /// one without a value.
    pub fn read_variable(&mut self, name: &str, value: &str) {
        const PREFIX: &str = "npm_config_";
        let prefix = name.get(..PREFIX.len()).filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX));
        if prefix.is_none() || value.is_empty() {
            return;
        }
        let key = &name[PREFIX.len()..];
        let key = match key.starts_with("//") {
            true => key.to_owned(),
            false => {
                let (first, rest) = key.split_at(key.chars().next().map_or(0, char::len_utf8));
                format!("{first}{}", rest.replace('_', "-")).to_ascii_lowercase()
            }
        };
        let (values, source, order) = (vec![value.to_owned()], name.to_owned(), self.next_order);
        self.next_order += 1;
        self.settings.insert(key, Setting { values, is_list: false, source, order });
    }

    /// Adds a note for the user.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Returns notes on the unusable lines, as sentences without secrets.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the value of the first of these keys that has one, and the name of its source: `KEY of FILE`, or a
    /// variable. `null` and an empty text are no values.
    pub fn value(&self, keys: &[&str]) -> Option<(&str, &str)> {
        keys.iter().find_map(|key| {
            let setting = self.settings.get(*key)?;
            let value = setting.values.last()?.trim();
            (!matches!(value, "" | "null")).then_some((value, setting.source.as_str()))
        })
    }

    /// Returns all values of a key, of which a list has several, and the name of their source.
    pub fn values(&self, key: &str) -> Option<(&[String], &str)> {
        let setting = self.settings.get(key)?;
        let is_null = setting.values.iter().all(|value| matches!(value.trim(), "" | "null"));
        (!is_null).then_some((setting.values.as_slice(), setting.source.as_str()))
    }

    /// Returns the settings with a key that begins with `//`, the oldest first: `(host and path, field, value)`.
    pub(super) fn by_place(&self) -> Vec<(&str, &str, &str)> {
        let mut found: Vec<_> = self.settings.iter().filter(|(key, _)| key.starts_with("//")).collect();
        found.sort_by_key(|(_, setting)| setting.order);
        let parts = found.into_iter().filter_map(|(key, setting)| {
            let (place, field) = key.strip_prefix("//")?.rsplit_once(':')?;
            Some((place, field, setting.values.last()?.as_str()))
        });
        parts.collect()
    }
}

impl fmt::Debug for Npmrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Npmrc with ")?;
        f.debug_list().entries(self.settings.keys().map(|key| shown(key))).finish()
    }
}

/// Sets a key, or adds to it: `key[] = value` adds, and so does a later line without the brackets.
fn put(settings: &mut BTreeMap<String, Setting>, source: &str, key: &str, value: String, order: usize) {
    let bare = key.strip_suffix("[]").filter(|bare| !bare.is_empty());
    let (key, is_list) = (bare.unwrap_or(key), bare.is_some());
    let setting = settings.entry(key.to_owned()).or_insert_with(|| Setting {
        values: Vec::new(),
        is_list,
        source: format!("{key} of {source}"),
        order,
    });
    setting.is_list |= is_list;
    if !setting.is_list {
        setting.values.clear();
    }
    setting.values.push(value);
}

/// Returns whether all-docs reads this key, so that a fault in its line is worth a note.
fn is_read(key: &str) -> bool {
    const READ: [&str; 9] =
        ["ca", "cafile", "strict-ssl", "proxy", "https-proxy", "http-proxy", "noproxy", "no-proxy", "ca[]"];
    key.starts_with("//") || READ.contains(&key)
}

/// Splits a line into key and value. A key alone has the value `true`.
fn split(line: &str) -> (String, String) {
    match line.split_once('=') {
        Some((key, value)) => (plain(key), plain(value)),
        None => (plain(line), "true".to_owned()),
    }
}

/// Returns a key or a value without its quotes, escapes and comment. Text in double quotes is JSON where it can be.
fn plain(text: &str) -> String {
    let text = text.trim();
    let between = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    match (between('"'), between('\'')) {
        (Some(inner), _) => serde_json::from_str(text).unwrap_or_else(|_| inner.to_owned()),
        (_, Some(inner)) => inner.to_owned(),
        _ => without_comment(text),
    }
}

/// Returns an unquoted text up to the `;` or `#` that begins a comment, as npm's reader does. A `\` before one of these
/// or before another `\` escapes it, and is removed.
fn without_comment(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
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

/// Replaces each `${NAME}` by its value. The forms of a shell are known as well: `${NAME-TEXT}` is TEXT where NAME is
/// not set, `${NAME:-TEXT}` also where it is empty. `${NAME?}` is empty where NAME is not set. An odd number of `\`
/// before it makes it plain text. The error is the name of the unset variable.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    expand_nested(text, variable, MOST_NESTED)
}

/// Expands, with so many levels of braces in braces.
fn expand_nested(text: &str, variable: &dyn Fn(&str) -> Option<String>, levels: u32) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inner, tail)) = split_at_brace(after) else { break };
        let unescaped = before.trim_end_matches('\\');
        let escapes = before.len() - unescaped.len();
        expanded.push_str(unescaped);
        expanded.extend(std::iter::repeat_n('\\', escapes / 2));
        if escapes % 2 == 1 || inner.is_empty() {
            expanded.push_str(&format!("${{{inner}}}"));
        } else {
            expanded.push_str(&value_of(inner, variable, levels)?);
        }
        rest = tail;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Splits at the brace that closes the one before the text: a default may have braces too.
fn split_at_brace(text: &str) -> Option<(&str, &str)> {
    let mut open = 0_u32;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if text.get(..at).is_some_and(|before| before.ends_with('$')) => open += 1,
            '}' if open == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// Returns the value of the text between the braces.
fn value_of(inner: &str, variable: &dyn Fn(&str) -> Option<String>, levels: u32) -> Result<String, String> {
    if let Some(value) = variable(inner) {
        return Ok(value);
    }
    if let Some((name, default)) = inner.split_once('-') {
        let (name, empty_counts) = name.strip_suffix(':').map_or((name, true), |name| (name, false));
        if name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') && !name.is_empty() {
            let value = variable(name).filter(|value| empty_counts || !value.is_empty());
            return match (value, levels) {
                (Some(value), _) => Ok(value),
                (None, 0) => Err(inner.to_owned()),
                (None, levels) => expand_nested(default, variable, levels - 1),
            };
        }
    }
    match inner.strip_suffix('?') {
        Some(name) => Ok(variable(name).unwrap_or_default()),
        None => Err(inner.to_owned()),
    }
}

/// Returns a key as it may be shown. Keys hold no secrets, unless a line was written wrongly: only its beginning is
/// shown.
pub(super) fn shown(key: &str) -> String {
    key.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Npmrc {
        let mut npmrc = Npmrc::default();
        npmrc.read("x.npmrc", text, &|name| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        });
        npmrc
    }

    fn value(text: &str) -> Option<String> {
        read(&format!("key={text}")).value(&["key"]).map(|(value, _)| value.to_owned())
    }

    #[test]
    fn variables_and_their_defaults_are_those_of_a_shell() {
        for (text, expected) in [
            ("${SET}", "value"),
            ("a${SET}b${SET}c", "avaluebvaluec"),
            ("${SET-x}", "value"),
            ("${SET:-x}", "value"),
            ("${UNSET-x}", "x"),
            ("${UNSET:-x}", "x"),
            ("a${EMPTY-x}", "a"),
            ("${EMPTY:-x}", "x"),
            ("${UNSET:-a-b:-c}", "a-b:-c"),
            ("${UNSET-}z", "z"),
            ("${UNSET:-${SET}}z", "valuez"),
            ("${UNSET:-${EMPTY:-${UNSET-x}}y}z", "xyz"),
            ("${SET:-${UNSET}}", "value"),
            ("${UNSET?}z", "z"),
            ("${SET?}", "value"),
            ("\\${SET}", "${SET}"),
            ("\\${UNSET:-x}", "${UNSET:-x}"),
            ("'\\\\${SET}'", "\\value"),
            ("'\\\\\\${SET}'", "\\${SET}"),
            ("${}", "${}"),
            ("${SET", "${SET"),
        ] {
            assert_eq!(value(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(value("${UNSET}"), None);
        assert_eq!(value("${-x}"), None);
        assert_eq!(value("${UNSET:-${UNSET}}"), None);
        assert_eq!(value(&format!("{}{}", "${U:-".repeat(9_000), "}".repeat(9_000))), None, "and no stack overflows");
    }

    #[test]
    fn lines_are_read_as_npm_reads_them() {
        let npmrc = read(
            "\u{feff}; comment\nca[]=one\nca[] = \"two\\nlines\"\nalone\nproxy = null\nquoted = 'a;b' \nnoproxy=\n\
             [section]\nproxy=http://x\n//a.b/:_authToken=below",
        );
        let (values, source) = npmrc.values("ca").expect("two values");
        assert_eq!((values, source), (&["one".to_owned(), "two\nlines".to_owned()][..], "ca of x.npmrc"));
        assert_eq!(npmrc.value(&["alone"]).expect("a value").0, "true");
        assert_eq!(npmrc.value(&["quoted"]).expect("a value").0, "a;b");
        assert!(npmrc.value(&["proxy", "noproxy", "nothing"]).is_none());
        assert!(npmrc.by_place().is_empty());
        assert_eq!(npmrc.notes(), ["//a.b/:_authToken: not used, because it is below [section]"]);
    }

    #[test]
    fn a_later_file_and_then_a_variable_replace_a_value() {
        let mut npmrc = read("https-proxy=one\nca[]=one\nca[]=two");
        npmrc.read("later", "https-proxy=two\nca=null", &|_| None);
        assert_eq!(npmrc.value(&["https-proxy"]), Some(("two", "https-proxy of later")));
        assert!(npmrc.values("ca").is_none());
        for (name, value) in
            [("NPM_CONFIG_HTTPS_PROXY", "three"), ("npm_config_ca", ""), ("npm_config", "x"), ("é", "x")]
        {
            npmrc.read_variable(name, value);
        }
        assert_eq!(npmrc.value(&["https-proxy"]), Some(("three", "NPM_CONFIG_HTTPS_PROXY")));
        npmrc.read_variable("npm_config_//a.b/:_authToken", "x");
        assert_eq!(npmrc.by_place(), [("a.b/", "_authToken", "x")]);
    }

    #[test]
    fn values_are_never_printed() {
        assert!(!format!("{:?}", read("//a.b/:_authToken=sesame")).contains("sesame"));
    }
}
