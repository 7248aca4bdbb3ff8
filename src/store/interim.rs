//! Operations of a commit on stores without a scratch folder. The module of objects replaces this file.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::{ShardFile, Store, blocking};
use crate::error::{Error, Result};

impl Store {
    pub async fn keep(&self, _from: &str, _to: &str) -> Result<()> {
        Ok(())
    }

    pub async fn begin_upload(&self, _from: &str, _to: &str) -> Result<Option<String>> {
        Ok(None)
    }

    pub async fn promote_upload(&self, from: &str, to: &str, _upload: Option<&str>) -> Result<bool> {
        self.promote(from, to).await
    }

    pub async fn abort_upload(&self, _to: &str, _upload: &str) -> Result<()> {
        Ok(())
    }

    pub async fn open_whole(&self, path: &str) -> Result<Option<ShardFile>> {
        self.open_shard(path).await
    }

    pub async fn digest(&self, path: &str) -> Result<Option<String>> {
        let Some(file) = self.open_shard(path).await? else { return Ok(None) };
        blocking("digesting", move || {
            let failed = file.clone();
            let mut digest = Sha256::new();
            let mut reader = file.into_read();
            let mut buffer = vec![0; 1 << 16];
            loop {
                let read = reader
                    .read(&mut buffer)
                    .map_err(|error| failed.failure(|| Error::lake("cannot be read").source(error)))?;
                if read == 0 {
                    return Ok(Some(format!("{:x}", digest.finalize())));
                }
                digest.update(buffer.get(..read).unwrap_or_default());
            }
        })
        .await
    }
}
