//! The way to a bucket: a location and options become a client. Not here: what is done with it (`objects`).

mod access_key;
mod aws_profile;
mod connection;
mod gcs;
mod listing;
mod refused;
mod s3;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use object_store::RetryConfig;

pub(super) use refused::Refused;
pub(super) use target::{BucketUrl, Provider, Target};

use super::StoreOptions;
use super::objects::ObjectClient;
use crate::error::{Error, ErrorKind, Result};
use connection::Connector;

/// The name of this program in requests to a bucket.
const USER_AGENT: &str = concat!("all-docs/", env!("CARGO_PKG_VERSION"));

/// The client's own retries: none. The layer above it retries, counts and gives up.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() }
}

/// Returns a client of a bucket, and its description. Sends no request.
///
/// Fails, of kind Input, for options, variables and files that are missing or cannot be used; the error names them.
pub(super) fn reach(url: &BucketUrl, options: &StoreOptions) -> Result<(Arc<dyn ObjectClient>, Target)> {
    let unusable = |error: object_store::Error, target: &Target| {
        let told = Error::new(ErrorKind::Input, format!("the settings for {} cannot be used", url.url)).source(error);
        let hint =
            "a value of --lake-option, or of a variable such as AWS_ALLOW_HTTP, is wrong; docs/buckets.md lists them";
        match &target.credentials_name {
            // The client reads the key while it is built.
            Some(name) => told.hint(format!("the key of {name} cannot be read; or {hint}")),
            None => told.hint(hint),
        }
    };
    match url.provider {
        Provider::S3 | Provider::R2 => {
            let (target, builder) = s3::describe(url, options)?;
            let builder = builder.with_retry(no_retries()).with_http_connector(Connector::new(target.clone()));
            Ok((Arc::new(builder.build().map_err(|error| unusable(error, &target))?), target))
        }
        Provider::Gcs => {
            let (target, builder) = gcs::describe(url, options)?;
            let builder = builder.with_retry(no_retries()).with_http_connector(Connector::new(target.clone()));
            Ok((Arc::new(builder.build().map_err(|error| unusable(error, &target))?), target))
        }
    }
}
