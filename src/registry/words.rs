//! A server's own words, as an error and the lake show them: one short line, without markup and without secrets.

use serde_json::Value;

/// The most characters that are shown.
const MOST_SHOWN: usize = 200;
/// Words that come before a secret, in lower case. Those with `=` or `:` behind them, in a header, a query or a list.
const KEYS_OF_SECRETS: [&str; 12] = [
    "_auth",
    "_authtoken",
    "_password",
    "access_token",
    "api_key",
    "apikey",
    "authtoken",
    "npm_token",
    "password",
    "secret",
    "token",
    "x-api-key",
];
/// The schemes of the header `Authorization`.
const SCHEMES: [&str; 3] = ["basic", "bearer", "token"];
/// The beginnings of tokens: npm's, those of GitHub and GitLab, and JSON in base64.
const BEGINNINGS_OF_TOKENS: [&str; 8] = ["npm_", "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "glpat-", "eyJ"];
/// The least length of such a token: words that only begin like one are shorter.
const LEAST_TOKEN: usize = 16;
const HIDDEN: &str = "[secret]";

/// Returns the words in the beginning of a body; `None` if it has none. HTML becomes its title, or its text. `hide`
/// replaces our secrets; what looks like a secret of others is replaced too.
pub(super) fn words_of(body: &[u8], hide: &dyn Fn(String) -> String) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    // Encoded in JSON, a secret may be spelled otherwise.
    let plain = match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            each_text(&mut value, &mut |text| without_secrets(std::mem::take(text), hide));
            value.to_string()
        }
        Err(_) if text.starts_with('<') => without_secrets(text_of_html(text), hide),
        Err(_) => without_secrets(text.to_owned(), hide),
    };
    let is_unseen = |letter: char| letter.is_whitespace() || letter.is_control();
    let line = plain.split(is_unseen).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let line = match line.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    };
    (!line.is_empty()).then_some(line)
}

/// Changes every text in a JSON value.
fn each_text(value: &mut Value, change: &mut impl FnMut(&mut String) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, change)),
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                match value {
                    Value::String(text) if KEYS_OF_SECRETS.contains(&key.to_lowercase().as_str()) => {
                        HIDDEN.clone_into(text);
                    }
                    value => each_text(value, change),
                }
            }
        }
        _ => {}
    }
}

