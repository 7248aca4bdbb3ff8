//! The first contact with servers that refuse. A server on loopback returns what the public references of S3, R2 and GCS
//! show for each error.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::refused::{Refused, Response};
use super::target::{Provider, Source, Target};
use crate::error::{Error, ErrorKind};
use crate::store::{Store, StoreOptions};

/// A response: its status, headers (each with its line end) and body.
type Scripted = (u16, String, String);

/// A server that gives every request the response of a script, and keeps the requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn start(script: impl Fn(&str) -> Scripted + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                        _ => break,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let (status, headers, body) = script(&head);
                kept.lock().unwrap().push(head);
                let length = body.len();
                let response = format!(
                    "HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(response.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Server { url, requests, _task: AbortOnDropHandle::new(task) }
    }

    async fn always(status: u16, headers: &str, body: &str) -> Server {
        let scripted = (status, headers.to_owned(), body.to_owned());
        Server::start(move |_| scripted.clone()).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The address of a server that is not there.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn options(variables: &[(&str, &str)]) -> StoreOptions {
    let keys = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "hush"), ("GOOGLE_OAUTH_ACCESS_TOKEN", "hush")];
    let set = keys.iter().chain(variables).map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    StoreOptions { environment: set.collect(), ..StoreOptions::default() }
}

fn store(location: &str, server: &str) -> Store {
    let reached = StoreOptions { endpoint: Some(server.to_owned()), ..options(&[("AWS_REGION", "eu-west-1")]) };
    Store::open_with(location, &reached).unwrap()
}

fn xml(code: &str, rest: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>{rest}<RequestId>656c76696e6727732072657175657374</RequestId></Error>"
    )
}

/// Checks what an error says, and that it repeats no secret.
fn assert_says(error: &Error, sentence: &str, hint: &str) {
    let report = error.report();
    assert!(error.message().contains(sentence), "{sentence}: {report}");
    assert!(error.hint_text().unwrap().contains(hint), "{hint}: {report}");
    assert!(error.kind() == ErrorKind::Lake && error.is_of_system() && !report.contains("hush"), "{report}");
}

async fn assert_refused(location: &str, scripted: (u16, &str, &str), sentence: &str, hint: &str) {
    let (status, headers, body) = scripted;
    let server = Server::always(status, headers, body).await;
    let error = store(location, &server.url).check().await.unwrap_err();
    assert_says(&error, sentence, hint);
    assert_eq!(server.requests().len(), 1, "{location}: a refusal is not retried");
}

