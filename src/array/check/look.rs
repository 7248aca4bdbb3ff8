//! A look at one group: its metadata, the names of its objects, and what the checks of all groups share.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};

use super::{ArrayExtent, ArrayFault, ArrayFinding, FILES_NAMED};
use crate::array::axis::PackageAxis;
use crate::array::form::{ArrayForm, Key};
use crate::array::group::{Group, METADATA, StoredGroup};
use crate::array::packages;
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::store::{Store, blocking};

/// A group, the names of its objects, and what was found of it.
pub(super) struct Look<'a> {
    pub(super) store: &'a Store,
    pub(super) layout: &'a OriginLayout,
    pub(super) group: &'a Group,
    pub(super) stored: &'a StoredGroup,
    /// The sizes of its objects, by path.
    own: &'a BTreeMap<&'a str, u64>,
    pub(super) axis: Option<&'a PackageAxis>,
    pub(super) extent: ArrayExtent,
    pub(super) findings: Vec<ArrayFinding>,
    pub(super) notes: Vec<String>,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        store: &'a Store,
        layout: &'a OriginLayout,
        group: &'a Group,
        stored: &'a StoredGroup,
        own: &'a BTreeMap<&'a str, u64>,
        axis: Option<&'a PackageAxis>,
        extent: ArrayExtent,
    ) -> Look<'a> {
        Look { store, layout, group, stored, own, axis, extent, findings: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn find(&mut self, file: impl Into<String>, fault: ArrayFault, reason: impl Into<String>) {
        self.findings.push(ArrayFinding::new(file, fault, reason));
    }

    /// Returns whether an object was listed.
    pub(super) fn has(&self, path: &str) -> bool {
        self.own.contains_key(path)
    }

    /// Returns the form of an array; `None`, with a finding, if its metadata cannot be used.
    pub(super) fn form(&mut self, name: &str) -> Option<ArrayForm> {
        self.stored.array(name).map_err(|error| self.find(self.group.path(), ArrayFault::Metadata, error.report())).ok()
    }

    /// Compares the metadata of each array with that of the group, and the names of objects with the arrays.
    pub(super) async fn check_metadata(&mut self) -> Result<()> {
        if !self.stored.is_as_written() {
            let path = self.group.path();
            self.notes.push(format!("other software has written {path}, so a flipped bit in it is not found"));
        }
        let mut expected = BTreeSet::from([self.group.path()]);
        let mut grids = Vec::new();
        for name in self.stored.array_names() {
            let path = format!("{}/{name}/{METADATA}", self.group.folder());
            let is_right = match self.extent {
                ArrayExtent::Names => self.has(&path),
                ArrayExtent::Whole => self.store.get(&path).await? == Some(self.stored.text_of_array(&name)?),
            };
            if !is_right {
                let reason = if self.has(&path) { "it is not the metadata that the group has" } else { "it is gone" };
                self.find(path.clone(), ArrayFault::Metadata, reason);
            }
            expected.insert(path);
            let Some(form) = self.form(&name) else { continue };
            for place in form.places() {
                expected.insert(form.path(&place));
            }
            grids.push((name, form));
        }
        let others: Vec<String> =
            self.own.keys().filter(|path| !expected.contains(**path)).map(|path| (*path).to_owned()).collect();
        let mut harmless = 0;
        for path in others {
            match grids.iter().find_map(|(name, form)| Some((name, form.key_of(&path)?))) {
                Some((_, Key::Inside | Key::OtherGeneration)) => {}
                // They are written before the metadata says that they count.
                Some((name, Key::Outside)) if name == packages::NAME => {}
                Some((_, Key::Outside)) => self.find(
                    path,
                    ArrayFault::Foreign,
                    "it does not belong here: it is outside of the array, and is read as a part of it once that is longer",
                ),
                None => {
                    harmless += 1;
                    if harmless <= FILES_NAMED {
                        self.notes.push(format!("{path} is not part of the array, and is left alone"));
                    }
                }
            }
        }
        if harmless > FILES_NAMED {
            self.notes.push(format!("so are {} more files of {}", harmless - FILES_NAMED, self.group.folder()));
        }
        Ok(())
    }

    /// Compares the names of the rows with the axis. Rows of a graph after those of the axis have other names.
    pub(super) async fn check_names(&mut self) -> Result<()> {
        let Some(form) = self.form(packages::NAME) else { return Ok(()) };
        let rows = form.shape().first().copied().unwrap_or_default();
        let of_axis = self.stored.json()["attributes"]["packages"].as_u64().unwrap_or(rows);
        if let Some(axis) = self.axis
            && u64::from(axis.rows()) < of_axis
        {
            let (path, folder, rows) = (self.layout.package_index(), self.group.folder().to_owned(), axis.rows());
            self.find(path, ArrayFault::Account, format!("it has {rows} rows, and {folder} has {of_axis}"));
        }
        let shard_rows = form.shard_elements() as u64;
        let mut before = String::new();
        for shard in 0..rows.div_ceil(shard_rows.max(1)) {
            let path = form.path(&[shard]);
            if self.extent == ArrayExtent::Names {
                if !self.has(&path) {
                    self.find(path, ArrayFault::Missing, "it is gone, and has the names of packages");
                }
                continue;
            }
            let names = match read(self.store, &form, &path, ArrayForm::decode::<String>).await? {
                Ok(Some(names)) => names,
                Ok(None) => {
                    self.find(path, ArrayFault::Missing, "it is gone, and has the names of packages");
                    continue;
                }
                Err(finding) => {
                    self.findings.push(finding);
                    continue;
                }
            };
            let mut wrong = None;
            for (row, name) in (shard * shard_rows..).zip(names) {
                let is_right = match (row, self.axis) {
                    (row, Some(axis)) if row < of_axis => row < u64::from(axis.rows()) && axis.name(row as u32) == name,
                    (row, None) if row < of_axis => true,
                    (row, _) if row < rows => name > before || before.is_empty(),
                    // Names of rows to come are written before the metadata says that they count.
                    (row, axis) => name.is_empty() || axis.is_none_or(|axis| axis.name(row as u32) == name),
                };
                if !is_right {
                    wrong.get_or_insert_with(|| {
                        format!("row {row} has the name {name:?}, which package_index.parquet has not there")
                    });
                }
                if (of_axis..rows).contains(&row) {
                    before = name;
                }
            }
            if let Some(reason) = wrong {
                self.find(path, ArrayFault::Account, reason);
            }
        }
        Ok(())
    }

    /// Compares a coordinate of one shard with its values, of which the metadata says how many count.
    pub(super) async fn check_coordinate(&mut self, name: &str, values: impl FnOnce(usize) -> Vec<i64>) -> Result<()> {
        let Some(form) = self.form(name) else { return Ok(()) };
        let path = form.path(&[0]);
        if self.extent == ArrayExtent::Names {
            if !self.has(&path) {
                self.find(path, ArrayFault::Missing, "it is gone, and has the values of a coordinate");
            }
            return Ok(());
        }
        match read(self.store, &form, &path, ArrayForm::decode_numbers::<i64>).await? {
            Ok(Some(found)) if found == values(form.shard_elements()) => {}
            Ok(Some(_)) => self.find(path, ArrayFault::Account, "it has other values than the coordinate has"),
            Ok(None) => self.find(path, ArrayFault::Missing, "it is gone, and has the values of a coordinate"),
            Err(finding) => self.findings.push(finding),
        }
        Ok(())
    }
}

