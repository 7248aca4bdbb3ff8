//! The arrays of an origin by their metadata, and whether they are as new as the tables. No object with values is read.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Serialize, Serializer};

use super::tables::digest_of_tables;
use crate::array::{DAYS_COUNTED, FIRST_DAY, GroupMetadata, PACKAGES_ASKED, PACKAGES_COUNTED, PackageAxis};
use crate::error::{Error, Result};
use crate::lake::{Manifest, OriginLayout};
use crate::store::{Listed, Store};

/// The arrays of an origin.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ArraysStatus {
    /// The rows of the package axis; `None` if it is gone or damaged.
    pub packages: Option<u64>,
    /// The download counts.
    pub downloads: Option<DownloadsStatus>,
    /// The releases.
    pub releases: Option<BuiltStatus>,
    /// The dependency graph.
    pub dependency_graph: Option<BuiltStatus>,
    /// Arrays whose metadata cannot be read, and why.
    pub unreadable: Vec<String>,
}

/// The state of `downloads.zarr`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DownloadsStatus {
    /// The size of its objects.
    #[serde(flatten)]
    pub group: GroupStatus,
    /// Its last day: the last one that had landed when a run began.
    #[serde(serialize_with = "text")]
    pub last_day: Date,
    /// Packages that npm was asked about, at the end of the last run.
    pub packages_asked: u64,
    /// Packages with counts.
    pub packages_counted: u64,
    /// The share of days of packages that are known: from the first download of each package to the last day asked for, of
    /// all rows and days. Single days without counts are not left out.
    pub known_share: f64,
}

/// The state of an array that is made from the tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuiltStatus {
    /// The size of its objects.
    #[serde(flatten)]
    pub group: GroupStatus,
    /// Versions in a month, or edges.
    pub values: u64,
    /// Whether the tables have changed since.
    pub is_older_than_tables: bool,
}

/// The properties that all groups have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GroupStatus {
    /// Rows of the axis of packages, or nodes.
    pub rows: u64,
    /// The generation of the values.
    pub generation: u64,
    /// Whether values are being changed, or were when a process died.
    pub is_being_written: bool,
    /// Objects of the group.
    pub objects: u64,
    /// Their bytes.
    pub size_bytes: u64,
}

/// Reads the state of the arrays; `None` if there are none. `listed` has their objects, and may have others.
pub(in crate::pipeline) async fn arrays_status(
    store: &Store,
    layout: &OriginLayout,
    manifests: &[Manifest],
    listed: &[Listed],
) -> Result<Option<ArraysStatus>> {
    let of_folder = |folder: &str| -> (u64, u64) {
        let below =
            listed.iter().filter(|listed| listed.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        below.fold((0, 0), |(objects, bytes), listed| (objects + 1, bytes + listed.size_bytes))
    };
    let has_index = listed.iter().any(|listed| listed.path == layout.package_index());
    if !has_index && layout.arrays().iter().all(|folder| of_folder(folder).0 == 0) {
        return Ok(None);
    }
    let mut status = ArraysStatus::default();
    if has_index {
        status.packages = readable(PackageAxis::count(store, layout).await, &mut status.unreadable)?.flatten();
    }
    let tables = digest_of_tables(manifests);
    for folder in layout.arrays() {
        let (objects, size_bytes) = of_folder(&folder);
        if objects == 0 {
            continue;
        }
        let found = readable(GroupMetadata::find(store, folder.clone()).await, &mut status.unreadable)?;
        let Some(metadata) = found.flatten() else { continue };
        let group = |rows| GroupStatus {
            rows,
            generation: metadata.generation,
            is_being_written: !metadata.is_settled,
            objects,
            size_bytes,
        };
        let is_older_than_tables = metadata.tables() != Some(&tables);
        if folder == layout.downloads() {
            let (rows, days) = (metadata.length("downloads", 0), metadata.length("downloads", 1));
            let last_day = FIRST_DAY.checked_add((i64::try_from(days).unwrap_or(1) - 1).days());
            status.downloads = Some(DownloadsStatus {
                group: group(rows),
                last_day: last_day.unwrap_or(FIRST_DAY),
                packages_asked: metadata.number(PACKAGES_ASKED),
                packages_counted: metadata.number(PACKAGES_COUNTED),
                known_share: metadata.number(DAYS_COUNTED) as f64 / (rows * days).max(1) as f64,
            });
        } else if folder == layout.releases() {
            let (rows, values) = (metadata.length("versions_published", 0), metadata.number("versions"));
            status.releases = Some(BuiltStatus { group: group(rows), values, is_older_than_tables });
        } else {
            let (rows, values) = (metadata.length("package", 0), metadata.length("out_indices", 0));
            status.dependency_graph = Some(BuiltStatus { group: group(rows), values, is_older_than_tables });
        }
    }
    Ok(Some(status))
}

/// Returns what was read; `None` if it is damaged, which hides nothing else of the lake.
fn readable<T>(read: Result<T>, unreadable: &mut Vec<String>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_of_system() => Err(error),
        Err(error) => {
            unreadable.push(Error::to_string(&error));
            Ok(None)
        }
    }
}

fn text<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}
