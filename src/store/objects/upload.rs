//! The way of a staged file into the bucket: one put, or the parts of a multipart upload. Nothing is copied or renamed
//! there. Not here: staging (`scratch`).

use std::fs::File;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error as ObjectError, GetResult, PutPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Objects;
use super::scratch::explained;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::disk::disk_error;
use crate::store::refusal::refusal;
use crate::store::shard_file::read_exact_at;
use crate::store::step::Step;
use crate::store::{UploadId, blocking};

/// The size of a part, and of the largest object that is put at once. R2 wants parts of one size. Unit tests send parts
/// at hundreds of steps, each hashed by code that is not optimized; integration tests send parts of the real size.
pub(crate) const PART_LENGTH: usize = if cfg!(test) { 512 << 10 } else { 8 << 20 };
const PART_BYTES: u64 = PART_LENGTH as u64;
/// The parts of one upload that are sent at once: together with their size they bound its memory.
const PARTS_AT_ONCE: usize = 4;

/// Some bytes on their way into the bucket, and the place in memory that they take.
struct Part {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

/// Waits for the place of a part in memory.
async fn place(parts: Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    parts.acquire_owned().await.or_error(ErrorKind::Internal, || "no part may be sent".to_owned())
}

impl Objects {
    /// Begins an upload of the file staged at `from`; `None` if nothing is staged there, or if one put is enough.
    pub(in crate::store) async fn begin_upload(&self, from: &str, to: &str) -> Result<Option<UploadId>> {
        let Some(file) = self.scratch.file(from) else { return Ok(None) };
        if size_of(&file)? <= PART_BYTES {
            return Ok(None);
        }
        self.begin(to).await.map(Some)
    }

    async fn begin(&self, to: &str) -> Result<UploadId> {
        self.admit(Step::BeginUpload, to)?;
        let begun = self.client.create_multipart(&self.path(to)?).await;
        begun.map(UploadId).map_err(|error| refusal("write", to, error))
    }

    /// Removes the parts of an upload; one that was completed or aborted is no error.
    pub(in crate::store) async fn abort_upload(&self, to: &str, upload: &UploadId) -> Result<()> {
        self.admit(Step::AbortUpload, to)?;
        tracing::debug!(path = to, "an upload is aborted");
        match self.client.abort_multipart(&self.path(to)?, &upload.0).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(refusal("write", to, error)),
        }
    }

    /// Moves a staged file or object to its place. `Ok(false)` if nothing is at `from`.
    pub(in crate::store) async fn promote(&self, from: &str, to: &str, upload: Option<&UploadId>) -> Result<bool> {
        if let Some(file) = self.scratch.file(from) {
            self.send_file(&file, from, to, upload).await?;
            self.scratch.disk.delete(from).await.map_err(explained)?;
            return Ok(true);
        }
        let Some(found) = self.find(from).await? else { return Ok(false) };
        self.send_object(found, from, to).await?;
        self.delete_object(from).await?;
        Ok(true)
    }

    /// Puts a copy of the file that is staged at `from` into the bucket at `to`.
    pub(in crate::store) async fn back_up(&self, from: &str, to: &str) -> Result<()> {
        match self.scratch.file(from) {
            Some(file) => self.send_file(&file, from, to, None).await,
            None => Ok(()),
        }
    }

    async fn send_file(&self, file: &FilePath, from: &str, to: &str, upload: Option<&UploadId>) -> Result<()> {
        let size = size_of(file)?;
        let open = File::open(file).map_err(|error| explained(disk_error("read", file, error)))?;
        let (open, file) = (Arc::new(open), Arc::new(file.to_owned()));
        let starts = (0..size.max(1)).step_by(PART_LENGTH);
        let parts = stream::iter(starts).then(|start| {
            let (open, file, places) = (Arc::clone(&open), Arc::clone(&file), Arc::clone(&self.parts));
            async move {
                let place = place(places).await?;
                let read = move || {
                    let mut part = vec![0; usize::try_from(PART_BYTES.min(size - start)).unwrap_or_default()];
                    let read = read_exact_at(&open, &mut part, start);
                    read.map_err(|error| explained(disk_error("read", &file, error)))?;
                    Ok(Part { bytes: part.into(), _place: place })
                };
                blocking("a reader of the scratch folder", read).await
            }
        });
        self.send(parts.boxed(), size, from, to, upload).await
    }

