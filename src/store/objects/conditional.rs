//! Puts under a condition, and who won. A response may be lost, and a server may refuse a put that it has done, if the
//! client or a proxy sent it twice. So each put carries an id as metadata of the object; after anything but a success the
//! id of the object in place says whether this put was done.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectMeta, ObjectStore, PutMode, PutOptions, PutPayload, Result,
    UpdateVersion,
};

use super::retrying::Retrying;

/// The name of the metadata that holds the id of a write.
const WRITE_ID: &str = "write-id";

/// The condition of a put.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// Nothing is in place.
    Absent,
    /// The object in place is this version.
    Version(UpdateVersion),
}

/// Returns the version of an object, for [`Condition::Version`].
pub(in crate::store) fn version_of(meta: &ObjectMeta) -> UpdateVersion {
    UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() }
}

/// Puts `bytes` under a condition, and returns the version that is in place then; `None` if the condition did not hold. Sends
/// the put again as long as neither this one nor that of another process has been done.
///
/// If this put is done, its response is lost, and another process replaces the object before its id is read, the result
/// is `None`: what was put was in place only for a moment.
pub(super) async fn put_if(
    client: &Retrying,
    path: &Path,
    bytes: Bytes,
    condition: &Condition,
) -> Result<Option<UpdateVersion>> {
    let id = format!("{:032x}", fastrand::u128(..));
    let attributes = Attributes::from_iter([(Attribute::Metadata(WRITE_ID.into()), id.clone())]);
    let mode = match condition {
        Condition::Absent => PutMode::Create,
        Condition::Version(version) => PutMode::Update(version.clone()),
    };
    let options = PutOptions { mode, attributes, ..PutOptions::default() };
    let mut pauses = client.pauses("put under a condition");
    loop {
        let put = client.put_opts(path, PutPayload::from_bytes(bytes.clone()), options.clone()).await;
        let error = match put {
            Ok(put) => return Ok(Some(put.into())),
            Err(error) => error,
        };
        // S3 does not find an object that is gone, where others say that the condition does not hold.
        let is_gone = matches!((condition, &error), (Condition::Version(_), Error::NotFound { .. }));
        let is_refused = is_gone || matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. });
        if !is_refused && !super::transient::is_transient(&error) {
            return Err(error);
        }
        let found = in_place(client, path).await?;
        let ours = found.as_ref().filter(|(_, found_id)| found_id.as_deref() == Some(&id));
        if let Some((meta, _)) = ours {
            tracing::warn!(path = %path, %error, "a put was done although its response says otherwise");
            return Ok(Some(version_of(meta)));
        }
        let still_holds = match (condition, &found) {
            (Condition::Absent, found) => found.is_none(),
            (Condition::Version(version), Some((meta, _))) => version_of(meta) == *version,
            (Condition::Version(_), None) => false,
        };
        if !still_holds {
            return Ok(None);
        }
        // Nobody's put was done: the failure was of the moment, or two puts at once refused each other.
        pauses.wait(path.as_ref(), error).await?;
    }
}

/// Returns the metadata of the object in place, and the id of the write that put it there.
async fn in_place(client: &Retrying, path: &Path) -> Result<Option<(ObjectMeta, Option<String>)>> {
    let options = GetOptions { head: true, ..GetOptions::default() };
    match client.get_opts(path, options).await {
        Ok(found) => {
            let id = found.attributes.get(&Attribute::Metadata(WRITE_ID.into())).map(|id| id.to_string());
            Ok(Some((found.meta, id)))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
