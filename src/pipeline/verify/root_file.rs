//! A file in the lake's root: its contents, and its replacement.

use bytes::Bytes;

use super::places::{no_file, no_folder};
use crate::error::{Error, Result};
use crate::lake::Layout;
use crate::store::Store;

/// A file of the root.
pub(super) struct RootFile {
    path: &'static str,
    /// Its bytes; `None` if there is no file.
    pub(super) text: Option<Bytes>,
    /// The fault if there is an entry in its place that is not a file, or cannot be read.
    pub(super) misfit: Option<String>,
}

impl RootFile {
    pub(super) async fn read(store: &Store, path: &'static str) -> Result<RootFile> {
        let (text, misfit) = match no_file(store, path).await? {
            Some(reason) => (None, Some(reason)),
            None => match store.get(path).await {
                Ok(text) => (text, None),
                // It may be whole.
                Err(error) if error.is_of_system() => return Err(error),
                Err(error) => (None, Some(error.report())),
            },
        };
        Ok(RootFile { path, text, misfit })
    }

    pub(super) fn is_absent(&self) -> bool {
        self.text.is_none() && self.misfit.is_none()
    }

    /// Puts `text` in its place, and moves the previous entry aside if it is different.
    ///
    /// Fails with an error of kind Lake if another process wrote it meanwhile.
    pub(super) async fn replace(&self, store: &Store, text: Vec<u8>) -> Result<()> {
        if self.text.as_ref().is_some_and(|found| found[..] == text[..]) {
            return Ok(());
        }
        let at = jiff::Timestamp::now().as_second().to_string();
        let aside = Layout::set_aside(self.path, &at);
        if no_folder(store, Layout::SET_ASIDE).await?.is_some() {
            store.promote(Layout::SET_ASIDE, &Layout::set_aside(Layout::SET_ASIDE, &at)).await?;
        }
        if self.misfit.is_some() {
            store.promote(self.path, &aside).await?;
        }
        let is_written = match &self.text {
            Some(found) => {
                store.put(&aside, found.clone()).await?;
                store.replace_if_unchanged(self.path, found, text).await?
            }
            None => store.put_if_absent(self.path, text).await?,
        };
        match is_written {
            true => Ok(()),
            false => Err(Error::lake(format!("{} was written by another process meanwhile", self.path))
                .hint("run the same command again")),
        }
    }
}
