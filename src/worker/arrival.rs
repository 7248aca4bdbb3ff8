//! The parts of a request: the item in a body, which may be in the envelope of a Pub/Sub push; the sender's token; and the time
//! that it gives.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::lake::{Item, ItemKind};

/// The header with the seconds that the sender waits.
const TIMEOUT: &str = "request-timeout";
/// The header with the time until which the sender waits: RFC 3339, or seconds since 1970.
const DEADLINE: &str = "x-deadline";

/// The part of the time that a sender gives in which an item is done. In the rest it is handed back …
const WORKING_PART: f64 = 0.9;
/// … which takes no longer than this.
const HANDING_BACK: Duration = Duration::from_secs(5);

/// The envelope of a Pub/Sub push.
#[derive(Deserialize)]
struct Envelope {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    data: String,
}

/// Returns the item in a body.
///
/// Fails, of kind Input, if there is none.
pub(super) fn item_of(body: &[u8], kind: Option<ItemKind>, origin: &str) -> Result<Item> {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else { return Item::parse(body, kind, origin) };
    let data = STANDARD.decode(envelope.message.data.as_bytes());
    let data = data.map_err(|error| Error::input("the data of the pushed message is no base64").source(error))?;
    Item::parse(&data, kind, origin)
}

/// Returns whether the sender may send: it has the token, or none is asked for.
pub(super) fn is_admitted(headers: &HeaderMap, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // Digests are compared, so that the time tells nothing about the token.
    sent.is_some_and(|sent| Sha256::digest(sent) == Sha256::digest(token))
}

/// Returns how long the work on an item may take, by the headers; `None` for as long as it needs.
///
/// Fails, of kind Input, for a header that is none.
pub(super) fn time_for_work(headers: &HeaderMap, now: jiff::Timestamp) -> Result<Option<Duration>> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim().to_owned());
    let unusable = |name: &str, text: &str, form: &str| {
        Error::input(format!("the header {name} is {text:?}")).hint(format!("give {form}"))
    };
    let given = match (text(TIMEOUT), text(DEADLINE)) {
        (Some(seconds), _) => {
            let parsed = seconds.trim_end_matches('s').parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
            parsed.ok_or_else(|| unusable(TIMEOUT, &seconds, "seconds: 540"))?
        }
        (None, Some(time)) => {
            let of_epoch = || time.parse().ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
            let until = time.parse::<jiff::Timestamp>().ok().or_else(of_epoch);
            let until = until.ok_or_else(|| unusable(DEADLINE, &time, "a time: 2026-11-30T12:00:00Z"))?;
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(given.mul_f64(WORKING_PART).max(given.saturating_sub(HANDING_BACK))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        [(header::HeaderName::from_static(name), value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn an_item_may_be_in_the_envelope_of_a_push() {
        let item = r#"{"payload":{"packageName":"react"}}"#;
        let pushed =
            format!(r#"{{"message":{{"data":"{}","messageId":"1"}},"subscription":"x"}}"#, STANDARD.encode(item));
        let kind = Some(ItemKind::Packument);
        let bare = item_of(item.as_bytes(), kind, "npm").unwrap();
        assert_eq!(item_of(pushed.as_bytes(), kind, "npm").unwrap(), bare);
        assert!(item_of(br#"{"message":{"data":"%%"}}"#, kind, "npm").is_err());
    }

    #[test]
    fn only_the_token_admits() {
        for (value, is_admitted_by_it) in [
            ("Bearer sesame", true),
            ("bearer  sesame", true),
            ("Bearer sesam", false),
            ("Basic sesame", false),
            ("", false),
        ] {
            assert_eq!(is_admitted(&headers("authorization", value), Some("sesame")), is_admitted_by_it, "{value}");
        }
        assert!(!is_admitted(&HeaderMap::new(), Some("sesame")) && is_admitted(&HeaderMap::new(), None));
    }

    #[test]
    fn the_time_for_work_leaves_time_to_hand_back() {
        let now = jiff::Timestamp::from_second(1_000).unwrap();
        let time = |name, value| time_for_work(&headers(name, value), now).unwrap().unwrap().as_secs_f64();
        assert_eq!(time("request-timeout", "10"), 9.0);
        assert_eq!(time("request-timeout", "600"), 595.0);
        assert_eq!(time("x-deadline", "1010"), 9.0);
        assert_eq!(time("x-deadline", "1970-01-01T00:16:50Z"), 9.0);
        assert_eq!(time("x-deadline", "1"), 0.0);
        assert_eq!(time_for_work(&HeaderMap::new(), now).unwrap(), None);
        for (name, value) in [("request-timeout", "soon"), ("request-timeout", "-1"), ("x-deadline", "tomorrow")] {
            assert!(time_for_work(&headers(name, value), now).is_err(), "{name}: {value}");
        }
    }

    proptest! {
        #[test]
        fn no_body_and_no_header_panics(body in any::<Vec<u8>>(), text in "\\PC*", value in "[ -~]*") {
            for body in [body.as_slice(), text.as_bytes()] {
                let _ = item_of(body, None, "npm");
            }
            let now = jiff::Timestamp::UNIX_EPOCH;
            let _ = time_for_work(&headers("request-timeout", &value), now);
            let _ = time_for_work(&headers("x-deadline", &value), now);
        }
    }
}
