//! `all-docs ingest`: from arguments to a run, and from its summary to words.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::args::{IngestArgs, Packuments, Partitions};
use super::exit::Code;
use super::log;
use super::meter::Meter;
use super::origin;
use super::printer::Printer;
use super::settings::Settings;
use crate::diff::Selection;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::{DEFAULT_ROWS_PER_PARTITION, Pivots};
use crate::npm::{PackageName, Representation};
use crate::pipeline::{IngestOptions, IngestSummary, PartitionMode, Progress, ingest};
use crate::store::Store;

pub(super) async fn run(
    args: IngestArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let Some(pivots_path) = settings.pivots(args.pivots.as_deref()) else {
        return Err(Error::input("an ingest needs pivots: the keys between which the names are scanned")
            .hint("give --pivots FILE; examples/pivots.json suits every registry"));
    };
    let pivots = read_pivots(pivots_path)?;
    let selection = match &args.names {
        Some(path) => read_names(path)?,
        None => Selection::All,
    };
    let store = Store::open(settings.lake())?;
    let origin = origin::open(&args.registry, settings, printer).await?;
    let options = IngestOptions {
        store,
        registry: origin.registry.clone(),
        origin_info: origin.info.clone(),
        pivots,
        partitions: match args.partitions {
            Partitions::Exact => PartitionMode::Exact,
            Partitions::Derived => PartitionMode::Derived {
                rows_per_partition: settings.partition_rows(args.partition_rows).unwrap_or(DEFAULT_ROWS_PER_PARTITION),
            },
        },
        representation: match args.packuments {
            Packuments::Full | Packuments::None => Representation::Full,
            Packuments::Abbreviated => Representation::Abbreviated,
        },
        selection: if args.packuments == Packuments::None { Selection::None } else { selection },
        refresh: args.refresh,
        dry_run: args.dry_run,
        accept_removals: args.accept_removals,
    };
    let progress = Arc::new(Progress::default());
    let meter = Meter::start(printer, Arc::clone(&progress));
    let result = ingest(options, progress, stop).await;
    drop(meter);
    let summary = result.doing(|| format!("ingesting {} into {}", origin.info.registry_url, settings.lake()))?;
    if args.json {
        let text = serde_json::to_string_pretty(&summary)
            .or_error(ErrorKind::Internal, || "the summary cannot be spelled as JSON".to_owned())?;
        printer.result(&format!("{text}\n"))?;
    } else {
        tell(printer, &summary);
    }
    Ok(match &summary {
        summary if summary.interrupted => Code::Interrupted,
        summary if summary.is_complete() => Code::Done,
        _ => Code::Incomplete,
    })
}

fn read_pivots(path: &Path) -> Result<Pivots> {
    let text = std::fs::read_to_string(path)
        .or_error(ErrorKind::Input, || format!("cannot read the pivots file {}", path.display()))?;
    Pivots::parse(&text, &path.display().to_string())
}

/// A JSON array of names, or a name a line; versions and `#` comments are dropped.
fn read_names(path: &Path) -> Result<Selection> {
    let doing = || format!("reading the names file {}", path.display());
    let text = std::fs::read_to_string(path)
        .or_error(ErrorKind::Input, || format!("cannot read the names file {}", path.display()))?;
    let names = parse_names(&text).doing(doing)?;
    if names.is_empty() {
        return Err(Error::input("the file holds no name").doing(doing()));
    }
    Ok(Selection::Names(names.into_iter().collect()))
}

fn parse_names(text: &str) -> Result<Vec<PackageName>> {
    if text.trim_start().starts_with('[') {
        let names: Vec<String> = serde_json::from_str(text).or_error(ErrorKind::Input, || {
            "the file begins like a JSON array, but is no array of strings".to_owned()
        })?;
        return Ok(names.iter().map(|name| PackageName::from_spec(name.trim())).collect());
    }
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    Ok(lines.filter(|line| !line.is_empty()).map(PackageName::from_spec).collect())
}

/// The summary in words: what was read, written, skipped, failed, how long; then whatever a person should look at.
fn tell(printer: &Printer, summary: &IngestSummary) {
    let counts = &summary.counts;
    let count = log::count;
    for planned in &summary.plan {
        let names = match planned.names.as_slice() {
            [] => String::new(),
            names if (names.len() as u64) < planned.fetch => format!(": {}, …", names.join(", ")),
            names => format!(": {}", names.join(", ")),
        };
        printer.note(&format!(
            "partition {}: {} rows, {} added, {} changed, {} removed, {} to fetch{names}",
            planned.partition,
            count(planned.rows),
            count(planned.added),
            count(planned.changed),
            count(planned.removed),
            count(planned.fetch),
        ));
    }
    let listed = summary.scan.listed;
    if summary.dry_run {
        printer.note(&format!(
            "would fetch {} packuments of {} names ({} added, {} changed, {} removed); nothing was written",
            count(counts.packuments_planned),
            count(listed),
            count(counts.names_added),
            count(counts.names_changed),
            count(counts.names_removed),
        ));
    } else {
        let head = if summary.interrupted { "interrupted" } else { "done" };
        printer.note(&format!(
            "{head} in {}: {} names listed ({} added, {} changed, {} removed), {} requests",
            log::duration(summary.elapsed),
            count(listed),
            count(counts.names_added),
            count(counts.names_changed),
            count(counts.names_removed),
            count(summary.requests),
        ));
        printer.note(&format!(
            "  read     {} packuments, {}; {} not modified",
            count(counts.packuments_fresh),
            log::bytes(counts.document_bytes),
            count(counts.packuments_not_modified),
        ));
        printer.note(&format!(
            "  written  {} rows, {} in {} of {} partitions; {} unchanged",
            count(counts.rows_written),
            log::bytes(counts.shard_bytes),
            count(counts.partitions_done - counts.partitions_unchanged),
            count(counts.partitions_total),
            count(counts.partitions_unchanged),
        ));
    }
    tell_problems(printer, summary);
    if !summary.dry_run {
        printer.note(&format!("  lake     {} (origin {})", summary.lake, summary.origin));
    }
}

fn tell_problems(printer: &Printer, summary: &IngestSummary) {
    let counts = &summary.counts;
    let without = [
        (counts.packuments_gone, "not found or blocked"),
        (counts.packuments_malformed, "malformed"),
        (counts.packuments_stale, "older than announced"),
        (counts.packuments_failed, "failed or too large"),
    ];
    let without: Vec<String> =
        without.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", log::count(*n))).collect();
    if !without.is_empty() {
        printer.warn(&format!("not every name has its document: {}", without.join(", ")));
        printer.note("  see: all-docs query \"select name, outcome, detail from outcomes where outcome not in ('present', 'tombstone')\"");
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
            "  {} commits that an earlier run left half done were finished first",
            log::count(summary.commits_recovered)
        ));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_names_file_is_an_array_or_lines() {
        let expected = ["@a/b", "lodash", "react"].map(PackageName::from);
        assert_eq!(parse_names("[\"@a/b\", \"lodash@4.17.21\", \"react\"]").unwrap(), expected);
        assert_eq!(parse_names("# list\n@a/b@1.0.0\n\nlodash # old\n react \n").unwrap(), expected);
        assert_eq!(parse_names("[1]").unwrap_err().kind(), ErrorKind::Input);
    }
}