#[tokio::test]
async fn s3_says_which_setting_is_wrong() {
    let denied = xml(
        "AccessDenied",
        "<Message>User: arn:aws:iam::123456789012:user/x is not authorized to perform: s3:ListBucket on resource: &quot;arn:aws:s3:::lake&quot;</Message>",
    );
    let id = xml(
        "InvalidAccessKeyId",
        "<Message>The AWS Access Key Id you provided does not exist in our records.</Message><AWSAccessKeyId>AK</AWSAccessKeyId>",
    );
    let signature = xml(
        "SignatureDoesNotMatch",
        "<Message>The request signature we calculated does not match the signature you provided. Check your key and signing method.</Message><AWSAccessKeyId>AK</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256</StringToSign>",
    );
    let expired = xml("ExpiredToken", "<Message>The provided token has expired.</Message><Token-0>x</Token-0>");
    let token = xml("InvalidToken", "<Message>The provided token is malformed or otherwise invalid.</Message>");
    let bucket =
        xml("NoSuchBucket", "<Message>The specified bucket does not exist</Message><BucketName>lake</BucketName>");
    let redirect = xml(
        "PermanentRedirect",
        "<Message>The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.</Message><Endpoint>lake.s3.eu-central-1.amazonaws.com</Endpoint><Bucket>lake</Bucket>",
    );
    let malformed = xml(
        "AuthorizationHeaderMalformed",
        "<Message>The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region>",
    );
    let missing = xml(
        "NotImplemented",
        "<Message>A header you provided implies functionality that is not implemented.</Message>",
    );
    let region = "x-amz-bucket-region: eu-central-1\r\n";
    for (status, headers, body, sentence, hint) in [
        (403, "", &denied, "cannot list the lake: the credentials for s3://lake do not allow it", "least permissions"),
        (403, "", &id, "credentials for s3://lake are wrong", "AWS_ACCESS_KEY_ID"),
        (403, "", &signature, "credentials for s3://lake are wrong", "AWS_SECRET_ACCESS_KEY"),
        (400, "", &expired, "have expired", "AWS_SESSION_TOKEN"),
        (400, "", &token, "are wrong", "AWS_SESSION_TOKEN"),
        (404, "", &bucket, "there is no bucket lake at http://127.0.0.1", "creates no bucket"),
        (301, region, &redirect, "is in the region eu-central-1, not in eu-west-1", "AWS_REGION=eu-central-1"),
        (301, "", &redirect, "is not in the region eu-west-1", "set AWS_REGION to"),
        (400, "", &malformed, "is in the region eu-central-1, not in eu-west-1", "AWS_REGION=eu-central-1"),
        (501, "", &missing, "does not have this operation", "If-None-Match"),
        (418, "", &"a pot of tea".to_owned(), "s3://lake refused it", "docs/buckets.md"),
    ] {
        assert_refused("s3://lake/a", (status, headers, body), sentence, hint).await;
    }
    // The text of the server is part of the report, once.
    let server = Server::always(403, "", &denied).await;
    let report = store("s3://lake/a", &server.url).check().await.unwrap_err().report();
    assert_eq!(report.matches("s3:ListBucket on resource: \"arn:aws:s3:::lake\"").count(), 1, "{report}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_named_with_the_difference() {
    let date = |shift: i64| {
        let span = Duration::from_secs(shift.unsigned_abs());
        let now = SystemTime::now();
        let server = if shift < 0 { now - span } else { now + span };
        format!("date: {}\r\n", httpdate::fmt_http_date(server))
    };
    let skewed = xml(
        "RequestTimeTooSkewed",
        "<Message>The difference between the request time and the current time is too large.</Message><RequestTime>20261129T090000Z</RequestTime><ServerTime>2026-11-29T11:30:00Z</ServerTime><MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>",
    );
    for (headers, sentence) in [
        (date(12_600), "is 3 hours behind the server's"),
        (date(-1_810), "is 30 minutes ahead of the server's"),
        (String::new(), "is 2 hours behind the server's"),
    ] {
        assert_refused("s3://lake", (403, &headers, &skewed), sentence, "timedatectl").await;
    }
    // Google says only that a token is not accepted.
    let refused = xml("AuthenticationRequired", "<Message>Authentication required.</Message>");
    assert_refused("gs://lake", (401, &date(-90_000), &refused), "is 25 hours ahead of", "timedatectl").await;
    assert_refused("gs://lake", (401, &date(20), &refused), "credentials for gs://lake are wrong", "gcloud auth").await;
}

#[tokio::test]
async fn gcs_and_r2_say_which_setting_is_wrong() {
    let denied = xml(
        "AccessDenied",
        "<Message>Access denied.</Message><Details>x@example.com does not have storage.objects.list access to the Google Cloud Storage bucket.</Details>",
    );
    let gone = xml("NoSuchBucket", "<Message>The specified bucket does not exist.</Message>");
    let server = Server::always(403, "", &denied).await;
    let report = store("gs://lake", &server.url).check().await.unwrap_err().report();
    assert!(report.contains("storage.objects.list"), "{report}");
    for (location, status, body, sentence, hint) in [
        ("gs://lake", 403, &denied, "do not allow it", "least permissions"),
        ("gs://lake", 404, &gone, "there is no bucket lake", "creates no bucket"),
        ("r2://lake", 404, &gone, "there is no bucket lake", "CLOUDFLARE_R2_JURISDICTION=eu"),
        ("r2://lake", 401, &xml("Unauthorized", "<Message>Unauthorized</Message>"), "are wrong", "R2_ACCESS_KEY_ID"),
        (
            "r2://lake",
            400,
            &xml("InvalidArgument", "<Message>Credential access key has length 20, should be 32</Message>"),
            "are wrong",
            "an R2 API token",
        ),
        ("r2://lake", 403, &xml("AccessDenied", "<Message>Access Denied</Message>"), "do not allow it", "least"),
    ] {
        assert_refused(location, (status, "", body), sentence, hint).await;
    }
}

#[tokio::test]
async fn an_object_that_is_not_there_is_told_from_a_bucket_that_is_not_there() {
    let key = xml("NoSuchKey", "<Message>The specified key does not exist.</Message><Key>all-docs.json</Key>");
    let bucket = xml("NoSuchBucket", "<Message>The specified bucket does not exist</Message>");
    for location in ["s3://lake/a", "gs://lake/a"] {
        let server = Server::always(404, "", &key).await;
        assert_eq!(store(location, &server.url).get("all-docs.json").await.unwrap(), None);
        let request = &server.requests()[0];
        assert!(request.to_ascii_lowercase().contains("user-agent: all-docs/"), "{request}");
        let server = Server::always(404, "", &bucket).await;
        let error = store(location, &server.url).get("all-docs.json").await.unwrap_err();
        assert_says(&error, "cannot read all-docs.json: there is no bucket lake", "creates no bucket");
    }
}

#[tokio::test]
async fn a_machine_without_credentials_and_a_server_that_is_not_there_are_named_soon() {
    let bucket = Server::always(500, "", "").await;
    let open = |variables: &[(&str, &str)]| {
        let mut set: BTreeMap<String, String> = options(variables).environment;
        set.remove("AWS_ACCESS_KEY_ID");
        set.remove("AWS_SECRET_ACCESS_KEY");
        let options = StoreOptions { endpoint: Some(bucket.url.clone()), environment: set, ..StoreOptions::default() };
        Store::open_with("s3://lake", &options).unwrap()
    };
    let machine = nowhere().await;
    let error = open(&[("AWS_METADATA_ENDPOINT", &machine)]).check().await.unwrap_err();
    assert_says(&error, "there are no credentials for s3://lake", "AWS_PROFILE");

    // A machine without a role: it gives a session, and has no credentials.
    let machine = Server::start(|head| match head.starts_with("PUT /latest/api/token") {
        true => (200, String::new(), "session".to_owned()),
        false => (404, String::new(), String::new()),
    });
    let machine = machine.await;
    let error = open(&[("AWS_METADATA_ENDPOINT", &machine.url)]).check().await.unwrap_err();
    assert_says(&error, "there are no credentials for s3://lake", "AWS_ACCESS_KEY_ID");
    assert_eq!(machine.requests().len(), 2);

    let file = tempfile::NamedTempFile::new().unwrap();
    let container = Server::always(403, "", "{\"error\":\"hush\"}").await;
    let set = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path().to_str().unwrap()),
    ];
    let error = open(&set).check().await.unwrap_err();
    assert!(error.message().contains("credentials for s3://lake are wrong"), "{error:?}");
    assert!(bucket.requests().is_empty());

    for location in ["s3://lake", "gs://lake"] {
        let server = nowhere().await;
        let error = store(location, &server).check().await.unwrap_err();
        assert_says(&error, &format!("{} cannot be reached", server.trim_start_matches("http://")), "--endpoint");
    }
}

