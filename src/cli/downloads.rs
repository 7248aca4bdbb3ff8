//! `all-docs downloads`: turns arguments into a run, and prints its summary. Not here: the run (`pipeline`).

use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::log;
use super::meter::Meter;
use super::names_file::read_names;
use super::origin;
use super::printer::Printer;
use super::registry_args::RegistryArgs;
use super::settings::Settings;
use super::usage::WithUsage;
use crate::array::FIRST_DAY;
use crate::error::{Doing, Result};
use crate::npm::parse_day;
use crate::pipeline::{Choice, DownloadsOptions, DownloadsSummary, Progress, Tiers, downloads};

/// The names that the summary shows for each reason; --json lists more.
const NAMES_SHOWN: usize = 5;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The counts go into the array downloads.zarr of the origin, which has a row for each package of the lake. Packages without \
counts keep unknown cells. Zeros before the first download are unknown too, and so are days that have not landed.

A run asks only for what is missing, and reads the last seven known days again. The tiers say how often: by default the \
10,000 most downloaded packages once a day, the next 200,000 once a week, and the rest once in 30 days, counted over the \
last 28 known days. Packages whose counts are not known yet are ranked by their dependents. A run at any time does what is \
due then; run it daily.

The default tiers fit the month's budget of 4,000,000 requests to a host. Unscoped packages share requests by 128, scoped \
ones take one each. If all packages of the first two tiers were scoped, a month would have 10,000 × 31 = 310,000 and \
200,000 × 31/7 = 886,000 requests. The rest of 4.4 million has at most 2 million scoped packages: 2,000,000 + 2,400,000/128 = \
2,019,000. Together that is 3.2 million. npm's host takes about one request a second, 2.7 million a month: a first run takes \
weeks, can be stopped, and continues. One request has up to 365 days of 128 packages, or 547 days of one, so a late request \
loses nothing.

Examples:
  all-docs downloads                                       what is due, of all packages of the lake
  all-docs downloads --top 5000 --since 2024-01-01         the most downloaded packages, from that day on
  all-docs downloads --names list.txt                      these packages, in the lake or not
  all-docs downloads --tier daily=1000,weekly=rest         other tiers
  all-docs downloads --origin sample --lake lake           from the built-in registry, after an ingest from it")]
pub(super) struct DownloadsArgs {
    /// The first day; earlier days of packages whose later days are known are filled in, whatever their tier [default: 365
    /// days of packages that were never asked for]
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<Date>,
    /// Ask for these packages only: a JSON array, or a name (or name@version) a line with # comments
    #[arg(long, value_name = "FILE", group = "choice")]
    names: Option<PathBuf>,
    /// Ask for the N most downloaded packages only
    #[arg(long, value_name = "N", group = "choice", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// How many packages to ask for how often, from the most downloaded on: daily, weekly, monthly and yearly, each with a
    /// number or `rest`
    #[arg(long, value_name = "TIERS", group = "choice", default_value = Tiers::DEFAULT)]
    tier: String,
    /// Take download counts from this URL instead of the origin's own
    #[arg(long, value_name = "URL", env = "ALL_DOCS_DOWNLOADS", hide_env_values = true)]
    downloads: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: DownloadsArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let choice = match (&args.names, args.top) {
        (Some(path), _) => Choice::Names(read_names(path)?),
        (None, Some(packages)) => Choice::Top(packages),
        (None, None) => Choice::Tiers(Tiers::parse(&args.tier)?),
    };
    if args.since.is_some_and(|since| since < FIRST_DAY) {
        printer.note(&format!("npm has counts from {FIRST_DAY} on"));
    }
    let store = settings.open_lake_to_write().await?;
    let url = settings.downloads(args.downloads.as_deref());
    let origin = origin::open_with_downloads(&args.registry, url, settings, printer, &store).await?;
    let registry = origin.registry.clone();
    let options = DownloadsOptions { store: store.clone(), registry, choice, since: args.since, today: None };
    let progress = Arc::new(Progress::default());
    let meter = Meter::start_asking(printer, Arc::clone(&progress), origin.registry.clone());
    let result = downloads(options, progress, stop).await;
    drop(meter);
    let from = &origin.registry.origin().downloads_url;
    let summary = result.doing(|| format!("taking download counts from {from} into {}", settings.lake()))?;
    match args.json {
        true => printer.json(&WithUsage::new(&summary, &store))?,
        false => tell(printer, &summary),
    }
    Ok(match &summary {
        summary if summary.interrupted => Code::Interrupted,
        summary if summary.names.failed > 0 => Code::Incomplete,
        _ => Code::Done,
    })
}

fn day(text: &str) -> Result<Date, String> {
    parse_day(text).ok_or_else(|| "give a day as 2026-01-31".to_owned())
}

fn tell(printer: &Printer, summary: &DownloadsSummary) {
    let (names, count) = (&summary.names, log::count);
    printer.note(&format!(
        "{} in {}: {} packages asked for up to {}, {} requests",
        if summary.interrupted { "interrupted" } else { "done" },
        log::duration(summary.elapsed),
        count(names.total()),
        summary.last_day,
        count(summary.requests),
    ));
    printer.note(&format!(
        "  counts   {} packages; {} without counts are unknown",
        count(names.counted),
        count(names.unknown)
    ));
    tell_names(printer, "refused", "the host does not respond to requests for", names.refused, &names.refused_names);
    tell_names(printer, "failed", "the next run asks again for", names.failed, &names.failed_names);
    if summary.unaskable > 0 {
        printer.note(&format!("  unknown  no request can name {} packages", count(summary.unaskable)));
    }
    if let Some(first) = summary.missing_days.first() {
        let (days, more) = (summary.missing_days.len() as u64, if summary.missing_days.len() > 1 { ", …" } else { "" });
        printer.note(&format!("  missing  {} days have no counts of any package: {first}{more}", count(days)));
    }
    if summary.blocks_left > 0 {
        let (blocks, others) = (count(summary.blocks_left), summary.others.join(", "));
        printer.note(&format!(
            "  others   {blocks} times a block of packages was left to {others}; run the same command again when they have ended"
        ));
    }
    printer.note(&format!("  lake     {} (origin {})", summary.lake, summary.origin));
    if summary.interrupted {
        printer.note("  the same command continues where this one stopped");
    }
}

/// Prints how many names have a result, with the first of them.
fn tell_names(printer: &Printer, head: &str, what: &str, names: u64, listed: &[(String, String)]) {
    if names == 0 {
        return;
    }
    let shown: Vec<String> = listed.iter().take(NAMES_SHOWN).map(|(name, why)| format!("{name} ({why})")).collect();
    let more = if names > shown.len() as u64 { ", …" } else { "" };
    printer.warn(&format!("  {head:<8} {what} {} packages: {}{more}", log::count(names), shown.join(", ")));
}
