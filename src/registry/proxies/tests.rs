#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::ErrorKind;

fn proxies(chosen: Option<&str>, npmrc: &str, variables: &[(&str, &str)]) -> Proxies {
    let mut read = Npmrc::default();
    read.read("x.npmrc", npmrc, &|_| None);
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Proxies::read(chosen, &read, &variable).unwrap()
}

fn chosen_for(proxies: &Proxies, url: &str) -> Option<String> {
    proxies.for_url(&Url::parse(url).unwrap()).unwrap().map(|proxy| format!("{proxy:?}"))
}

#[test]
fn each_scheme_has_its_proxy_and_npmrc_wins_over_variables() {
    let variables = [("HTTPS_PROXY", "http://s:1"), ("http_proxy", "plain:2"), ("ALL_PROXY", "socks5h://all")];
    let of = |npmrc: &str, variables: &[(&str, &str)]| {
        let proxies = proxies(None, npmrc, variables);
        [chosen_for(&proxies, "https://a.example/"), chosen_for(&proxies, "http://a.example/")]
    };
    let some = |https: &str, http: &str| [Some(https.to_owned()), Some(http.to_owned())];
    assert_eq!(of("", &variables), some("http://s:1 of HTTPS_PROXY", "http://plain:2 of http_proxy"));
    assert_eq!(of("", &variables[2..]), some("socks5h://all of ALL_PROXY", "socks5h://all of ALL_PROXY"));
    assert_eq!(
        of("", &[("HTTPS_PROXY", ""), ("all_proxy", "x")]),
        some("http://x of all_proxy", "http://x of all_proxy")
    );
    assert_eq!(of("", &[]), [None, None]);
    let both = "http://n:3 of proxy of x.npmrc";
    assert_eq!(of("proxy=http://n:3", &variables), some(both, both));
    assert_eq!(of("https-proxy=n:4\nproxy=n:3", &variables), some("http://n:4 of https-proxy of x.npmrc", both));
    assert_eq!(of("proxy=null", &variables), some("http://s:1 of HTTPS_PROXY", "http://plain:2 of http_proxy"));
    assert_eq!(of("proxy=false", &variables), [None, None]);
    let by_cgi = of("", &[("HTTP_PROXY", "x:1"), ("REQUEST_METHOD", "GET")]);
    assert_eq!(by_cgi, [None, None]);
}

#[test]
fn this_machine_is_reached_without_a_proxy_unless_it_was_chosen_for_all() {
    let variables = [("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "corp.example")];
    let usual = proxies(None, "proxy=http://p:1", &variables);
    let chosen = proxies(Some("http://c:1"), "", &variables);
    for url in [
        "http://127.0.0.1:4873/",
        "http://127.9.9.9/",
        "http://[::1]:1/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost/",
        "http://localhost./",
        "http://npm.localhost/",
    ] {
        assert_eq!(chosen_for(&usual, url), None, "{url}");
        assert_eq!(chosen_for(&chosen, url).as_deref(), Some("http://c:1 of --proxy"), "{url}");
    }
    assert!(chosen_for(&usual, "http://10.0.0.1/").is_some());
    assert_eq!(chosen_for(&usual, "http://npm.corp.example/"), None);
    assert_eq!(chosen_for(&chosen, "http://npm.corp.example/"), None);
    assert_eq!(chosen_for(&proxies(Some("none"), "proxy=x:1", &variables), "http://a.example/"), None);
    let listed = proxies(None, "proxy=x:1\nnoproxy[]=a.example\nnoproxy[]=b.example", &variables);
    assert_eq!(chosen_for(&listed, "http://b.example/"), None);
    assert!(chosen_for(&listed, "http://corp.example/").is_some());
}

#[test]
fn what_is_no_proxy_is_told_with_its_source_when_it_is_needed_and_without_its_secrets() {
    for (text, told) in [
        ("ftp://me:sesame@p:1", "ftp is not supported"),
        ("socks://p:1", "socks is not supported"),
        ("http://me:ses#ame@p:1", "is no URL"),
        ("http://", "is no URL"),
        ("socks5://", "names no host"),
    ] {
        let of_variable = proxies(None, "", &[("ALL_PROXY", text)]);
        assert_eq!(chosen_for(&of_variable, "http://localhost/"), None);
        let error = of_variable.for_url(&Url::parse("http://a.example/").unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        let report = error.report();
        assert!(report.contains(told) && report.contains("ALL_PROXY") && report.contains("socks5h"), "{report}");
        assert!(!report.contains("ses"), "{report}");
        let error = Proxies::read(Some(text), &Npmrc::default(), &|_| None).unwrap_err();
        assert!(error.report().contains("--proxy"), "{}", error.report());
    }
    let secret = proxies(None, "", &[("ALL_PROXY", "http://me:open%20sesame@p:1")]);
    assert_eq!(chosen_for(&secret, "http://a.example/").as_deref(), Some("http://p:1 of ALL_PROXY"));
    assert!(!format!("{secret:?}").contains("sesame"));
    assert_eq!(secret.without_secrets("no open sesame".to_owned()), "no [secret]");
}
