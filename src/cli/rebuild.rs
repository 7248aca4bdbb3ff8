//! `all-docs rebuild`: rebuilds the tables of a lake from its raw documents.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::lake_origin::find;
use super::log;
use super::meter::Meter;
use super::printer::Printer;
use super::settings::Settings;
use super::usage::WithUsage;
use crate::error::{Doing, Result};
use crate::pipeline::{Progress, RebuildOptions, RebuildSummary, no_lake, read_lake, rebuild};
use crate::table::TableKind;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A rebuild makes every table but docs and outcomes, which it keeps, from the raw documents in `packuments`. It sends no \
requests. A lake that an earlier version wrote gets this version's columns and tables; its bytes are then those of a \
new ingest, except for outcomes. The command commits partitions one by one: a stopped run resumes, and a partition \
that this version made is left alone.

Until a rebuild ends, partitions may have different columns: DuckDB reads them with union_by_name, Polars with \
concat(…, how=\"diagonal\"); `all-docs query` reads them as they are.

Examples:
  all-docs rebuild
  all-docs rebuild --table versions --table scripts   these, and all that have the columns of an earlier version
  all-docs rebuild --force                            also partitions that this version made")]
pub(super) struct RebuildArgs {
    /// Rebuild this table, and every other table of a partition that has the columns of an earlier version; may be
    /// given several times [default: all tables]
    #[arg(long = "table", value_name = "TABLE", value_parser = table)]
    tables: Vec<TableKind>,
    /// Which of the lake's origins: its name, or its URL [default: all of them]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN")]
    origin: Option<String>,
    /// Also rebuild partitions that this version made
    #[arg(long)]
    force: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: RebuildArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let store = settings.open_lake_to_write().await?;
    let Some(info) = read_lake(&store).await? else { return Err(no_lake(settings.lake())) };
    let options = RebuildOptions {
        origin: args.origin.as_deref().map(|text| find(text, &info)).transpose()?,
        tables: BTreeSet::from_iter(args.tables),
        force: args.force,
    };
    let progress = Arc::new(Progress::default());
    let meter = Meter::start(printer, Arc::clone(&progress));
    let result = rebuild(&store, &options, progress, stop).await;
    drop(meter);
    let summary = result.doing(|| format!("rebuilding {}", store.location()))?;
    match args.json {
        true => printer.json(&WithUsage::new(&summary, &store))?,
        false => tell(printer, &summary),
    }
    Ok(if summary.interrupted { Code::Interrupted } else { Code::Done })
}

fn table(text: &str) -> Result<TableKind, String> {
    TableKind::parse(text).ok_or_else(|| {
        let names = TableKind::ALL.map(TableKind::as_str).join(", ");
        format!("there is no such table; the tables are {names}")
    })
}

fn tell(printer: &Printer, summary: &RebuildSummary) {
    let RebuildSummary { counts, partitions_rebuilt, partitions_current, partitions_total, .. } = summary;
    let count = log::count;
    printer.note(&format!(
        "{} in {}: {} of {} partitions rebuilt; this version had made {} before",
        if summary.interrupted { "interrupted" } else { "done" },
        log::duration(summary.elapsed),
        count(*partitions_rebuilt),
        count(*partitions_total),
        count(*partitions_current),
    ));
    printer.note(&format!(
        "  read     {} documents, {}",
        count(counts.packuments_done),
        log::bytes(counts.document_bytes)
    ));
    printer.note(&format!("  written  {} rows, {}", count(counts.rows_written), log::bytes(counts.shard_bytes)));
    if summary.commits_recovered > 0 {
        printer.note(&format!(
            "  {} commits that an earlier run left half done were completed first",
            count(summary.commits_recovered)
        ));
    }
    if *partitions_current == *partitions_total && *partitions_total > 0 {
        printer.note("  --force makes them again");
    }
    printer.note(&format!("  lake     {} (origins: {})", summary.lake, summary.origins.join(", ")));
    if summary.interrupted {
        printer.note("  the same command resumes where this one stopped");
    }
}
