//! `all-docs ingest`: turns arguments into a run, and prints the run's summary. Not here: the run (`pipeline`).

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::event_args::days;
use super::exit::Code;
use super::fleet_args::FleetArgs;
use super::ingest_problems::{tell_others, tell_problems};
use super::log;
use super::meter::Meter;
use super::names_file::read_names;
use super::origin;
use super::printer::Printer;
use super::queue_args::Member;
use super::registry_args::{Packuments, RegistryArgs};
use super::settings::Settings;
use super::share::share;
use super::usage::WithUsage;
use crate::diff::{FetchReason, Selection};
use crate::error::{Doing, Error, Result};
use crate::lake::{DEFAULT_ROWS_PER_PARTITION, Layout, PartitionSet, Pivots};
use crate::npm::Representation;
use crate::pipeline::{
    IngestOptions, IngestSummary, PartitionMode, PlannedDocument, PlannedPartition, Progress, Scope, Share, ingest,
    ingest_by_dispatch, keep_from, lake_ages, read_lake, read_partition_set,
};
use crate::script;
use crate::store::Store;
use crate::text;

/// The longest pivots file that is read, in bytes: longer than a file that `lake` accepts, so that `lake` names the limit.
const MOST_PIVOTS_BYTES: u64 = 64 << 20;

/// The names that a dry run shows for each reason and partition; --json lists more.
const NAMES_SHOWN: usize = 5;

/// How the first ingest of a lake makes the partition set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Partitions {
    /// Join small ranges and cut large ones, to about --partition-rows rows each.
    Derived,
    /// Take the ranges of the pivots as they are.
    Exact,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Pivots divide the name space for the scan: N keys make N+1 ranges, each paged to its end. The file is a JSON array, \
one key a line, or JavaScript (module.exports = […], export default […], export const pivots = […], computed code \
included); a leading or trailing null is an open end.

Examples:
  all-docs ingest --pivots examples/pivots.json --origin sample --lake lake
  all-docs ingest                                        by the lake's partitions, or balanced ones of a new lake
  all-docs ingest --origin mirror=https://npm.example.com   another registry, beside it in the same lake
  all-docs ingest --pivots pivots.js                     the public npm registry, into ./lake
  all-docs ingest --pivots pivots.js --packuments none   names and revisions only: a request for each range, more for long ones
  all-docs ingest --pivots pivots.js --names list.txt    documents of these packages only
  all-docs ingest --share 3/10                           the third tenth of the partitions; nine others do the rest
  all-docs ingest --pivots pivots.js --dry-run           what would be fetched, and why")]
