//! Records in a store: reads them, writes them unconditionally, or replaces them only if no other process did
//! meanwhile.
//!
//! Not here: the text of a record and its checks ([`Record`]).

use bytes::Bytes;

use super::Store;
use super::version::Version;
use crate::error::{Error, Result};
use crate::lake::Record;

/// The most tries to write a record that other processes write too. A try fails only because another one succeeded.
const MAX_TRIES: usize = 100;

/// A record with its text, to be compared with the file before a replacement or deletion.
#[derive(Debug, Clone)]
pub struct StoredRecord<R> {
    /// The value.
    pub record: R,
    text: Bytes,
    version: Version,
}

impl Store {
    /// Returns the record at `path`; `None` if there is none.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Lake`] for a file that cannot be read, is damaged, or was written by a newer version.
    pub async fn read_record<R: Record>(&self, path: &str) -> Result<Option<R>> {
        Ok(self.find_record(path).await?.map(|stored| stored.record))
    }

    /// Returns the same, to be replaced or deleted afterwards.
    pub async fn find_record<R: Record>(&self, path: &str) -> Result<Option<StoredRecord<R>>> {
        let Some((text, version)) = self.get_with_version(path).await? else { return Ok(None) };
        Ok(Some(StoredRecord { record: R::from_json(path, &text)?, text, version }))
    }

    /// Writes the record at `path`, whatever is there.
    pub async fn put_record<R: Record>(&self, path: &str, record: &R) -> Result<()> {
        self.put(path, record.to_json()?).await
    }

    /// Writes the record at `path` if nothing is there yet; `None` if something is.
    pub async fn create_record<R: Record>(&self, path: &str, record: R) -> Result<Option<StoredRecord<R>>> {
        let text = Bytes::from(record.to_json()?);
        let written = self.create(path, text.clone()).await?;
        Ok(written.map(|version| StoredRecord { record, text, version }))
    }

    /// Writes the record at `path` if `held` is still there; `None` if it is not.
    pub async fn replace_record<R: Record>(
        &self,
        path: &str,
        held: &StoredRecord<R>,
        record: R,
    ) -> Result<Option<StoredRecord<R>>> {
        let text = Bytes::from(record.to_json()?);
        let written = self.replace(path, &held.text, &held.version, text.clone()).await?;
        Ok(written.map(|version| StoredRecord { record, text, version }))
    }

    /// Deletes the record at `path` if `held` is still there; `false` if it is not.
    pub async fn delete_record<R: Record>(&self, path: &str, held: &StoredRecord<R>) -> Result<bool> {
        self.delete_if_unchanged(path, &held.text).await
    }

    /// Changes the record at `path`, with no change by another process in between, and returns the new one. If there is
    /// none, `initial` creates one. Writes nothing if `change` leaves the record as it is.
    ///
    /// Calls `change` again each time that another process was faster.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Lake`] as for [`Store::read_record`], and if others write the record all the time.
    pub async fn update_record<R: Record + Clone + PartialEq, I: Future<Output = Result<R>>>(
        &self,
        path: &str,
        initial: impl Fn() -> I,
        mut change: impl FnMut(&mut R),
    ) -> Result<R> {
        for _ in 0..MAX_TRIES {
            let held = self.find_record::<R>(path).await?;
            let mut record = match &held {
                Some(held) => held.record.clone(),
                None => initial().await?,
            };
            let before = record.clone();
            change(&mut record);
            if record == before {
                return Ok(record);
            }
            let written = match &held {
                Some(held) => self.replace_record(path, held, record).await?,
                None => self.create_record(path, record).await?,
            };
            if let Some(written) = written {
                return Ok(written.record);
            }
        }
        Err(Error::lake(format!("cannot write {path} of {}", self.location()))
            .hint("other processes write it all the time; run the same command again"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::ready;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Counter {
        count: u64,
    }

    impl Record for Counter {
        const NOUN: &'static str = "the counter";
        const DAMAGED_HINT: &'static str = "none";
    }

    #[tokio::test]
    async fn a_record_is_replaced_and_deleted_only_where_it_is_the_one_that_was_read() {
        let store = Store::memory();
        assert!(store.find_record::<Counter>("x").await.unwrap().is_none());
        let first = store.create_record("x", Counter { count: 1 }).await.unwrap().unwrap();
        assert!(store.create_record("x", Counter { count: 2 }).await.unwrap().is_none());
        let second = store.replace_record("x", &first, Counter { count: 2 }).await.unwrap().unwrap();
        assert!(store.replace_record("x", &first, Counter { count: 3 }).await.unwrap().is_none());
        assert!(!store.delete_record("x", &first).await.unwrap());
        assert_eq!(store.read_record("x").await.unwrap(), Some(Counter { count: 2 }));
        assert!(store.delete_record("x", &second).await.unwrap());
        assert_eq!(store.read_record::<Counter>("x").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_record_that_another_version_wrote_in_other_words_is_replaced_by_its_own_text() {
        let store = Store::memory();
        store.put("x", r#"{"count":1,"member of another version":0}"#).await.unwrap();
        let found = store.find_record::<Counter>("x").await.unwrap().unwrap();
        assert!(store.replace_record("x", &found, Counter { count: 2 }).await.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_change_of_many_at_once_is_lost_and_no_change_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for store in [Store::memory(), Store::open(folder.path().to_str().unwrap()).unwrap()] {
            let tasks = (0..20).map(|_| {
                let store = store.clone();
                let initial = || ready(Ok(Counter { count: 0 }));
                tokio::spawn(async move { store.update_record("x", initial, |counter| counter.count += 1).await })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap().unwrap();
            }
            assert_eq!(store.read_record("x").await.unwrap(), Some(Counter { count: 20 }));
            store.take_reached();
            let kept = store.update_record("x", || ready(Ok(Counter { count: 0 })), |_| ()).await.unwrap();
            let fresh = store.update_record("y", || ready(Ok(Counter { count: 7 })), |_| ()).await.unwrap();
            assert_eq!((kept.count, fresh.count), (20, 7));
            assert!(store.take_reached().is_empty());
        }
    }
}
