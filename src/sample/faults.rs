//! The format of a fault script: the affected requests, how often, and the action. Read from TOML or JSON, or built.
//!
//! Not here: counting requests against a script (`fault_play.rs`), and performing its actions (`server.rs`).

use serde::{Deserialize, Serialize};

use super::error::SampleError;
use super::feed_faults::FeedFaults;

/// The faults of a sample registry: limits of its capacity, and faults in the order in which they are tried.
///
/// In TOML, all members optional:
/// ```toml
/// seed = 1                        # of the probabilities
/// requests_per_second = 50.0      # requests above it get 429
/// ban_seconds = 60.0              # from the start, every request gets 429
/// retry_after = "0"               # of those two; text, or { date_in_seconds = 5 }
///
/// [feed]                          # see FeedFaults
/// late_every = 7
///
/// [[faults]]
/// kind = "packument"              # page, changes, packument, root, downloads, other; else any
/// path_prefix = "/@types"         # of the path as it was sent
/// package = "lodash"
/// every = 10                      # or nth = 3, or probability = 0.3; else always
/// times = 2                       # and then no more
/// action = { status = { code = 503 } }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultScript {
    /// Seed of the probabilities.
    pub seed: u64,
    /// The requests that are served in a second; those above get 429.
    pub requests_per_second: Option<f64>,
    /// The time from the start of the script during which every request gets 429.
    pub ban_seconds: Option<f64>,
    /// `Retry-After` of those two responses; npm has sent `0` since November 2025, which is the default.
    pub retry_after: Option<RetryAfter>,
    /// The faults of the feed of changes.
    pub feed: FeedFaults,
    /// The first fault that matches a request is played.
    pub faults: Vec<Fault>,
}

/// One fault: the requests, the occasions, the action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The kind of request; `None` matches every kind.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The beginning of its path, as sent.
    #[serde(default)]
    pub path_prefix: Option<String>,
    /// The package that it names, alone or among others, decoded.
    #[serde(default)]
    pub package: Option<String>,
    /// The matching requests that it affects.
    #[serde(flatten)]
    pub when: When,
    /// The number of times it is played; `None` is without end.
    #[serde(default)]
    pub times: Option<u64>,
    /// The action.
    pub action: Action,
}

/// Selects among the matching requests: all members that are given must agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct When {
    /// Only the request with this number, counted from 1.
    pub nth: Option<u64>,
    /// Each request whose number is a multiple of this.
    pub every: Option<u64>,
    /// A probability, 0 to 1. The draw depends on the address and on its number of earlier requests, not on the order
    /// in which requests for different addresses arrive.
    pub probability: Option<f64>,
}

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A page of `_all_docs`.
    Page,
    /// A page of `_changes`.
    Changes,
    /// A packument, in whichever form.
    Packument,
    /// The registry's own description.
    Root,
    /// Download counts.
    Downloads,
    /// Anything else.
    Other,
}

/// The action for a request that a fault affects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// This status with an HTML page of the CDN, or with `body` in its place.
    Status {
        /// 429, 403, 500, 502, 503, 520 to 527, …
        code: u16,
        /// The header `Retry-After`.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
        /// Another body.
        #[serde(default)]
        body: Option<String>,
    },
    /// 200 with a page of HTML.
    HtmlWith200,
    /// 200 with this body as JSON, whatever it is.
    Body(String),
    /// The right response, but the connection is lost within its body.
    CutBody {
        /// The bytes of the body, encoded as sent, that still arrive.
        at_byte: usize,
        /// The announced end of the body.
        #[serde(default)]
        framing: Framing,
    },
    /// The right response, slowly.
    Slow {
        /// The wait before the first byte.
        #[serde(default)]
        before_headers_ms: u64,
        /// The wait before each further chunk of the body.
        #[serde(default)]
        between_chunks_ms: u64,
        /// The size of such a chunk.
        #[serde(default = "default_chunk_bytes")]
        chunk_bytes: usize,
    },
    /// The document before its last change, as registries that lag behind their feed serve it.
    Stale,
    /// The document of another package; of the next one if none is named.
    WrongName {
        /// The other package.
        #[serde(default)]
        package: Option<String>,
    },
    /// 304 to a request that is not conditional.
    #[serde(rename = "unasked-304")]
    Unasked304,
    /// 401, as for an unknown token.
    #[serde(rename = "unauthorized-401")]
    Unauthorized401,
    /// 302 to another address.
    Redirect {
        /// The header `Location`.
        location: String,
    },
}

