//! A double of Google Cloud Storage: the part of its XML API that an object store needs, in memory, on loopback.
//!
//! Written from the public documentation, as it was in November 2026: "Request preconditions", "XML API multipart
//! uploads", and of the XML API reference "HTTP headers and query string parameters", "HTTP status and
//! error codes", "Upload an object", "Download an object", "List objects", "Delete an object", and "Initiate",
//! "Complete" and "Abort a multipart upload". It keeps to these facts:
//!
//! - Each write gives an object a new generation, larger than all before. `x-goog-if-generation-match` is compared and
//!   the object is replaced in one step; 0 means that there is no object. Otherwise the response is 412.
//! - Requests for data know `If-Match` (412) and `If-None-Match` (304). A range gives 206 and `Content-Range`, or 416.
//! - An ETag follows from the bytes of an object. That of a multipart upload does not.
//! - A multipart upload takes no precondition. Parts are numbered from 1 to 10,000, may be uploaded in any order and
//!   again, and all but the last have at least 5 MiB. The upload becomes an object only when it is completed; it must be
//!   completed or aborted.
//! - A list has at most 1,000 names a page, in the order of their bytes. A page is what is there when it is requested.
//! - Deleting an object that is not there is 404, `NoSuchKey`; on S3 it is no error.
//!
//! It leaves out: credentials and permissions, more than one bucket, copy and compose, resumable uploads, versions that
//! are not live, metageneration and changes of metadata, checksums (`x-goog-hash`, `Content-MD5`), storage classes,
//! encryption, transcoding of gzip, several ranges in one request, and limits of rate (one write a second to one name).
//! A request for one of them gets 501, where silence would hide a mistake.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

/// The most bytes of one request.
const MOST_BODY_BYTES: usize = 256 << 20;
/// The names of a page of a list.
const PAGE_NAMES: usize = 1_000;
/// The fewest bytes of a part that is not the last.
const LEAST_PART_BYTES: usize = 5 << 20;
const MOST_PARTS: usize = 10_000;
const MOST_NAME_BYTES: usize = 1_024;

/// The headers that describe an object, kept with it and sent with its bytes.
const DESCRIPTIONS: [&str; 5] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type"];
/// Headers of what is left out.
const LEFT_OUT: [&str; 7] = [
    "content-md5",
    "x-goog-copy-source",
    "x-goog-encryption-key",
    "x-goog-if-metageneration-match",
    "x-goog-resumable",
    "x-goog-hash",
    "x-goog-content-length-range",
];

/// A running server with one bucket. Its connections end when it is dropped.
pub struct Gcs {
    /// Without a slash at the end.
    pub url: String,
    pub bucket: String,
    held: Arc<Mutex<Held>>,
    runtime: Option<Runtime>,
}

/// The contents of the bucket.
#[derive(Default)]
struct Held {
    bucket: String,
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    /// The last generation, and the last number of an upload.
    generation: u64,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    generation: u64,
    etag: String,
    modified: std::time::SystemTime,
    described: Vec<(String, String)>,
}

struct Upload {
    name: String,
    described: Vec<(String, String)>,
    parts: BTreeMap<usize, (String, Bytes)>,
}

