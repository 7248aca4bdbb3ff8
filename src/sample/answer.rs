//! An HTTP response before it is sent, and the few bodies that npm and its CDN always send alike.
//!
//! Not here: choosing the right response (`packument.rs`, `server.rs`), and sending it (`server.rs`).

use bytes::Bytes;

/// Status, headers and body.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

pub(super) const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=UTF-8";

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Answer { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the replication host's response to a request that it does not support: a JSON string.
    pub(super) fn bad_request() -> Self {
        Answer::new(400, JSON, "\"Bad Request\"")
    }

    /// Returns the replication host's response to a request for a single document: a JSON string.
    pub(super) fn no_documents_here() -> Self {
        Answer::new(404, JSON, "\"Not Found\"")
    }

    /// Returns the registry host's response for a package that it does not have.
    pub(super) fn not_found() -> Self {
        Answer::new(404, JSON, r#"{"error":"Not found"}"#)
    }

    /// Returns the registry host's response for an address below `/-/` that it does not have.
    pub(super) fn no_such_resource(path: &str) -> Self {
        let message = super::json::quoted(&format!("{path} does not exist"));
        Answer::new(404, JSON, format!(r#"{{"code":"ResourceNotFound","message":{message}}}"#))
    }

    /// Returns the page of the web server for a request line that is too long.
    pub(super) fn header_too_large() -> Self {
        let title = "400 Request Header Or Cookie Too Large";
        Answer::new(
            400,
            HTML,
            format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"),
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Answer::new(405, JSON, r#"{"error":"method_not_allowed","reason":"Only GET,HEAD allowed"}"#)
    }

    pub(super) fn unavailable_for_legal_reasons() -> Self {
        Answer::new(451, JSON, r#"{"error":"Unavailable For Legal Reasons"}"#)
    }

    pub(super) fn unauthorized() -> Self {
        Answer::new(401, JSON, r#"{"error":"You must be logged in."}"#).with("www-authenticate", "Bearer")
    }

    /// Returns a page of the CDN in place of the registry's response, in HTML whatever the client accepts.
    pub(super) fn cdn_page(status: u16) -> Self {
        let (title, text) = match status {
            200 => ("npm", "Please enable JavaScript to continue."),
            403 => ("Attention Required!", "Sorry, you have been blocked"),
            429 => ("Access denied", "Error 1015. You are being rate limited."),
            _ => ("Server error", "The web server reported an error."),
        };
        let body = format!(
            "<!doctype html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>\n"
        );
        Answer::new(status, HTML, body)
    }
}
