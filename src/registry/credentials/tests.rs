#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Credentials {
    Credentials::from_npmrc([text], |name| (name == "TOKEN").then(|| "from-variable".to_owned()))
}

fn sent(credentials: &Credentials, url: &str) -> Option<String> {
    let value = credentials.authorization_for(&Url::parse(url).unwrap(), true)?;
    assert!(value.is_sensitive());
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn a_token_goes_to_its_host_and_path_only() {
    let credentials = read("//npm.example.com/team/:_authToken=abc");
    assert_eq!(sent(&credentials, "https://npm.example.com/team/lodash").as_deref(), Some("Bearer abc"));
    assert_eq!(sent(&credentials, "https://NPM.example.com:443/team").as_deref(), Some("Bearer abc"));
    for elsewhere in [
        "https://npm.example.com/",
        "https://npm.example.com/teams/lodash",
        "https://npm.example.com/team/../lodash",
        "https://npm.example.com/team/%2e%2e/lodash",
        "https://npm.example.com:8443/team/lodash",
        "https://npm.example.com.evil.org/team/lodash",
        "https://evil.org/npm.example.com/team/lodash",
        "https://npm.example.com@evil.org/team/lodash",
    ] {
        assert_eq!(sent(&credentials, elsewhere), None, "{elsewhere}");
    }
}

#[test]
fn the_longest_path_wins_and_later_files_replace_earlier_ones() {
    let user = "//a.b/:_authToken=wide\n//a.b/x/:_authToken=narrow\n";
    let project = "//a.b/x/:_authToken = project\r\n";
    let credentials = Credentials::from_npmrc([user, project], |_| None);
    assert_eq!(sent(&credentials, "https://a.b/y").as_deref(), Some("Bearer wide"));
    assert_eq!(sent(&credentials, "https://a.b/x/y").as_deref(), Some("Bearer project"));
}

#[test]
fn a_comment_is_no_part_of_a_secret() {
    let credentials = read(concat!(
        "//a.b/:_authToken=abc ; mine\n//c.d/:_authToken=abc # mine\n",
        "//e.f/:_authToken=abc#mine\n//g.h/:_authToken=\"a;b#c\"\n",
    ));
    for host in ["a.b", "c.d", "e.f"] {
        assert_eq!(sent(&credentials, &format!("https://{host}/x")).as_deref(), Some("Bearer abc"), "{host}");
    }
    assert_eq!(sent(&credentials, "https://g.h/x").as_deref(), Some("Bearer a;b#c"));
}

#[test]
fn a_backslash_escapes_a_comment() {
    let credentials = read("//a.b/:_authToken=a\\#b\\;c\\\\d\\e # mine\r//c.d/:_authToken=abc\\");
    assert_eq!(sent(&credentials, "https://a.b/x").as_deref(), Some("Bearer a#b;c\\d\\e"));
    assert_eq!(sent(&credentials, "https://c.d/x").as_deref(), Some("Bearer abc\\"));
}

/// The expected values are those of Node 20: `Buffer.from(encoded, "base64").toString("utf8")`.
#[test]
fn base64_is_read_as_npm_reads_it() {
    for (encoded, text) in [
        ("c2VjcmV0", "secret"),
        ("c2VjcmU", "secre"),
        ("c2VjcmU=", "secre"),
        ("c2Vj cmU", "secre"),
        ("c2V!jcmV0", "secret"),
        ("c2Vj=cmV0", "sec"),
        ("YQ=YQ", "a"),
        ("-_-_", "\u{fffd}\u{fffd}\u{fffd}"),
        ("YWJ", "ab"),
        ("YWJjZ", "abc"),
        ("YQ\u{e9}Jj", "a\u{2}c"),
        ("Y", ""),
        ("==YQ", ""),
        ("/w==", "\u{fffd}"),
    ] {
        assert_eq!(base64_text(encoded), text, "{encoded}");
    }
    let credentials = read("//p.b/:username=me\n//p.b/:_password=c2VjcmU\n//q.b/:username=me\n//q.b/:_password=\n");
    assert_eq!(sent(&credentials, "https://p.b/x").as_deref(), Some("Basic bWU6c2VjcmU="));
    assert_eq!(sent(&credentials, "https://q.b/x"), None);
    let told = read("//a.b/:_auth=bWU6c2VzYW1lMQ").without_secrets("no sesame1, bWU6c2VzYW1lMQ".to_owned());
    assert_eq!(told, "no [secret], [secret]");
}

#[test]
fn every_form_of_secret_is_read() {
    let credentials = read(concat!(
        "; a comment\n# another\nregistry=https://a.b/\n",
        "//t.b/:_authToken=\"${TOKEN}\"\n//a.b/:_auth=dXNlcjpwdw==\n",
        "//p.b:8080/:username=me\n//p.b:8080/:_password=c2VjcmV0\n//p.b:8080/:email=me@x\n",
        "//o.b/:_authToken=x${NONE?}y\n@s:registry=https://s.b/npm/\n//s.b/npm/:_authToken=scoped\n",
    ));
    assert_eq!(sent(&credentials, "https://t.b/x").as_deref(), Some("Bearer from-variable"));
    assert_eq!(sent(&credentials, "https://a.b/x").as_deref(), Some("Basic dXNlcjpwdw=="));
    assert_eq!(sent(&credentials, "http://p.b:8080/x").as_deref(), Some("Basic bWU6c2VjcmV0"));
    assert_eq!(sent(&credentials, "https://o.b/x").as_deref(), Some("Bearer xy"));
    assert_eq!(sent(&credentials, "https://s.b/npm/x").as_deref(), Some("Bearer scoped"));
    assert!(credentials.notes().is_empty(), "{:?}", credentials.notes());
}

#[test]
fn unusable_lines_are_reported_without_their_values() {
    let credentials = read(concat!(
        "//a.b/:_authToken=${MISSING}\n_authToken=sesame\n_auth=sesame\n//c.b/:username=me\n",
        "@s:registry=${MISSING}\n//d.b/:_authToken=\n//:_authToken=sesame\n//e.b/:_authToken=ses\u{1}ame\nnonsense\n",
    ));
    assert_eq!(credentials.entries.len(), 0);
    assert_eq!(credentials.notes().len(), 7, "{:?}", credentials.notes());
    assert!(credentials.notes()[0].contains("MISSING"));
    assert!(!format!("{:?}", credentials.notes()).contains("sesame"));
}

#[test]
fn npm_token_is_for_npms_own_host_only() {
    let credentials = Credentials::none().with_npm_token("npm_abc\n").unwrap();
    let registry = npm_token_url().unwrap();
    assert_eq!(sent(&credentials, registry.join("lodash").unwrap().as_str()).as_deref(), Some("Bearer npm_abc"));
    assert_eq!(sent(&credentials, "https://mirror.example.com/lodash"), None);
    assert_eq!(sent(&credentials, "http://127.0.0.1:4873/lodash"), None);
    assert!(Credentials::none().with_npm_token("a\nb").is_err());
}

#[test]
fn secrets_are_never_printed() {
    let credentials = read("//a.b/:_authToken=sesame").with_npm_token("sesame").unwrap();
    let printed = format!("{credentials:?} {credentials:#?}");
    assert!(printed.contains("a.b") && !printed.contains("sesame"), "{printed}");
}

#[test]
fn words_of_a_server_are_shown_without_secrets() {
    let credentials = read(concat!(
        "//t.b/:_authToken=sesame\n//a.b/:_auth=bWU6YWJyYQ==\n",
        "//p.b/:username=me\n//p.b/:_password=Y2FkYWJyYQ==\n",
    ));
    let told = "no sesame, bWU6YWJyYQ==, abra, cadabra or Y2FkYWJyYQ== here".to_owned();
    let shown = credentials.without_secrets(told);
    for secret in ["sesame", "abra", "bWU6", "Y2Fk"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.starts_with("no [secret], ") && shown.ends_with(" here"), "{shown}");
    let one_in_another = read("//a.b/:_authToken=abra\n//c.d/:_authToken=abracadabra");
    assert_eq!(one_in_another.without_secrets("no abracadabra".to_owned()), "no [secret]");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_bind_a_secret_to_no_host(text in "([/:@=${}?#;\\[\\]\"' \n]|_authToken|_auth|username|_password|a\\.b|registry|.){0,40}") {
        let credentials = Credentials::from_npmrc([text.as_str()], |name| (name.len() == 1).then(|| "x".to_owned()));
        prop_assert!(credentials.entries.iter().all(|entry| !entry.prefix.host.is_empty() && entry.prefix.path.starts_with('/')));
    }
}