impl Gcs {
    /// Starts a server on a free port.
    pub fn start(bucket: &str) -> Gcs {
        let held = Arc::new(Mutex::new(Held { bucket: bucket.to_owned(), ..Held::default() }));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("gcs").enable_all().build();
        let runtime = runtime.unwrap();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).unwrap()
        };
        let router = Router::new().fallback(serve).with_state(Arc::clone(&held));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Gcs { url, bucket: bucket.to_owned(), held, runtime: Some(runtime) }
    }

    /// Returns the key of a service account that needs no token, for a client that is to use the server at `url`: this
    /// one, or a proxy before it.
    pub fn service_account_key(url: &str) -> String {
        let key = serde_json::json!({
            "gcs_base_url": url, "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": "",
        });
        key.to_string()
    }

    /// Returns the names of the objects with their bytes.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.held.lock().unwrap().objects.iter().map(|(name, object)| (name.clone(), object.bytes.clone())).collect()
    }

    /// Returns the names of the multipart uploads that were neither completed nor aborted.
    pub fn begun_uploads(&self) -> Vec<String> {
        self.held.lock().unwrap().uploads.values().map(|upload| upload.name.clone()).collect()
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Reply = Result<Response<Body>, Refusal>;

/// A response that says what is wrong.
struct Refusal(StatusCode, &'static str);

const NO_SUCH_BUCKET: Refusal = Refusal(StatusCode::NOT_FOUND, "NoSuchBucket");
const NO_SUCH_KEY: Refusal = Refusal(StatusCode::NOT_FOUND, "NoSuchKey");
const NO_SUCH_UPLOAD: Refusal = Refusal(StatusCode::NOT_FOUND, "NoSuchUpload");
const PRECONDITION_FAILED: Refusal = Refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
const INVALID_ARGUMENT: Refusal = Refusal(StatusCode::BAD_REQUEST, "InvalidArgument");
const INVALID_PART: Refusal = Refusal(StatusCode::BAD_REQUEST, "InvalidPart");
const NOT_IMPLEMENTED: Refusal = Refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented");

async fn serve(State(held): State<Arc<Mutex<Held>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    // The whole body is there before anything changes: a request that is cut has no effect.
    let reply = match to_bytes(body, MOST_BODY_BYTES).await {
        Ok(body) => reply(held.lock().unwrap(), &head.method, &head.uri.to_string(), &head.headers, body),
        Err(_) => Err(INVALID_ARGUMENT),
    };
    reply.unwrap_or_else(|Refusal(status, code)| {
        let text = format!(
            "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
        );
        // HEAD and 304 have no body.
        let body = if head.method == Method::HEAD || status == StatusCode::NOT_MODIFIED { String::new() } else { text };
        Response::builder().status(status).header("content-type", "application/xml").body(body.into()).unwrap()
    })
}

fn reply(mut held: MutexGuard<'_, Held>, method: &Method, target: &str, headers: &HeaderMap, body: Bytes) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix('/').ok_or(INVALID_ARGUMENT)?;
    let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if decoded(bucket)? != held.bucket {
        return Err(NO_SUCH_BUCKET);
    }
    if LEFT_OUT.iter().any(|header| headers.contains_key(*header)) {
        return Err(NOT_IMPLEMENTED);
    }
    let name = decoded(name)?;
    if name.is_empty() {
        return if method == Method::GET { held.list(&query) } else { Err(NOT_IMPLEMENTED) };
    }
    if name.len() > MOST_NAME_BYTES || name.contains(['\r', '\n']) || [".", ".."].contains(&name.as_str()) {
        return Err(INVALID_ARGUMENT);
    }
    let upload = query.get("uploadId");
    let is_multipart = upload.is_some() || query.contains_key("uploads");
    let wanted = generation_wanted(headers)?;
    if is_multipart && wanted.is_some() {
        return Err(NOT_IMPLEMENTED);
    }
    match (method.as_str(), upload) {
        ("POST", None) if is_multipart => held.begin_upload(name, headers),
        ("PUT", Some(upload)) => held.put_part(upload, &query, body),
        ("POST", Some(upload)) => held.complete(upload, &name, &body),
        ("DELETE", Some(upload)) => {
            held.uploads.remove(upload).ok_or(NO_SUCH_UPLOAD)?;
            Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty()).unwrap())
        }
        // These headers are for requests for data only.
        ("PUT" | "DELETE", None) if headers.contains_key("if-match") || headers.contains_key("if-none-match") => {
            Err(NOT_IMPLEMENTED)
        }
        ("PUT", None) => {
            held.check_generation(&name, wanted)?;
            let etag = format!("\"{}\"", hex(&Sha256::digest(&body)));
            Ok(put_reply(held.put(name, body, etag, described(headers))))
        }
        ("DELETE", None) => {
            held.check_generation(&name, wanted)?;
            held.objects.remove(&name).ok_or(NO_SUCH_KEY)?;
            Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty()).unwrap())
        }
        ("GET" | "HEAD", None) => {
            let object = held.objects.get(&name).ok_or(NO_SUCH_KEY)?.clone();
            held.check_generation(&name, wanted)?;
            drop(held);
            if query.get("generation").is_some_and(|wanted| *wanted != object.generation.to_string()) {
                return Err(NO_SUCH_KEY);
            }
            object.serve(method, headers)
        }
        _ => Err(NOT_IMPLEMENTED),
    }
}

impl Held {
    /// Fails where the live generation is not the wanted one.
    fn check_generation(&self, name: &str, wanted: Option<u64>) -> Result<(), Refusal> {
        let live = self.objects.get(name).map_or(0, |object| object.generation);
        if wanted.is_some_and(|wanted| wanted != live) { Err(PRECONDITION_FAILED) } else { Ok(()) }
    }

