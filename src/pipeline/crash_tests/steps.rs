//! Chooses the steps before which a run is made to fail, and tells whether enough of them were.

use std::collections::{BTreeMap, BTreeSet};

use super::kind_of;
use crate::store::{Reached, Step};

/// Returns whether a step in a bucket changes only the scratch folder of the process.
fn is_in_scratch(reached: &Reached) -> bool {
    match reached.step {
        Step::CreateFolder | Step::CreateFile | Step::Write | Step::SyncFile | Step::SyncFolder => true,
        Step::Delete => reached.path.ends_with(".staged") || reached.path.ends_with(".rows"),
        _ => false,
    }
}

/// Returns the first and the last step of each kind, in the order of the run.
fn first_and_last_by<K: Ord>(steps: &[Reached], kind: impl Fn(&Reached) -> K) -> Vec<Reached> {
    let mut kinds: BTreeMap<K, [usize; 2]> = BTreeMap::new();
    for (index, reached) in steps.iter().enumerate() {
        kinds.entry(kind(reached)).or_insert([index, index])[1] = index;
    }
    let chosen: BTreeSet<usize> = kinds.into_values().flatten().collect();
    chosen.into_iter().map(|index| steps[index].clone()).collect()
}

/// Returns the last step of each kind.
pub(in crate::pipeline) fn last_of_each_kind(steps: &[Reached]) -> Vec<Reached> {
    let kinds: BTreeMap<_, _> = steps.iter().map(|reached| ((reached.step, kind_of(&reached.path)), reached)).collect();
    kinds.into_values().cloned().collect()
}

/// Returns the steps of a run in a bucket before which a death shows something new to the next process: every step in
/// the bucket itself, and of the scratch folder the first and the last step of each kind. A process without that folder
/// finds after a death at one of its steps what it finds after a death at the next step in the bucket.
pub(in crate::pipeline) fn telling(steps: &[Reached], keeps_scratch: bool) -> Vec<Reached> {
    let (scratch, mut telling): (Vec<_>, Vec<_>) = steps.iter().cloned().partition(is_in_scratch);
    if keeps_scratch {
        // A staged file is deleted before its build, and again after its move.
        let kind = |reached: &Reached| (reached.step, kind_of(&reached.path), reached.before > 0);
        telling.extend(first_and_last_by(&scratch, kind));
    }
    telling
}

/// Asserts that at least `least` steps failed, all of these among them.
pub(in crate::pipeline) fn assert_tried<'a>(
    tried: impl IntoIterator<Item = &'a Reached>,
    least: usize,
    expected: &[(Step, &str)],
) {
    let tried: Vec<_> = tried.into_iter().map(|reached| (reached.step, kind_of(&reached.path))).collect();
    assert!(tried.len() >= least, "only {} steps were made to fail", tried.len());
    for (step, kind) in expected {
        assert!(tried.contains(&(*step, (*kind).to_owned())), "no {step:?} of {kind} was made to fail");
    }
}
