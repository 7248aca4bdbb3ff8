//! The overlay of an origin: deltas of changed names beside the base shards, what they mean for each partition, and how
//! they are written, merged, and folded into the base.
//!
//! Not here: the record and its meaning (`lake/overlay.rs`), and how a document becomes rows (`worker`).

mod counts;
mod due;
mod fold;
mod known;
mod look_up;
mod manifest;
mod merge;
mod reader;
mod record;
mod recording;
mod renew;
mod rows;
mod sweep;
#[cfg(test)]
mod tests;
mod under_lease;
mod view;
mod writer;
mod writer_lease;

pub(super) use counts::{ChangedCounts, changed_counts};
pub use due::FoldPolicy;
pub(super) use due::{due_partitions, rows_of_base};
pub(super) use fold::Fold;
pub(super) use known::Known;
pub(super) use manifest::{one_form, unfilled_of};
pub(super) use reader::OverlayReader;
pub(super) use record::{note_base_commit, trim};
pub(super) use renew::renew_under_lease;
pub(super) use sweep::sweep as sweep_deltas;
pub(super) use under_lease::fold_under_lease;
pub(super) use view::{HeldDelta, OverlayView, refuse_lost_record};
pub(super) use writer::{ChangeWriter, Held, WriterOptions};
pub(super) use writer_lease::{FOLLOWER, refuse_followed, writer_lease};
