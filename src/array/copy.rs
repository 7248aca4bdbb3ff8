//! Copies a group of arrays into another lake: objects first, the metadata that names them last. Not here: leases, and the
//! order of groups (`pipeline`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::form::{ArrayForm, Key};
use super::group::{Group, SEAL, StoredGroup, other_separator};
use super::shards::Right;
use super::spec::GENERATION;
use crate::error::{Error, Result};
use crate::store::{Store, blocking};

/// The objects that are copied at once. Each takes some 10 MB of memory, and 70 MB while it is checked.
const OBJECTS_AT_ONCE: usize = 4;

/// The copy of one group in progress.
pub struct GroupCopy {
    from: Group,
    to: Group,
    source: StoredGroup,
    /// The metadata of the copy before.
    held: Option<StoredGroup>,
    /// Whether the objects are written beside those in place, under other names, as a graph is.
    is_beside: bool,
    /// The sizes of the objects of the copy, by path.
    there: BTreeMap<String, u64>,
    is_dry_run: bool,
    has_begun: AtomicBool,
    copied: AtomicU64,
    copied_bytes: AtomicU64,
    current: AtomicU64,
}

/// Objects that are copied together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPart {
    /// The block of rows of the download counts that they belong to.
    pub block: Option<u32>,
    /// The array and the places of its shards. They are copied in this order.
    objects: Vec<(String, Vec<u64>)>,
}

/// How many objects were copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CopiedObjects {
    /// Objects that were written or removed.
    pub copied: u64,
    /// Bytes that were written.
    pub copied_bytes: u64,
    /// Objects that the copy held already.
    pub current: u64,
}

impl GroupCopy {
    /// Reads the metadata of both groups; `None` if there is no group to copy. `is_beside` says that the group is replaced as a
    /// whole, as a graph is. With `is_dry_run` nothing is written.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if metadata is damaged, or of others.
    pub async fn begin(
        from: &Store,
        to: &Store,
        folder: &str,
        is_beside: bool,
        is_dry_run: bool,
    ) -> Result<Option<GroupCopy>> {
        let (from, to) = (Group::new(from, folder.to_owned()), Group::new(to, folder.to_owned()));
        let Some(source) = from.find().await? else { return Ok(None) };
        let mut held = to.find().await?;
        let layouts = |group: &StoredGroup| without(group.json(), &["shape", "attributes"]);
        let is_other_layout = held.as_ref().is_some_and(|held| layouts(held) != layouts(&source));
        if !is_dry_run && !is_beside && is_other_layout {
            // Its objects would be read in the wrong way.
            to.remove().await?;
            held = None;
        }
        let listed = to.store().list_sized(folder).await?;
        let there = listed.into_iter().map(|listed| (listed.path, listed.size_bytes)).collect();
        Ok(Some(GroupCopy {
            from,
            to,
            source,
            held,
            is_beside,
            there,
            is_dry_run,
            has_begun: AtomicBool::new(false),
            copied: AtomicU64::default(),
            copied_bytes: AtomicU64::default(),
            current: AtomicU64::default(),
        }))
    }

    /// Returns whether the copy has the metadata of the group, and objects of the same sizes as `sizes`: then there is nothing to
    /// do.
    pub fn is_current(&self, sizes: &BTreeMap<String, u64>) -> bool {
        let is_same = self.held.as_ref().is_some_and(|held| held.text() == self.source.text());
        let is_value = |path: &str| !path.ends_with("/zarr.json");
        let expected = || sizes.iter().filter(|(path, _)| is_value(path) && path.starts_with(self.from.folder()));
        is_same && !self.is_beside && expected().all(|(path, size)| self.there.get(path) == Some(size))
    }