    fn put(&mut self, name: String, bytes: Bytes, etag: String, described: Vec<(String, String)>) -> &Object {
        self.generation += 1;
        let object =
            Object { bytes, generation: self.generation, etag, modified: std::time::SystemTime::now(), described };
        self.objects.insert(name.clone(), object);
        &self.objects[&name]
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Reply {
        let text = |key: &str| query.get(key).map_or("", String::as_str);
        if text("list-type") != "2" || query.contains_key("uploads") || query.contains_key("encoding-type") {
            return Err(NOT_IMPLEMENTED);
        }
        let most = match query.get("max-keys") {
            Some(most) => most.parse::<usize>().map_err(|_| INVALID_ARGUMENT)?.min(PAGE_NAMES),
            None => PAGE_NAMES,
        };
        let (prefix, delimiter) = (text("prefix"), text("delimiter"));
        // A token is the last name, or common prefix, of the page before.
        let token = decoded(text("continuation-token"))?;
        let after = if token.is_empty() { text("start-after") } else { &token };
        let (mut entries, mut last, mut count, mut is_truncated) = (String::new(), String::new(), 0, false);
        for (name, object) in self.objects.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix)) {
            let common = (!delimiter.is_empty()).then(|| name[prefix.len()..].find(delimiter)).flatten();
            let entry = &name[..common.map_or(name.len(), |at| prefix.len() + at + delimiter.len())];
            if entry <= after || entry == last {
                continue;
            }
            if count == most {
                is_truncated = true;
                break;
            }
            (last, count) = (entry.to_owned(), count + 1);
            let entry = escaped(entry);
            entries += &match common {
                Some(_) => format!("<CommonPrefixes><Prefix>{entry}</Prefix></CommonPrefixes>"),
                None => format!(
                    "<Contents><Key>{entry}</Key><Generation>{}</Generation><MetaGeneration>1</MetaGeneration>\
                     <LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                    object.generation,
                    jiff::Timestamp::try_from(object.modified).unwrap().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"),
                    escaped(&object.etag),
                    object.bytes.len(),
                ),
            };
        }
        let next = percent_encoding::utf8_percent_encode(&last, percent_encoding::NON_ALPHANUMERIC);
        let next = is_truncated.then(|| format!("<NextContinuationToken>{next}</NextContinuationToken>"));
        let text = format!(
            "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>\
             <Name>{}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>{}\
             {entries}</ListBucketResult>",
            escaped(&self.bucket),
            escaped(prefix),
            next.unwrap_or_default(),
        );
        Ok(xml(text))
    }

    fn begin_upload(&mut self, name: String, headers: &HeaderMap) -> Reply {
        self.generation += 1;
        let id = format!("upload-{}", self.generation);
        let text = format!(
            "<?xml version='1.0' encoding='UTF-8'?><InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key>\
             <UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escaped(&self.bucket),
            escaped(&name),
        );
        self.uploads.insert(id, Upload { name, described: described(headers), parts: BTreeMap::new() });
        Ok(xml(text))
    }

    fn put_part(&mut self, upload: &str, query: &BTreeMap<String, String>, body: Bytes) -> Reply {
        let upload = self.uploads.get_mut(upload).ok_or(NO_SUCH_UPLOAD)?;
        let number = query.get("partNumber").and_then(|number| number.parse().ok()).ok_or(INVALID_ARGUMENT)?;
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(INVALID_ARGUMENT);
        }
        let etag = format!("\"{}\"", hex(&Sha256::digest(&body)));
        let reply = Response::builder().header("etag", &etag).body(Body::empty()).unwrap();
        upload.parts.insert(number, (etag, body));
        Ok(reply)
    }

    fn complete(&mut self, id: &str, name: &str, body: &[u8]) -> Reply {
        let upload = self.uploads.get(id).filter(|upload| upload.name == name).ok_or(NO_SUCH_UPLOAD)?;
        let named = parts_named(body)?;
        if named.is_empty() || named.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(Refusal(StatusCode::BAD_REQUEST, "InvalidPartOrder"));
        }
        let mut bytes = Vec::new();
        for (place, (number, etag)) in named.iter().enumerate() {
            let (held_etag, part) = upload.parts.get(number).ok_or(INVALID_PART)?;
            if held_etag.trim_matches('"') != etag.trim_matches('"') {
                return Err(INVALID_PART);
            }
            if part.len() < LEAST_PART_BYTES && place + 1 < named.len() {
                return Err(Refusal(StatusCode::BAD_REQUEST, "EntityTooSmall"));
            }
            bytes.extend_from_slice(part);
        }
        let upload = self.uploads.remove(id).ok_or(NO_SUCH_UPLOAD)?;
        let etag = format!("\"{id}\"");
        let generation = self.put(upload.name, bytes.into(), etag.clone(), upload.described).generation;
        let text = format!(
            "<?xml version='1.0' encoding='UTF-8'?><CompleteMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key>\
             <ETag>{}</ETag></CompleteMultipartUploadResult>",
            escaped(&self.bucket),
            escaped(name),
            escaped(&etag),
        );
        let mut reply = xml(text);
        reply.headers_mut().insert("x-goog-generation", generation.into());
        Ok(reply)
    }
}