#[tokio::test]
async fn a_server_that_fails_for_the_moment_is_asked_again() {
    let listed = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>lake</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>";
    let slow = xml("SlowDown", "<Message>Please reduce your request rate.</Message>");
    for (location, status) in [("s3://lake", 503), ("gs://lake", 429)] {
        let mut left = vec![(200, String::new(), listed.to_owned()), (status, String::new(), slow.clone())];
        let script = Mutex::new(move || left.pop().unwrap());
        let server = Server::start(move |_| (*script.lock().unwrap())()).await;
        let store = store(location, &server.url);
        store.check().await.unwrap();
        assert_eq!((server.requests().len(), store.usage().retries, store.usage().lists), (2, 1, 2));
    }
}

#[tokio::test]
async fn a_server_that_is_no_bucket_is_told_from_a_lake_that_is_not_there() {
    let page = "<html><body>Please sign in</body></html>";
    let html = "content-type: text/html; charset=utf-8\r\n";
    for location in ["s3://lake", "gs://lake"] {
        for (status, headers, body) in [(404, "", page), (200, "", page), (200, html, page), (404, "", "")] {
            assert_refused(location, (status, headers, body), "does not respond as a bucket does", "--endpoint").await;
        }
        let server = Server::always(200, &format!("{html}etag: \"1\"\r\n"), "").await;
        store(location, &server.url).put("a", "1").await.unwrap();
        // A small object is read before anything is listed.
        let server = Server::always(200, html, page).await;
        let error = store(location, &server.url).get("all-docs.json").await.unwrap_err();
        assert_says(&error, "does not respond as a bucket does", "without the bucket");
    }
}