    /// Returns the objects to copy. The states of a block come before its counts: states that are too old only let counts be
    /// asked for again.
    pub fn parts(&self) -> Result<Vec<CopyPart>> {
        let is_of_block = |name: &str| {
            let dimensions = &self.source.json()["consolidated_metadata"]["metadata"][name]["dimension_names"];
            self.from.folder().ends_with("downloads.zarr") && dimensions[0] == "package" && name != "package"
        };
        let (mut whole, mut blocks) = (Vec::new(), BTreeMap::<u32, Vec<(String, Vec<u64>)>>::new());
        let mut names = self.source.array_names();
        names.sort_by_key(|name| name == "downloads");
        for name in names {
            for place in self.source.array(&name)?.places() {
                match place.first().filter(|_| is_of_block(&name)) {
                    Some(&block) => blocks.entry(block as u32).or_default().push((name.clone(), place)),
                    None => whole.push((name.clone(), place)),
                }
            }
        }
        let blocks = blocks.into_iter().map(|(block, objects)| CopyPart { block: Some(block), objects });
        Ok([CopyPart { block: None, objects: whole }].into_iter().chain(blocks).collect())
    }

    /// Copies the objects of a part that the copy has not. `right` is called before each is written.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] for a damaged object.
    pub async fn copy(&self, part: &CopyPart, right: &Right) -> Result<()> {
        let planned = self.planned()?;
        let (states, counts): (Vec<_>, Vec<_>) = part.objects.iter().partition(|(name, _)| name != "downloads");
        for objects in [states, counts] {
            let copies =
                objects.into_iter().map(|(name, place)| self.copy_object(&planned, name, place, right).boxed());
            let copies: Vec<_> = copies.collect();
            stream::iter(copies).buffer_unordered(OBJECTS_AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }

    /// Writes the metadata of the group, if it has not changed since [`GroupCopy::begin`]; returns whether that is so. If it has,
    /// copy again: the objects may be of both.
    pub async fn end(&self, right: &Right) -> Result<bool> {
        if self.from.find().await?.is_none_or(|now| now.text() != self.source.text()) {
            return Ok(false);
        }
        if self.is_dry_run {
            return Ok(true);
        }
        let planned = self.planned()?;
        let change = |held: Option<&StoredGroup>| {
            let Some(held) = held else { return Ok(Some(planned.clone())) };
            let mut json = planned.clone();
            // It grows with each change, also where the copy was changed by itself.
            let mut generation = self.source.generation();
            let is_changed = self.has_begun.load(Ordering::Relaxed);
            while generation < held.generation() || (is_changed && self.is_beside && generation == held.generation()) {
                generation += 2;
            }
            json["attributes"][GENERATION] = json!(generation);
            if !is_changed && without_generation(&json) == without_generation(held.json()) {
                return Ok(None);
            }
            Ok(Some(json))
        };
        right()?;
        self.to.update(change).await?;
        self.remove_others(&planned, right).await?;
        Ok(true)
    }

    /// Returns how many objects were copied so far.
    pub fn copied(&self) -> CopiedObjects {
        CopiedObjects {
            copied: self.copied.load(Ordering::Relaxed),
            copied_bytes: self.copied_bytes.load(Ordering::Relaxed),
            current: self.current.load(Ordering::Relaxed),
        }
    }

    /// Returns the metadata that the copy gets, but for the generation.
    fn planned(&self) -> Result<Value> {
        let mut json = self.source.json().clone();
        if let Some(held) = self.held.as_ref().filter(|_| self.is_beside) {
            let in_place = held.separator();
            let new = if self.has_begun.load(Ordering::Relaxed) { other_separator(in_place) } else { in_place };
            set_separator(&mut json, new);
        }
        Ok(json)
    }

    async fn copy_object(&self, planned: &Value, name: &str, place: &[u64], right: &Right) -> Result<()> {
        let source = self.source.array(name)?;
        let target = ArrayForm::of_group(planned, self.to.folder(), name)?;
        let (from, to) = (source.path(place), target.path(place));
        let found = self.from.store().get(&from).await?;
        let size = self.there.get(&to);
        let is_current = match &found {
            None => size.is_none(),
            Some(found) => {
                size == Some(&(found.len() as u64)) && self.to.store().get(&to).await?.as_ref() == Some(found)
            }
        };
        if is_current {
            self.current.fetch_add(u64::from(found.is_some()), Ordering::Relaxed);
            return Ok(());
        }
        self.copied.fetch_add(1, Ordering::Relaxed);
        self.copied_bytes.fetch_add(found.as_ref().map_or(0, |found| found.len() as u64), Ordering::Relaxed);
        if self.is_dry_run {
            return Ok(());
        }
        if let Some(found) = &found {
            check(&source, &from, found).await?;
        }
        right()?;
        if !self.has_begun.swap(true, Ordering::Relaxed) && !self.is_beside && self.held.is_some() {
            self.to.begin_change().await?;
        }
        match found {
            Some(found) => self.to.store().put(&to, found).await,
            None => self.to.store().delete(&to).await,
        }
    }

    /// Returns whether a graph that is in place is the one to copy. If it is not, the objects are written beside it.
    pub async fn settle_place(&self) -> Result<()> {
        let Some(held) = self.held.as_ref().filter(|_| self.is_beside) else { return Ok(()) };
        let shapes = |group: &StoredGroup| without(group.json(), &["chunk_key_encoding"]);
        let is_same_shape = shapes(held) == shapes(&self.source);
        if !is_same_shape || !self.has_same_objects().await? {
            self.has_begun.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn has_same_objects(&self) -> Result<bool> {
        let planned = self.planned()?;
        for name in self.source.array_names() {
            let (source, target) = (self.source.array(&name)?, ArrayForm::of_group(&planned, self.to.folder(), &name)?);
            for place in source.places() {
                let found = self.from.store().get(&source.path(&place)).await?;
                let is_of_size =
                    self.there.get(&target.path(&place)).copied() == found.as_ref().map(|found| found.len() as u64);
                if !is_of_size || self.to.store().get(&target.path(&place)).await? != found {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Removes shards of the copy that the metadata does not name any more, and not those of a graph before.
    async fn remove_others(&self, planned: &Value, right: &Right) -> Result<()> {
        for name in self.source.array_names() {
            let form = ArrayForm::of_group(planned, self.to.folder(), &name)?;
            for path in self.there.keys().filter(|path| form.key_of(path) == Some(Key::Outside)) {
                right()?;
                self.to.store().delete(path).await?;
            }
        }
        Ok(())
    }
}

/// Fails if an object is damaged.
async fn check(form: &ArrayForm, path: &str, bytes: &Bytes) -> Result<()> {
    let (form, path, bytes) = (form.clone(), path.to_owned(), bytes.clone());
    blocking("the check of an array", move || match form.data_type() {
        "string" => form.decode::<String>(&path, &bytes).map(drop),
        "bool" => form.decode::<bool>(&path, &bytes).map(drop),
        "uint8" => form.decode_numbers::<u8>(&path, &bytes).map(drop),
        "uint32" => form.decode_numbers::<u32>(&path, &bytes).map(drop),
        "int32" => form.decode_numbers::<i32>(&path, &bytes).map(drop),
        "int64" => form.decode_numbers::<i64>(&path, &bytes).map(drop),
        other => Err(Error::lake(format!("{path} has the type {other}, which is unknown"))),
    })
    .await
}

fn arrays(group: &Value) -> impl Iterator<Item = (&String, &Value)> {
    group["consolidated_metadata"]["metadata"].as_object().into_iter().flatten()
}

/// Returns the metadata of the arrays without some members.
fn without(group: &Value, members: &[&str]) -> Vec<(String, Value)> {
    let without = |(name, array): (&String, &Value)| {
        let mut array = array.clone();
        members.iter().for_each(|member| array[*member] = Value::Null);
        (name.clone(), array)
    };
    arrays(group).map(without).collect()
}

fn without_generation(group: &Value) -> Value {
    let mut group = group.clone();
    if let Some(attributes) = group["attributes"].as_object_mut() {
        attributes.remove(GENERATION);
        attributes.remove(SEAL);
    }
    group
}

fn set_separator(group: &mut Value, separator: char) {
    let arrays = group["consolidated_metadata"]["metadata"].as_object_mut();
    for (_, array) in arrays.into_iter().flatten() {
        array["chunk_key_encoding"]["configuration"]["separator"] = json!(separator);
    }
}
