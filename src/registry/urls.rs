//! Builds the URLs of a registry's pages and packuments. No other file does.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::failure::RequestFailure;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::npm::{ChangesPage, ChangesQuery, DownloadsQuery, Outcome, PackageName, Page, PageQuery, RowsPage};

/// Returns the URL of a page of `_all_docs`. Keys are JSON strings. Everything but letters and digits is escaped, which
/// every server accepts.
pub(super) fn page_url(base: &Url, query: &PageQuery) -> Result<Url> {
    let key = |text: &str| {
        let json = serde_json::Value::from(text).to_string();
        utf8_percent_encode(&json, NON_ALPHANUMERIC).to_string()
    };
    let mut text = format!("limit={}", query.limit);
    if let Some(start) = &query.start {
        text.push_str(&format!("&startkey={}", key(start)));
    }
    if let Some(end) = &query.end {
        text.push_str(&format!("&endkey={}&inclusive_end=false", key(end)));
    }
    resource_url(base, Page::RESOURCE, &text)
}

/// Returns the URL of a page of `_changes`.
pub(super) fn changes_url(base: &Url, query: &ChangesQuery) -> Result<Url> {
    let mut text = format!("limit={}", query.limit);
    if let Some(since) = &query.since {
        text.push_str(&format!("&since={}", utf8_percent_encode(since.as_str(), NON_ALPHANUMERIC)));
    }
    resource_url(base, ChangesPage::RESOURCE, &text)
}

fn resource_url(base: &Url, resource: &str, query: &str) -> Result<Url> {
    let mut url =
        base.join(resource).or_error(ErrorKind::Input, || format!("no pages can be requested below {base}"))?;
    url.set_query(Some(query));
    Ok(url)
}

/// Returns the URL of a packument. A name that no URL can express fails with outcome Blocked.
pub(super) fn packument_url(base: &Url, name: &PackageName) -> Result<Url, RequestFailure> {
    let segment = name.path_segment().ok_or_else(|| blocked("a URL with this name would reach another resource"))?;
    Url::parse(&format!("{base}{segment}")).map_err(|_| blocked("this name makes no URL"))
}

/// Returns the failure of a request that cannot be sent.
fn blocked(why: &str) -> RequestFailure {
    let outcome = Some(Outcome::Blocked);
    RequestFailure { error: Error::input(why), attempts: 0, http_status: None, outcome }
}

/// Returns the URL of daily download counts. Names that no URL can express fail with outcome Blocked.
pub(super) fn downloads_url(base: &Url, query: &DownloadsQuery) -> Result<Url, RequestFailure> {
    let mut text = format!("{base}downloads/range/{}", query.days);
    for (place, name) in query.names.iter().enumerate() {
        let segment = name.path_segment().filter(|_| DownloadsQuery::can_name(name));
        text.push(if place == 0 { '/' } else { ',' });
        text.push_str(&segment.ok_or_else(|| blocked("a URL with this name would reach other counts"))?);
    }
    Url::parse(&text).map_err(|_| blocked("these names make no URL"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::npm::{Days, Seq};

    #[test]
    fn names_are_joined_by_commas_and_each_is_one_segment() {
        let base = Url::parse("https://a.example/x/").unwrap();
        let days = Days::new("2026-11-01".parse().unwrap(), "2026-11-28".parse().unwrap()).unwrap();
        let url = |names: &[&str]| {
            let names = names.iter().map(|&name| name.into()).collect();
            downloads_url(&base, &DownloadsQuery { names, days }).map(String::from)
        };
        let below = "https://a.example/x/downloads/range/2026-11-01:2026-11-28";
        assert_eq!(url(&[]).unwrap(), below);
        assert_eq!(url(&["@a/b"]).unwrap(), format!("{below}/@a%2Fb"));
        assert_eq!(url(&["a", "b c", "é"]).unwrap(), format!("{below}/a,b%20c,%C3%A9"));
        for name in ["..", "@x/..", "a,b", "", "?#"] {
            match name {
                "?#" => assert_eq!(url(&[name]).unwrap(), format!("{below}/%3F%23")),
                _ => assert_eq!(url(&["a", name]).unwrap_err().outcome, Some(Outcome::Blocked), "{name}"),
            }
        }
    }

    #[test]
    fn a_cursor_is_handed_back_whatever_it_is_made_of() {
        let base = Url::parse("https://a.example/registry/").unwrap();
        let url = |since: Option<&str>| {
            changes_url(&base, &ChangesQuery { since: since.map(Seq::new), limit: 10 }).unwrap().to_string()
        };
        assert_eq!(url(None), "https://a.example/registry/_changes?limit=10");
        assert_eq!(url(Some("122876705")), "https://a.example/registry/_changes?limit=10&since=122876705");
        assert_eq!(url(Some("3-g1A+/=&x")), "https://a.example/registry/_changes?limit=10&since=3%2Dg1A%2B%2F%3D%26x");
    }
}
