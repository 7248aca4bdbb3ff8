//! Checks the file of the package axis.

use std::collections::BTreeMap;

use super::{ArrayExtent, ArrayFault, ArrayFinding, ArraysProof};
use crate::array::axis::PackageAxis;
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::store::Store;

/// Reads the axis. Returns `None` if it was not read, or cannot be.
pub(super) async fn check(
    store: &Store,
    layout: &OriginLayout,
    sizes: &BTreeMap<&str, u64>,
    has_arrays: bool,
    extent: ArrayExtent,
    proof: &mut ArraysProof,
) -> Result<Option<PackageAxis>> {
    let path = layout.package_index();
    let Some(size_bytes) = sizes.get(path.as_str()) else {
        if has_arrays {
            let reason = "it is gone, and arrays have its rows; all-docs arrays makes it again from their names";
            proof.findings.push(ArrayFinding::new(path, ArrayFault::Missing, reason));
        }
        return Ok(None);
    };
    proof.objects += 1;
    proof.size_bytes += size_bytes;
    if extent == ArrayExtent::Names {
        return Ok(None);
    }
    match PackageAxis::read_whole(store, layout).await {
        Ok(Some((axis, is_exact))) => {
            if !is_exact {
                let reason =
                    "its rows are those that were written, and its bytes are not: all-docs arrays writes it again";
                proof.findings.push(ArrayFinding::new(path, ArrayFault::Damaged, reason));
            }
            Ok(Some(axis))
        }
        Ok(None) => Ok(None),
        Err(error) => {
            proof.findings.push(ArrayFinding::of_error(path, &error));
            Ok(None)
        }
    }
}