pub(super) struct IngestArgs {
    /// The pivots file [default: the lake's own partitions; for a new lake, balanced pivots computed by asking the
    /// registry]
    #[arg(long, value_name = "FILE", env = "ALL_DOCS_PIVOTS")]
    pub(super) pivots: Option<PathBuf>,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
    /// Which documents to fetch
    #[arg(long, value_enum, default_value_t = Packuments::Full)]
    pub(super) packuments: Packuments,
    /// Fetch the documents of these names only: a JSON array, or a name (or name@version) a line with # comments
    #[arg(long, value_name = "FILE")]
    pub(super) names: Option<PathBuf>,
    /// How to make the partitions of a new lake. A lake with partitions keeps them, with a warning if this value asks
    /// for others [default: derived]
    #[arg(long, value_enum)]
    pub(super) partitions: Option<Partitions>,
    /// The number of rows per partition in a new lake; a lake with partitions keeps them, as above [default: 10000]
    #[arg(long, value_name = "N", env = "ALL_DOCS_PARTITION_ROWS")]
    pub(super) partition_rows: Option<NonZeroU64>,
    /// Show what would be fetched, and why, and do nothing; with --json up to 1,000 names of each partition
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Request every selected document again, by its ETag: an unchanged document costs no body
    #[arg(long)]
    pub(super) refresh: bool,
    /// Accept that the registry no longer has many of the lake's names, or documents of names that it lists, and drop
    /// them; without this flag the run ends instead, or keeps the documents
    #[arg(long)]
    pub(super) accept_removals: bool,
    /// Remove the events of days that are older than so many days, as 90d [default: keep all]
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub(super) keep_events: Option<u32>,
    /// Take one of several even shares of the lake's partitions: 3/10 is the third of ten. A task of a Cloud Run job takes
    /// its own, and so does a pod of an indexed Kubernetes job if ALL_DOCS_SHARE_COUNT is set [default: all partitions]
    #[arg(long, value_name = "I/N", env = "ALL_DOCS_SHARE")]
    pub(super) share: Option<Share>,
    #[command(flatten)]
    pub(super) fleet: FleetArgs,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of a run: an ingest, or a command that ingests a part.
pub(super) struct Wish {
    /// The pivots file; `None` for the lake's partitions.
    pub(super) pivots: Option<PathBuf>,
    pub(super) scope: Scope,
    /// How to make a new lake's partitions; `None` if the user does not say.
    pub(super) partitions: Option<Partitions>,
    pub(super) partition_rows: Option<NonZeroU64>,
    pub(super) packuments: Packuments,
    /// The packages whose documents are fetched, unless `packuments` is none.
    pub(super) selection: Selection,
    pub(super) refresh: bool,
    pub(super) dry_run: bool,
    pub(super) accept_removals: bool,
    /// For how many days events are kept; `None` for ever.
    pub(super) keep_events: Option<u32>,
    /// The processes to which the work is handed out, if there are any.
    pub(super) fleet: Option<FleetArgs>,
    /// Whether the summary is printed as JSON.
    pub(super) json: bool,
}

pub(super) async fn run(
    args: IngestArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    if args.names.is_some() && args.packuments == Packuments::None {
        return Err(Error::input("--names selects documents to fetch, and --packuments none fetches none")
            .hint("leave out one of the two"));
    }
    args.fleet.refuse(&[("--names", args.names.is_some()), ("--refresh", args.refresh)])?;
    let selection = match &args.names {
        Some(path) => Selection::Names(read_names(path)?),
        None => Selection::All,
    };
    let share = share(args.share)?;
    let scope = share.map_or(Scope::All, Scope::Share);
    let mut pivots = settings.pivots(args.pivots.as_deref()).map(Path::to_owned);
    if let Some(share) = share {
        printer.note(&format!("share {share} of the partitions"));
        if pivots.take().is_some() {
            printer.warn("the pivots are not used: each share lists its own partitions");
        }
    }
    let wish = Wish {
        pivots,
        scope,
        partitions: args.partitions,
        partition_rows: args.partition_rows,
        packuments: args.packuments,
        selection,
        refresh: args.refresh,
        dry_run: args.dry_run,
        accept_removals: args.accept_removals,
        keep_events: args.keep_events,
        fleet: Some(args.fleet),
        json: args.json,
    };
    crawl(wish, &args.registry, settings, printer, stop).await
}

/// Runs an ingest with the options of `wish`, and prints its summary.
pub(super) async fn crawl(
    wish: Wish,
    registry: &RegistryArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let pivots = wish.pivots.as_deref().map(read_pivots).transpose()?;
    let store = settings.open_lake_to_write().await?;
    let member = match &wish.fleet {
        Some(fleet) => fleet.queue.join(settings.cafile(registry.cafile.as_deref())).await?,
        None => None,
    };
    let fleet = member.as_ref().map(Member::fleet);
    let origin = origin::open_in_fleet(registry, fleet, settings, printer, &store).await?;
    let layout = Layout::origin(&origin.registry.origin().name);
    if let Some(set) = read_partition_set(&store, &layout).await?
        && let Some(kept) = kept_instead(&set, wish.partitions, wish.partition_rows, pivots.as_ref())
    {
        printer.warn(&kept);
    }
    let options = IngestOptions {
        store: store.clone(),
        registry: origin.registry.clone(),
        origin_info: origin.info.clone(),
        pivots,
        changes: None,
        scope: wish.scope,
        partitions: match wish.partitions {
            Some(Partitions::Exact) => PartitionMode::Exact,
            Some(Partitions::Derived) | None => PartitionMode::Derived {
                rows_per_partition: settings.partition_rows(wish.partition_rows).unwrap_or(DEFAULT_ROWS_PER_PARTITION),
            },
        },
        representation: match wish.packuments {
            Packuments::Full | Packuments::None => Representation::Full,
            Packuments::Abbreviated => Representation::Abbreviated,
        },
        selection: if wish.packuments == Packuments::None { Selection::None } else { wish.selection },
        began_at_us: None,
        refresh: wish.refresh,
        dry_run: wish.dry_run,
        accept_removals: wish.accept_removals,
        keep_events_from: wish.keep_events.map(keep_from),
    };
    let progress = Arc::new(Progress::default());
    let meter = Meter::start_asking(printer, Arc::clone(&progress), origin.registry.clone());
    let dispatch = match &wish.fleet {
        Some(fleet) => fleet.dispatch(&options, member.as_ref()).await?,
        None => None,
    };
    let run = async {
        match dispatch {
            Some(dispatch) => ingest_by_dispatch(options, dispatch, progress, stop).await,
            None => ingest(options, progress, stop).await,
        }
    };
    let result = match &member {
        Some(member) => member.watch_while(layout.name(), printer, run).await,
        None => run.await,
    };
    drop(meter);
    if let Some(member) = member {
        member.leave().await;
    }
    let summary = result.doing(|| format!("ingesting {} into {}", origin.info.registry_url, settings.lake()))?;
    if wish.json {
        printer.json(&WithUsage::new(&summary, &store))?;
    } else {
        tell(printer, &summary);
    }
    tell_old(printer, &store, layout.name()).await?;
    Ok(match &summary {
        summary if summary.interrupted => Code::Interrupted,
        summary if summary.is_complete() => Code::Done,
        _ => Code::Incomplete,
    })
}

/// Prints how many partitions still have the columns of an earlier version. The run had no reason to touch them.
async fn tell_old(printer: &Printer, store: &Store, origin: &str) -> Result<()> {
    let Some(info) = read_lake(store).await? else { return Ok(()) };
    let old = lake_ages(store, &info).await?.remove(origin).unwrap_or_default().partitions;
    if old > 0 {
        printer.note(&format!(
            "  old      an earlier version wrote {} partitions; all-docs rebuild updates them without a request. Until \
            then partitions have different columns: DuckDB reads them with union_by_name",
            log::count(old)
        ));
    }
    Ok(())
}

/// Returns the warning for a user who asks for other partitions than the lake has.
fn kept_instead(
    set: &PartitionSet,
    mode: Option<Partitions>,
    rows: Option<NonZeroU64>,
    pivots: Option<&Pivots>,
) -> Option<String> {
    let are_exact = set.rows_per_partition.is_none();
    let are_of = |pivots: &Pivots| pivots.keys() == set.boundaries;
    let asked = match (mode, rows) {
        (Some(Partitions::Exact), _) if !are_exact || !pivots.is_none_or(are_of) => "--partitions exact".to_owned(),
        (Some(Partitions::Exact), _) => return None,
        (_, Some(rows)) if set.rows_per_partition != Some(rows.get()) => format!("--partition-rows {rows}"),
        (Some(Partitions::Derived), _) if are_exact => "--partitions derived".to_owned(),
        _ => return None,
    };
    let what = match set.rows_per_partition {
        Some(rows) => format!("made for about {} rows each", log::count(rows)),
        None => "ranges that were taken as they are".to_owned(),
    };
    let partitions = log::count(set.count() as u64);
    Some(format!("{asked} is not used: it is for a new lake, and this one keeps its {partitions} partitions, {what}"))
}

pub(super) fn read_pivots(path: &Path) -> Result<Pivots> {
    let text = text::read(path, "pivots file", MOST_PIVOTS_BYTES)?;
    script::read_pivots(&text, &path.display().to_string())
}

/// Prints the summary: what the run read, wrote and skipped, its failures and its duration; then what needs attention.
fn tell(printer: &Printer, summary: &IngestSummary) {
    let counts = &summary.counts;
    let count = log::count;
    for planned in &summary.plan {
        printer.note(&format!(
            "partition {}: {} rows, {} added, {} changed, {} removed, {} to fetch",
            planned.partition,
            count(planned.rows),
            count(planned.added),
            count(planned.changed),
            count(planned.removed),
            count(planned.fetch),
        ));
        tell_reasons(printer, planned);
    }
    let listed = summary.scan.listed;
    if summary.dry_run {
        let mut reasons: BTreeMap<FetchReason, u64> = BTreeMap::new();
        for (reason, documents) in summary.plan.iter().flat_map(|planned| &planned.reasons) {
            *reasons.entry(*reason).or_default() += documents;
        }
        for (reason, documents) in reasons {
            printer.note(&format!("to fetch, {}: {}", reason.as_str(), count(documents)));
        }
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
            "  read     {} packuments, {}; {} not modified{}",
            count(counts.packuments_fresh),
            log::bytes(counts.document_bytes),
            count(counts.packuments_not_modified),
            match counts.packuments_resumed {
                0 => String::new(),
                resumed => format!("; of these {} came from an earlier run", count(resumed)),
            },
        ));
        printer.note(&format!(
            "  written  {} rows, {} in {} of {} partitions; {} unchanged{}",
            count(counts.rows_written),
            log::bytes(counts.shard_bytes),
            count(counts.partitions_done - counts.partitions_unchanged),
            count(counts.partitions_total),
            count(counts.partitions_unchanged),
            match counts.events_recorded {
                0 => String::new(),
                events => format!("; {} events", count(events)),
            },
        ));
    }
    tell_problems(printer, summary);
    if !summary.dry_run {
        tell_others(printer, summary);
        let state = &summary.state;
        printer.note(&format!(
            "  lake     {} (origin {}): {} of {} partitions, {} names, {} documents",
            summary.lake,
            summary.origin,
            count(state.partitions_committed),
            count(state.partitions_total),
            count(state.names),
            count(state.documents),
        ));
    }
}

/// Prints why the documents of a partition would be fetched, with the first names for each reason.
fn tell_reasons(printer: &Printer, planned: &PlannedPartition) {
    for (reason, documents) in &planned.reasons {
        let of_reason = planned.documents.iter().filter(|document| document.reason == *reason);
        let names: Vec<String> = of_reason.take(NAMES_SHOWN).map(name_with_outcome).collect();
        let rest = if (names.len() as u64) < *documents { ", …" } else { "" };
        let colon = if names.is_empty() { "" } else { ": " };
        printer.note(&format!("  {}: {}{colon}{}{rest}", reason.as_str(), log::count(*documents), names.join(", ")));
    }
}

fn name_with_outcome(document: &PlannedDocument) -> String {
    match (document.last_outcome, document.repetitions) {
        (Some(outcome), Some(repetitions)) if !matches!(outcome, "present" | "tombstone") => {
            format!("{} ({outcome}, seen {repetitions} times)", document.name).replace("seen 1 times", "seen once")
        }
        _ => document.name.clone(),
    }
}
