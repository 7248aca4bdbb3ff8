//! Servers that stand in for object stores: on loopback, in memory, until the test ends. They use nothing of ours, so
//! the benches use them too.
#![allow(dead_code)]

/// Google Cloud Storage.
pub mod gcs;
/// HTTP/1.1 as far as the doubles need it.
pub mod http;
/// A proxy that records, fails and slows down requests.
pub mod proxy;
/// S3.
pub mod s3;
