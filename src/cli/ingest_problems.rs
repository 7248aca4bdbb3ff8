//! Prints two parts of the summary of an ingest: the work of other processes, and the problems.

use super::log;
use super::printer::Printer;
use crate::pipeline::IngestSummary;

/// Prints the work of other processes for the same lake during the run.
pub(super) fn tell_others(printer: &Printer, summary: &IngestSummary) {
    let others = &summary.others;
    if others.partitions == 0 && others.processes.is_empty() {
        return;
    }
    let who = match others.processes.as_slice() {
        [] => "other processes".to_owned(),
        processes => processes.join(", "),
    };
    printer.note(&format!("  others   {who} brought {} of the partitions up to date", log::count(others.partitions)));
}

/// Prints what an ingest lacks, and why.
pub(super) fn tell_problems(printer: &Printer, summary: &IngestSummary) {
    let counts = &summary.counts;
    let without = [
        (counts.packuments_gone, "not found or blocked"),
        (counts.packuments_malformed, "malformed"),
        (counts.packuments_stale, "older than announced"),
        (counts.packuments_failed, "failed or too large"),
        (counts.names_without_document, "as an earlier run found them"),
    ];
    let without: Vec<String> =
        without.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", log::count(*n))).collect();
    if !without.is_empty() {
        printer.warn(&format!("not every name has its document: {}", without.join(", ")));
        printer.note("  see: all-docs query \"select name, outcome, detail, next_request_at from outcomes where outcome not in ('present', 'tombstone')\"");
    }
    if summary.unlisted_count > 0 {
        let shown = summary.unlisted_names.join(", ");
        printer.warn(&format!(
            "{} names of the list are not in the registry: {shown}",
            log::count(summary.unlisted_count)
        ));
    }
    for warning in &summary.scan.warnings {
        printer.warn(warning);
    }
    if let Some(missing @ 1..) = summary.scan.missing_rows {
        printer.warn(&format!("the registry says that it has {} more names than it listed", log::count(missing)));
    }
    for (partition, rows) in &summary.overgrown {
        printer
            .warn(&format!("the partition {partition} has grown to {} rows, past twice its size", log::count(*rows)));
    }
    if summary.commits_recovered > 0 {
        printer.note(&format!(
            "  {} commits that an earlier run left half done were completed first",
            log::count(summary.commits_recovered)
        ));
    }
}
