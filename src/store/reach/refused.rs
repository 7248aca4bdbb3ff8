//! A refusal by the server of a bucket, or by a server of credentials: its cause, and how to remove it.
//!
//! The codes are those of the public references: "Error responses" of Amazon S3, "Error codes" of Cloudflare R2, "XML API
//! error codes" of Google Cloud Storage, and the errors of AWS STS and of OAuth 2 (RFC 6749, section 5.2). Not here:
//! which responses are refusals (`connection`).

use std::fmt;
use std::sync::Arc;

use super::listing::unescaped;
use super::target::{Provider, Source, Target};

/// A difference of clocks that credentials do not survive, in seconds. S3 tolerates 15 minutes, Google's tokens five.
const TOLERATED_SKEW_S: i64 = 5 * 60;
/// The most characters of a server's message that are shown.
const MAX_MESSAGE_CHARACTERS: usize = 300;

/// The content of a response that refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The body, or its beginning.
    pub(super) body: String,
    /// The header `x-amz-bucket-region`.
    pub(super) region: Option<String>,
    /// How far the clock of this machine is ahead of the header `Date`, in seconds.
    pub(super) ahead_s: Option<i64>,
}

impl Response {
    /// Returns the text of the first element of that name, if the body is XML.
    fn element(&self, name: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        let text = unescaped(text.trim());
        Some(text).filter(|text| !text.is_empty())
    }

    /// Returns the member of that name, if the body is JSON.
    fn member(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        Some(body.get(name)?.as_str()?.to_owned())
    }

    /// Returns the code of the error; empty if there is none.
    pub(super) fn code(&self) -> String {
        self.element("Code").or_else(|| self.member("error")).unwrap_or_default()
    }

    fn message(&self) -> String {
        let text = self.element("Details").or_else(|| self.element("Message"));
        let text = text.or_else(|| self.member("error_description")).unwrap_or_default();
        let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        plain.take(MAX_MESSAGE_CHARACTERS).collect()
    }

    /// Returns how far the clock of this machine is ahead, in seconds, by the header or by the times in the body. A header
    /// that shows no difference may be that of a proxy.
    fn skew_s(&self) -> Option<i64> {
        let of_body = || {
            let server: jiff::Timestamp = self.element("ServerTime")?.parse().ok()?;
            let own = self.element("RequestTime")?;
            let own = own.parse::<jiff::Timestamp>().ok().or_else(|| basic_time(&own))?;
            Some(own.as_second() - server.as_second())
        };
        self.ahead_s.filter(|ahead| ahead.abs() > TOLERATED_SKEW_S).or_else(of_body).or(self.ahead_s)
    }
}

/// Parses the time of a signature: `20261129T090000Z`.
fn basic_time(text: &str) -> Option<jiff::Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// The cause of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// There are no credentials, and the machine's own server of credentials has none.
    NoCredentials,
    /// The credentials are wrong.
    WrongCredentials,
    /// The credentials were right until they expired.
    Expired,
    /// The clocks differ. Positive if this machine's is ahead; in seconds, if known.
    Clock(Option<i64>),
    /// There is no such bucket.
    NoBucket,
    /// The bucket is in another region; its name, if the server told it.
    Region(Option<String>),
    /// The credentials are right, and may not do this.
    NoPermission,
    /// The server does not have the operation.
    Unsupported,
    /// The response is not one of a bucket, or of a server of credentials.
    Foreign,
    /// No connection to the host.
    Unreachable(String),
    /// Anything else.
    Other,
}

/// A refusal, with all that an error needs. Has no secret in it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Refused {
    target: Arc<Target>,
    cause: Cause,
    /// The status, code and message of the server, or the error of the connection.
    told: String,
}

impl Refused {
    /// Judges a response. `of_credentials`: it came from the server of the credentials, not from that of the bucket.
    pub(super) fn by(target: &Arc<Target>, response: &Response, of_credentials: bool) -> Refused {
        let cause = cause(target, response, of_credentials);
        let (code, message) = (response.code(), response.message());
        let parts = [format!("HTTP {}", response.status), code, message];
        let told: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Refused { target: Arc::clone(target), cause, told: told.join(", ") }
    }

