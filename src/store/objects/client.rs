//! The client of a bucket: `object_store`'s two traits as one type.

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;

/// A client of a bucket: `object_store`'s operations, and multipart uploads whose ids can be recorded. Its own retries
/// must be off (`RetryConfig::max_retries` of 0): `Retrying` retries, within one bound of time, and counts.
pub trait ObjectClient: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> ObjectClient for T {}