    /// Sends an object of the bucket to another place in it.
    async fn send_object(&self, found: GetResult, from: &str, to: &str) -> Result<()> {
        let (size, name) = (found.meta.size, from.to_owned());
        let body = found.into_stream().map_err(move |error| refusal("read", &name, error));
        let parts = stream::try_unfold((body, BytesMut::new()), async |(mut body, mut part)| {
            let place = place(Arc::clone(&self.parts)).await?;
            while part.len() < PART_LENGTH {
                match body.try_next().await? {
                    Some(chunk) => part.extend_from_slice(&chunk),
                    None if part.is_empty() => return Ok(None),
                    None => break,
                }
            }
            let bytes = part.split_to(part.len().min(PART_LENGTH)).freeze();
            Ok(Some((Part { bytes, _place: place }, (body, part))))
        });
        self.send(parts.boxed(), size, from, to, None).await
    }

    /// Sends the bytes at `from`, given as its parts: at once if they are few, and otherwise as a multipart upload. An
    /// upload that fails is aborted.
    async fn send(
        &self,
        mut parts: BoxStream<'_, Result<Part>>,
        size: u64,
        from: &str,
        to: &str,
        upload: Option<&UploadId>,
    ) -> Result<()> {
        if size <= PART_BYTES && upload.is_none() {
            let whole = parts.try_next().await?;
            return self.put(to, whole.as_ref().map(|part| part.bytes.clone()).unwrap_or_default()).await;
        }
        let upload = match upload {
            Some(upload) => upload.clone(),
            None => self.begin(to).await?,
        };
        let sent = async {
            let numbered = stream::iter(0_usize..).zip(parts).map(|(index, part)| part.map(|part| (index, part)));
            let put = numbered.map(|part| async {
                let (index, part) = part?;
                self.put_part(to, &upload, index, part.bytes.clone()).await
            });
            let put = put.buffered(PARTS_AT_ONCE).try_collect().await?;
            self.complete(from, to, &upload, put).await
        };
        let sent = sent.await;
        if let Err(error) = &sent {
            tracing::warn!(path = to, %error, "an upload failed, and is aborted");
            // The first error tells more. Parts that stay are removed by the next run, or by a rule of the bucket.
            let _ = self.abort_upload(to, &upload).await;
        }
        sent
    }

    async fn put_part(&self, to: &str, upload: &UploadId, index: usize, bytes: Bytes) -> Result<PartId> {
        self.admit(Step::PutPart, to)?;
        let put = self.client.put_part(&self.path(to)?, &upload.0, index, PutPayload::from_bytes(bytes)).await;
        put.map_err(|error| refusal("write", to, error))
    }

    /// Completes an upload. If the bucket does not know it any more, either it was completed and the response was lost, or
    /// another process aborted it.
    async fn complete(&self, from: &str, to: &str, upload: &UploadId, parts: Vec<PartId>) -> Result<()> {
        self.admit(Step::CompleteUpload, to)?;
        match self.client.complete_multipart(&self.path(to)?, &upload.0, parts).await {
            Ok(_) => Ok(()),
            Err(error @ ObjectError::NotFound { .. }) => {
                let sent = self.digest(from).await?;
                if sent.is_some() && sent == self.digest_of_object(to).await? {
                    tracing::warn!(path = to, "an upload was completed although its response was lost");
                    return Ok(());
                }
                Err(Error::lake(format!("the upload of {to} was aborted by another process"))
                    .hint("another process works on the same part of the lake; run the same command again")
                    .source(error))
            }
            Err(error) => Err(refusal("write", to, error)),
        }
    }
}

fn size_of(file: &FilePath) -> Result<u64> {
    let found = std::fs::metadata(file).map_err(|error| explained(disk_error("read", file, error)))?;
    Ok(found.len())
}