    /// Judges a response that no such server gives: a web page, for example.
    pub(super) fn foreign(target: &Arc<Target>, status: u16, of_credentials: bool) -> Refused {
        let cause = if of_credentials { Cause::NoCredentials } else { Cause::Foreign };
        let kind = if of_credentials { "of a server of credentials" } else { "of a bucket" };
        Refused {
            target: Arc::clone(target),
            cause,
            told: format!("HTTP {status}, and the response is not one {kind}"),
        }
    }

    /// Judges a failed connection to `host`.
    pub(super) fn unreached(target: &Arc<Target>, host: &str, told: &str, of_credentials: bool) -> Refused {
        let is_of_machine = matches!(target.source, Source::Machine | Source::Container);
        let cause = match of_credentials && is_of_machine {
            true => Cause::NoCredentials,
            false => Cause::Unreachable(host.to_owned()),
        };
        Refused { target: Arc::clone(target), cause, told: told.to_owned() }
    }

    /// Returns the cause as a clause: `there is no bucket x at …`.
    pub(in crate::store) fn why(&self) -> String {
        let Target { bucket, server, region, .. } = &*self.target;
        let name = self.target.name();
        match &self.cause {
            Cause::NoCredentials => format!("there are no credentials for {name}"),
            Cause::WrongCredentials => format!("the credentials for {name} are wrong"),
            Cause::Expired => format!("the credentials for {name} have expired"),
            Cause::Clock(Some(ahead)) => {
                let side = if *ahead < 0 { "behind" } else { "ahead of" };
                format!("the clock of this machine is {} {side} the server's", span(ahead.unsigned_abs()))
            }
            Cause::Clock(None) => "by the server, the clock of this machine is wrong".to_owned(),
            Cause::NoBucket => format!("there is no bucket {bucket} at {server}"),
            Cause::Region(Some(right)) => format!("the bucket {bucket} is in the region {right}, not in {region}"),
            Cause::Region(None) => format!("the bucket {bucket} is not in the region {region}"),
            Cause::NoPermission => format!("the credentials for {name} do not allow it"),
            Cause::Unsupported => format!("the server {server} does not have this operation"),
            Cause::Foreign => format!("the server {server} does not respond as a bucket does"),
            Cause::Unreachable(host) => format!("{host} cannot be reached"),
            Cause::Other => format!("{name} refused it"),
        }
    }