#[tokio::test]
async fn a_clock_that_differs_by_the_body_only_is_named_without_a_wrong_difference() {
    let times = "<RequestTime>20261129T090000Z</RequestTime><ServerTime>2026-11-29T12:00:00Z</ServerTime>";
    let now = format!("date: {}\r\n", httpdate::fmt_http_date(SystemTime::now()));
    for (body, sentence) in [
        (xml("RequestTimeTooSkewed", times), "is 3 hours behind the server's"),
        (xml("RequestTimeTooSkewed", ""), "by the server, the clock of this machine is wrong"),
    ] {
        assert_refused("s3://lake", (403, &now, &body), sentence, "timedatectl").await;
    }
}

#[tokio::test]
async fn a_metadata_server_that_is_turned_off_or_is_something_else_means_that_there_are_no_credentials() {
    let bucket = Server::always(500, "", "").await;
    for (status, body) in [
        (403, "forbidden"),
        (200, "<html>Please sign in</html>"),
        (200, "two\nlines"),
        (200, "{\"AccessKeyId\":\"a\\nb\"}"),
    ] {
        let machine = Server::always(status, "", body).await;
        let set = [("AWS_METADATA_ENDPOINT".to_owned(), machine.url.clone())];
        let options =
            StoreOptions { endpoint: Some(bucket.url.clone()), environment: set.into(), ..StoreOptions::default() };
        let error = Store::open_with("s3://lake", &options).unwrap().get("x").await.unwrap_err();
        assert_says(&error, "there are no credentials for s3://lake", "AWS_ACCESS_KEY_ID");
    }
    assert!(bucket.requests().is_empty());
}

#[tokio::test]
async fn keys_that_no_lake_can_have_do_not_hide_the_others() {
    let listed = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>lake</Name><Prefix></Prefix><KeyCount>2</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>logs//1</Key><LastModified>2026-11-29T00:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag><Size>1</Size></Contents><Contents><Key>a/b</Key><LastModified>2026-11-29T00:00:00.000Z</LastModified><ETag>&quot;2&quot;</ETag><Size>1</Size></Contents></ListBucketResult>";
    for location in ["s3://lake", "gs://lake"] {
        let server = Server::always(200, "", listed).await;
        assert_eq!(store(location, &server.url).list("").await.unwrap(), ["a/b"]);
    }
}

/// Servers of credentials are reached by TLS only, so their refusals are judged here without a connection.
#[test]
fn a_refusal_of_credentials_says_whose_they_are() {
    let target = |provider: Provider, source: Source| {
        Arc::new(Target {
            provider,
            bucket: "lake".to_owned(),
            server: "https://example.com".to_owned(),
            is_own_server: false,
            region: "eu-west-1".to_owned(),
            source,
            credentials_url: None,
            has_old_metadata: false,
            credentials_name: None,
        })
    };
    let (role, user) = (target(Provider::S3, Source::WebIdentity), target(Provider::Gcs, Source::User));
    let sts = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>No OpenIDConnect provider found in your account for https://example.com</Message></Error></ErrorResponse>";
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>";
    let revoked = r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#;
    for (target, status, body, why, hint, told) in [
        (&role, 400, sts, "credentials for s3://lake are wrong", "AWS_ROLE_ARN", "No OpenIDConnect provider"),
        (&role, 403, denied, "credentials for s3://lake are wrong", "trust policy", "Not authorized"),
        (&user, 400, revoked, "credentials for gs://lake have expired", "application-default login", "revoked"),
    ] {
        let response = Response { status, body: body.to_owned(), ..Response::default() };
        let refused = Refused::by(target, &response, true);
        assert!(refused.why().contains(why) && refused.hint().contains(hint), "{}: {}", refused.why(), refused.hint());
        assert!(refused.to_string().contains(told), "{refused}");
    }
    let refused = Refused::unreached(&user, "example.com", "invalid peer certificate: UnknownIssuer", true);
    assert_eq!(refused.why(), "example.com cannot be reached");
    assert!(refused.hint().contains("SSL_CERT_FILE"), "{}", refused.hint());
}