/// The announced end of a body that is cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// A `Content-Length` that is larger than the sent body.
    #[default]
    ContentLength,
    /// Chunks without the last, empty one.
    Chunked,
}

/// A `Retry-After` header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// This text: seconds, a date, or nonsense.
    Text(String),
    /// The HTTP date at this distance from now.
    Date {
        /// Seconds from the time of the response; negative for the past.
        date_in_seconds: i64,
    },
}

fn default_chunk_bytes() -> usize {
    1024
}

impl FaultScript {
    /// Reads a script: JSON when it begins with a brace, else TOML.
    ///
    /// # Errors
    /// Fails with [`SampleError::FaultScript`], with the place that is not understood.
    pub fn parse(text: &str) -> Result<Self, SampleError> {
        let failed = |detail: String| SampleError::FaultScript { detail };
        if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| failed(error.to_string()))
        } else {
            toml::from_str(text).map_err(|error| failed(error.to_string()))
        }
    }

    /// Makes a script of these faults of the feed alone.
    pub fn of_feed(feed: FeedFaults) -> Self {
        FaultScript { feed, ..FaultScript::default() }
    }

    /// Makes a script of these faults alone.
    pub fn of(faults: impl IntoIterator<Item = Fault>) -> Self {
        FaultScript { faults: faults.into_iter().collect(), ..FaultScript::default() }
    }
}

impl Fault {
    /// Makes a fault that always affects every request.
    pub fn any(action: Action) -> Self {
        Fault { kind: None, path_prefix: None, package: None, when: When::default(), times: None, action }
    }

    /// Makes a fault that always affects every request of a kind.
    pub fn on(kind: Kind, action: Action) -> Self {
        Fault { kind: Some(kind), ..Fault::any(action) }
    }

    /// Makes a fault that always affects one package's packument.
    pub fn packument(package: &str, action: Action) -> Self {
        Fault { package: Some(package.to_owned()), ..Fault::on(Kind::Packument, action) }
    }

    /// Limits the fault to this many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Limits the fault to the matching request with this number, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.when.nth = Some(nth);
        self
    }

    /// Limits the fault to each matching request whose number is a multiple of this.
    #[must_use]
    pub fn every(mut self, every: u64) -> Self {
        self.when.every = Some(every);
        self
    }

    /// Limits the fault to this probability, 0 to 1; see [`When::probability`].
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.when.probability = Some(probability);
        self
    }
}

impl Action {
    /// Makes a response of this status with a page of the CDN, without `Retry-After`.
    pub fn status(code: u16) -> Self {
        Action::Status { code, retry_after: None, body: None }
    }

    /// Makes a 429 with `Retry-After` as this text.
    pub fn too_many_requests(retry_after: &str) -> Self {
        Action::Status { code: 429, retry_after: Some(RetryAfter::Text(retry_after.to_owned())), body: None }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_scripts_are_equivalent() {
        let from_toml = FaultScript::parse(
            r#"
            requests_per_second = 50.0
            retry_after = { date_in_seconds = 5 }
            [[faults]]
            kind = "packument"
            every = 10
            times = 2
            action = { status = { code = 429, retry_after = "1" } }
            [[faults]]
            action = "unasked-304"
            "#,
        );
        let from_json = FaultScript::parse(
            r#"{"requests_per_second": 50.0, "retry_after": {"date_in_seconds": 5}, "faults": [
            {"kind": "packument", "every": 10, "times": 2, "action": {"status": {"code": 429, "retry_after": "1"}}},
            {"action": "unasked-304"}]}"#,
        );
        let mut built = FaultScript::of([
            Fault::on(Kind::Packument, Action::too_many_requests("1")).every(10).times(2),
            Fault::any(Action::Unasked304),
        ]);
        built.requests_per_second = Some(50.0);
        built.retry_after = Some(RetryAfter::Date { date_in_seconds: 5 });
        assert_eq!(from_toml.unwrap(), built);
        assert_eq!(from_json.unwrap(), built);
    }

    #[test]
    fn an_invalid_script_is_an_error() {
        for text in ["[[faults]]\naction = \"explode\"", "ban = 1", "{\"faults\": 1}", "[[faults]]\nkind = \"page\""] {
            assert!(matches!(FaultScript::parse(text), Err(SampleError::FaultScript { .. })), "{text}");
        }
    }
}
