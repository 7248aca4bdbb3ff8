//! Checks the records about following and about events, which nothing else repairs: the place in the feed, and what
//! outputs have not received. A damaged one may be set aside: the follower then lists the registry.

use super::places::no_file;
use super::proof::{Fault, OriginProof, finding};
use crate::error::Result;
use crate::lake::{FollowRecord, OriginLayout, Undelivered, newer_than_known};
use crate::store::Store;

/// Returns the paths of these records.
pub(super) fn paths(layout: &OriginLayout) -> [String; 2] {
    [layout.follow(), layout.event_outputs()]
}

/// Checks the records of an origin that `is_there` does not rule out, and adds their faults to the proof.
pub(super) async fn check(
    store: &Store,
    layout: &OriginLayout,
    is_there: impl Fn(&str) -> bool,
    proof: &mut OriginProof,
) -> Result<()> {
    for path in paths(layout).into_iter().filter(|path| is_there(path)) {
        let misfit = no_file(store, &path).await?.map(|reason| (Fault::Misfit, reason));
        let fault = match misfit {
            Some(misfit) => Some(misfit),
            None if path == layout.follow() => fault_of(store.read_record::<FollowRecord>(&path).await),
            None => fault_of(store.read_record::<Undelivered>(&path).await),
        };
        if let Some((fault, reason)) = fault {
            proof.findings.push(finding(layout, (path, fault, reason), None));
        }
    }
    Ok(())
}

fn fault_of<R>(read: Result<Option<R>>) -> Option<(Fault, String)> {
    let error = read.err()?;
    Some((if error.is_of_system() { Fault::Unreadable } else { Fault::Record }, error.report()))
}

/// Moves damaged records aside. One of a newer version stays.
pub(super) async fn set_aside(store: &Store, layout: &OriginLayout, proof: &OriginProof, at: &str) -> Result<()> {
    let is_ours = |path: &String| paths(layout).contains(path);
    let damaged = proof.findings.iter().filter(|found| found.fault == Fault::Record && is_ours(&found.file));
    for found in damaged {
        let text = store.get(&found.file).await?;
        if text.is_some_and(|text| newer_than_known(&text).is_none()) {
            tracing::info!(file = found.file, "a damaged record is moved to set-aside");
            store.promote(&found.file, &layout.set_aside(&found.file, at)).await?;
        }
    }
    Ok(())
}