/// Decodes the values of an object: [`ArrayForm::decode_numbers`], for example.
pub(super) type Decode<T> = fn(&ArrayForm, &str, &Bytes) -> Result<Vec<T>>;

/// Reads the values of an object; `None` if there is none, and a finding if they cannot be read. Fails only if the store does.
pub(super) async fn read<T: Send + 'static>(
    store: &Store,
    form: &ArrayForm,
    path: &str,
    decode: Decode<T>,
) -> Result<Result<Option<Vec<T>>, ArrayFinding>> {
    read_with(store, form, path, decode, |values| values).await
}

/// The same, and passes the values to `see` on a thread that may block.
pub(super) async fn read_with<T: 'static, R: Send + 'static>(
    store: &Store,
    form: &ArrayForm,
    path: &str,
    decode: Decode<T>,
    see: impl FnOnce(Vec<T>) -> R + Send + 'static,
) -> Result<Result<Option<R>, ArrayFinding>> {
    let bytes = match store.get(path).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Ok(None)),
        Err(error) if error.is_of_system() && !error.is_out_of_files() => {
            return Ok(Err(ArrayFinding::of_error(path, &error)));
        }
        Err(error) => return Err(error),
    };
    let (form, path) = (form.clone(), path.to_owned());
    blocking("the check of an array", move || {
        Ok(match decode(&form, &path, &bytes) {
            Ok(values) => Ok(Some(see(values))),
            Err(error) => Err(ArrayFinding::of_error(path, &error)),
        })
    })
    .await
}

/// Runs some futures at once: as many as there are cores.
pub(super) fn at_once<F: Future>(futures: impl IntoIterator<Item = F>) -> impl Stream<Item = F::Output> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    stream::iter(futures).buffered(cores)
}