    /// Returns what the user can do.
    pub(in crate::store) fn hint(&self) -> String {
        use Provider::{Gcs, R2, S3};
        let target = &*self.target;
        let keys = match target.provider {
            S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            R2 => "R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY",
            Gcs => "GOOGLE_APPLICATION_CREDENTIALS",
        };
        match (&self.cause, target.provider) {
            (Cause::NoCredentials, Gcs) => format!(
                "run gcloud auth application-default login, or set {keys} to the key file of a service account"
            ),
            (Cause::NoCredentials, _) => format!(
                "set {keys}, or AWS_PROFILE to a profile of ~/.aws; docs/buckets.md lists all ways"
            ),
            (Cause::WrongCredentials | Cause::Expired, _) if target.source == Source::User => {
                "sign in again: gcloud auth application-default login".to_owned()
            }
            (Cause::WrongCredentials | Cause::Expired, _) if target.source == Source::WebIdentity => {
                "check AWS_ROLE_ARN and the trust policy of that role, and that AWS_WEB_IDENTITY_TOKEN_FILE is renewed"
                    .to_owned()
            }
            (Cause::WrongCredentials | Cause::Expired, _) if target.source == Source::Container => {
                "check the role of the container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_CONTAINER_CREDENTIALS_FULL_URI names its server of credentials".to_owned()
            }
            (Cause::WrongCredentials | Cause::Expired, Gcs) => format!(
                "check {}: the key may be deleted; or run gcloud auth application-default login",
                target.credentials_name.as_deref().unwrap_or("GOOGLE_OAUTH_ACCESS_TOKEN")
            ),
            (Cause::WrongCredentials | Cause::Expired, S3) => {
                format!("check {keys}; temporary keys also need a fresh AWS_SESSION_TOKEN")
            }
            (Cause::WrongCredentials | Cause::Expired, R2) => {
                format!("check {keys}, of an R2 API token of the account in CLOUDFLARE_ACCOUNT_ID")
            }
            (Cause::Clock(_), _) => {
                "set the clock, for example with timedatectl set-ntp true; signatures hold for minutes only".to_owned()
            }
            (Cause::NoBucket, R2) => "check its name and CLOUDFLARE_ACCOUNT_ID; a bucket of a jurisdiction also needs CLOUDFLARE_R2_JURISDICTION=eu (or fedramp); all-docs creates no bucket".to_owned(),
            (Cause::NoBucket, _) => "check its name, or create it: all-docs creates no bucket".to_owned(),
            (Cause::Region(Some(right)), _) => format!("set AWS_REGION={right}"),
            (Cause::Region(None), _) => "set AWS_REGION to the region of the bucket".to_owned(),
            (Cause::NoPermission, _) => {
                "docs/buckets.md has the least permissions: list the bucket; get, put and delete its objects".to_owned()
            }
            (Cause::Unsupported, _) => "a lake needs If-Match, If-None-Match and multipart uploads: use a newer version of that server, or another one".to_owned(),
            (Cause::Foreign, _) if target.is_own_server => {
                "check --endpoint (or the variable with the endpoint): it is the address of the server without the bucket".to_owned()
            }
            (Cause::Foreign, _) => "check the network: a proxy, or the page of a network that wants a sign-in, may respond in place of the server".to_owned(),
            (Cause::Unreachable(_), _) if self.told.contains("scheme is not allowed") => {
                "the address begins with http://: set AWS_ALLOW_HTTP=true (or GOOGLE_ALLOW_HTTP=true) to use it".to_owned()
            }
            (Cause::Unreachable(_), _) if self.told.contains("certificate") => {
                "its certificate is not trusted: SSL_CERT_FILE, or AWS_CA_BUNDLE for S3 and R2, names a PEM file with those to trust".to_owned()
            }
            (Cause::Unreachable(_), R2) if !target.is_own_server => {
                "check CLOUDFLARE_ACCOUNT_ID, the network, and HTTPS_PROXY if there is a proxy".to_owned()
            }
            (Cause::Unreachable(_), _) if self.told.contains("redirect") => {
                "the server redirects without an end: check AWS_REGION, and whether the network wants a sign-in".to_owned()
            }
            (Cause::Unreachable(host), _) if target.is_own_server && target.server.contains(host.as_str()) => {
                "check --endpoint (or the variable with the endpoint), and that its server runs".to_owned()
            }
            (Cause::Unreachable(_), S3) => {
                "check AWS_REGION, the network, and HTTPS_PROXY if there is a proxy".to_owned()
            }
            (Cause::Unreachable(_), _) => "check the network, and HTTPS_PROXY if there is a proxy".to_owned(),
            (Cause::Other, _) => "docs/buckets.md describes the settings of a bucket".to_owned(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl std::error::Error for Refused {}

fn cause(target: &Target, response: &Response, of_credentials: bool) -> Cause {
    let (code, skew) = (response.code(), response.skew_s());
    let region = response.region.clone().or_else(|| response.element("Region")).filter(|told| *told != target.region);
    let is_refused = match (code.as_str(), response.status) {
        ("RequestTimeTooSkewed", _) => return Cause::Clock(skew.filter(|ahead| ahead.abs() > TOLERATED_SKEW_S)),
        ("NoSuchBucket", _) => return Cause::NoBucket,
        ("PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException" | "InvalidRegionName", _)
        | (_, 301 | 307) => return Cause::Region(region),
        ("AuthorizationHeaderMalformed", _) if region.is_some() => return Cause::Region(region),
        ("NotImplemented", _) | (_, 501) => return Cause::Unsupported,
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "invalid_grant", _) => Cause::Expired,
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "InvalidSecurity"
            | "InvalidIdentityToken"
            | "InvalidClientTokenId"
            | "AuthorizationHeaderMalformed"
            | "invalid_client"
            | "unauthorized_client",
            _,
        )
        | (_, 401) => Cause::WrongCredentials,
        // R2, for an access key of another kind.
        ("InvalidArgument", 400) if response.message().contains("access key") => Cause::WrongCredentials,
        (_, 404) if of_credentials => return Cause::NoCredentials,
        // The metadata server is turned off.
        (_, 403) if of_credentials && target.source == Source::Machine => return Cause::NoCredentials,
        (_, 400 | 403) if of_credentials => Cause::WrongCredentials,
        (_, 403) => return Cause::NoPermission,
        _ => return Cause::Other,
    };
    // A token is wrong before its time and after it: such servers do not say that it is about the time.
    match skew {
        Some(ahead) if ahead.abs() > TOLERATED_SKEW_S => Cause::Clock(skew),
        _ => is_refused,
    }
}

/// Formats a span for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