impl Object {
    fn serve(&self, method: &Method, headers: &HeaderMap) -> Reply {
        let names = |header: &str| headers.get(header).and_then(|value| value.to_str().ok());
        let is_named = |list: &str| list.split(',').any(|etag| etag.trim() == "*" || etag.trim() == self.etag);
        if names("if-match").is_some_and(|list| !is_named(list)) {
            return Err(PRECONDITION_FAILED);
        }
        if names("if-none-match").is_some_and(is_named) {
            return Err(Refusal(StatusCode::NOT_MODIFIED, "NotModified"));
        }
        let size = self.bytes.len();
        let range = names("range").map(|range| range_of(range, size)).transpose()?;
        let mut response = Response::builder()
            .header("etag", &self.etag)
            .header("last-modified", httpdate::fmt_http_date(self.modified))
            .header("accept-ranges", "bytes")
            .header("x-goog-generation", self.generation)
            .header("x-goog-metageneration", 1)
            .header("x-goog-stored-content-length", size);
        for (key, value) in &self.described {
            response = response.header(key, value);
        }
        let bytes = match range {
            Some(range) => {
                let told = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                response = response.status(StatusCode::PARTIAL_CONTENT).header("content-range", told);
                self.bytes.slice(range)
            }
            None => self.bytes.clone(),
        };
        response = response.header("content-length", bytes.len());
        let body = if method == Method::HEAD { Body::empty() } else { bytes.into() };
        Ok(response.body(body).unwrap())
    }
}

/// Returns the bytes that a range names of an object of `size` bytes.
fn range_of(range: &str, size: usize) -> Result<Range<usize>, Refusal> {
    let unsatisfiable = Refusal(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
    let (first, last) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or(INVALID_ARGUMENT)?;
    let number = |text: &str| text.parse::<usize>().map_err(|_| NOT_IMPLEMENTED);
    let range = match (first, last) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(size),
    };
    if range.is_empty() { Err(unsatisfiable) } else { Ok(range) }
}

/// Returns the generation that a request demands; 0 stands for no object.
fn generation_wanted(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get("x-goog-if-generation-match") else { return Ok(None) };
    value.to_str().ok().and_then(|value| value.parse().ok()).map(Some).ok_or(INVALID_ARGUMENT)
}

fn described(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = headers
        .iter()
        .filter(|(key, _)| DESCRIPTIONS.contains(&key.as_str()) || key.as_str().starts_with("x-goog-meta-"));
    kept.map(|(key, value)| (key.to_string(), value.to_str().unwrap_or_default().to_owned())).collect()
}

/// Returns the numbers and the ETags of the parts in the body of a request that completes an upload.
fn parts_named(body: &[u8]) -> Result<Vec<(usize, String)>, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| INVALID_ARGUMENT)?;
    let within = |part: &str, element: &str| {
        let (_, rest) = part.split_once(&format!("<{element}>"))?;
        Some(rest.split_once(&format!("</{element}>"))?.0.replace("&quot;", "\""))
    };
    let parts = text.split("<Part>").skip(1).map(|part| {
        let number = within(part, "PartNumber").and_then(|number| number.parse().ok());
        number.zip(within(part, "ETag")).ok_or(INVALID_ARGUMENT)
    });
    parts.collect()
}

fn put_reply(object: &Object) -> Response<Body> {
    let response = Response::builder().header("etag", &object.etag).header("x-goog-generation", object.generation);
    response.header("x-goog-metageneration", 1).body(Body::empty()).unwrap()
}

fn xml(text: String) -> Response<Body> {
    Response::builder().header("content-type", "application/xml; charset=UTF-8").body(text.into()).unwrap()
}

fn decoded(text: &str) -> Result<String, Refusal> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| INVALID_ARGUMENT)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn hex(digest: &[u8]) -> String {
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