/// Returns the title of a page; the text outside of its tags if it has none.
fn text_of_html(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let between = |open: &str, close: &str| {
        let start = lower.find(open)?;
        let start = start + lower.get(start..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find(close)?;
        page.get(start..end).map(str::trim).filter(|text| !text.is_empty())
    };
    let text = match between("<title", "</title") {
        Some(title) => title.to_owned(),
        None => {
            let mut text = String::new();
            let mut rest = page;
            while let Some((before, tag)) = rest.split_once('<') {
                text.push_str(before);
                text.push(' ');
                // The contents of these are no text.
                let end = ["script", "style", "!--"].into_iter().find_map(|hidden| {
                    let begins = tag.get(..hidden.len())?.eq_ignore_ascii_case(hidden);
                    begins.then_some(if hidden == "!--" { "-->".to_owned() } else { format!("</{hidden}>") })
                });
                let end_of_tag = match end {
                    Some(end) => tag.to_ascii_lowercase().find(&end).map(|at| at + end.len()),
                    None => tag.find('>').map(|at| at + 1),
                };
                rest = end_of_tag.and_then(|at| tag.get(at..)).unwrap_or_default();
            }
            text + rest
        }
    };
    let entities = [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.into_iter().fold(text, |text, (entity, letter)| text.replace(entity, letter))
}

/// Replaces our own secrets, and what looks like a secret of somebody else.
fn without_secrets(text: String, hide: &dyn Fn(String) -> String) -> String {
    let text = hide(text);
    let is_end = |letter: char| letter.is_whitespace() || "\"'`,;&?=:()<>[]{}".contains(letter);
    let mut kept = String::with_capacity(text.len());
    // Whether the present word is a secret, by the words before it.
    let (mut is_secret, mut is_encoded) = (false, false);
    let mut last = String::new();
    for piece in text.split_inclusive(is_end) {
        let word = piece.trim_end_matches(is_end);
        let end = piece.get(word.len()..).unwrap_or_default();
        let looks_like_one =
            word.len() >= LEAST_TOKEN && BEGINNINGS_OF_TOKENS.iter().any(|start| word.starts_with(start));
        let lower = word.to_lowercase();
        // After a scheme comes a token, or the rest of a sentence.
        let is_no_word = |word: &str| word.len() > 20 || word.contains(|letter: char| !letter.is_alphabetic());
        let is_token = looks_like_one || is_secret || (is_encoded && is_no_word(word.trim_end_matches('.')));
        let is_hidden = !word.is_empty() && is_token && !SCHEMES.contains(&lower.as_str());
        kept.push_str(if is_hidden { HIDDEN } else { word });
        kept.push_str(end);
        if !word.is_empty() {
            last = lower;
            (is_secret, is_encoded) = (false, false);
        }
        let names_a_secret = KEYS_OF_SECRETS.contains(&last.as_str()) && end.contains(['=', ':']);
        // `token: "…"` and `token = …` have more than one end before the secret.
        is_secret |= names_a_secret;
        is_encoded |= SCHEMES.contains(&last.as_str()) && end.contains(' ');
    }
    without_user_info(&kept)
}

/// Replaces the user and password of every URL.
fn without_user_info(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("//") {
        kept.push_str(before);
        kept.push_str("//");
        let authority = after.split(|letter: char| letter.is_whitespace() || "/?#\"'<>".contains(letter)).next();
        match authority.and_then(|authority| authority.rfind('@')) {
            Some(at) => {
                kept.push_str(HIDDEN);
                rest = after.get(at..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
    kept + rest
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hidden(text: String) -> String {
        text.replace("ses/ame+1", HIDDEN)
    }

    fn words(body: &str) -> String {
        words_of(body.as_bytes(), &hidden).unwrap_or_default()
    }

    #[test]
    fn words_are_one_short_line() {
        assert_eq!(words("{\"error\": \"Not found\",\n \"x\": [1]}"), r#"{"error":"Not found","x":[1]}"#);
        assert_eq!(words("\"Not Found\""), "\"Not Found\"");
        assert_eq!(words(" no\tsuch\r\n\u{7}page "), "no such page");
        assert_eq!(words_of(b" \n", &hidden), None);
        assert_eq!(words_of(b"", &hidden), None);
        assert_eq!(words(&"é".repeat(500)), format!("{}…", "é".repeat(200)));
    }

    #[test]
    fn a_page_becomes_its_title_or_its_text() {
        let page = "<!DOCTYPE html><html><head><TITLE lang=en>Log in &amp; accept\n</TITLE><style>a{}</style></head>";
        assert_eq!(words(page), "Log in & accept");
        let page = "<html><title></title><script>alert('<b>')</script><!-- x --><h1>404</h1><p>no <b>such</b> page";
        assert_eq!(words(page), "404 no such page");
        assert_eq!(words("<Error><Code>AccessDenied</Code><Message>Access Denied"), "AccessDenied Access Denied");
        assert_eq!(words("<"), "");
    }

    #[test]
    fn secrets_are_not_shown_in_any_spelling() {
        for body in [
            "unknown token ses/ame+1",
            r#"{"error":"unknown ses\/ame\u002b1"}"#,
            "<title>Bearer ses/ame+1</title>",
            r#"{"token":"abc-sesame"}"#,
            "Authorization: Bearer abc-sesame was refused",
            "see https://me:sesame@registry.example/x and //you:sesame@b",
            "GET /x?token=sesame&y=1",
            "_authToken = \"sesame\"",
            "npm_0123456789abcdefsesame is revoked",
            "eyJhbGciOiJIUzI1NiJ9.sesame.x",
        ] {
            let shown = words(body);
            assert!(!shown.contains("ame") && shown.contains("[secret]"), "{body}: {shown}");
        }
        // Words that only resemble a secret are kept.
        for body in
            ["token expired", "no token was sent", "npm_token is not set", "the basic form", "mail me@a.example"]
        {
            assert_eq!(words(body), body);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "[<>!/a-c \"=:@é-]{0,60}") {
            let shown = words_of(&body, &hidden).unwrap_or_default();
            prop_assert!(shown.chars().count() <= MOST_SHOWN + 1 && !shown.contains(char::is_control));
            let _ = words_of(text.as_bytes(), &hidden);
        }
    }
}
