//! Checks the arrays of an origin. Not here: how (`array`).

use super::proof::{Fault, OriginProof, finding};
use crate::array::{ArrayExtent, ArrayFault, check_arrays};
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::store::{Listed, Store};

/// Checks the arrays, and adds their faults to the proof. `listed` has the objects of the origin.
pub(super) async fn check(
    store: &Store,
    layout: &OriginLayout,
    listed: &[Listed],
    extent: ArrayExtent,
    proof: &mut OriginProof,
) -> Result<()> {
    let checked = check_arrays(store, layout, listed, extent).await?;
    proof.array_objects = checked.objects;
    proof.array_bytes = checked.size_bytes;
    proof.notes.extend(checked.notes);
    for found in checked.findings {
        let fault = match found.fault {
            ArrayFault::Metadata => Fault::Record,
            ArrayFault::Missing => Fault::Missing,
            ArrayFault::Damaged => Fault::Damaged,
            ArrayFault::Unreadable => Fault::Unreadable,
            ArrayFault::Foreign => Fault::ForeignFile,
            ArrayFault::Account => Fault::Account,
        };
        proof.findings.push(finding(layout, (found.file, fault, found.reason), None));
    }
    Ok(())
}
