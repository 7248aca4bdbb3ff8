//! `all-docs fold`: takes the changes that follow has put beside the tables into them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::lake_origin::find;
use super::log;
use super::meter::Meter;
use super::printer::Printer;
use super::registry_args::patience;
use super::settings::Settings;
use super::usage::WithUsage;
use crate::error::{Doing, Result};
use crate::pipeline::{FoldOptions, FoldPolicy, FoldSummary, Progress, fold, no_lake, read_lake};

/// Which partitions are folded.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct FoldArgs {
    /// Fold a partition when this share of its names has changed, as 5% or 0.05
    #[arg(long, value_name = "SHARE", value_parser = share)]
    fold_rows: Option<f64>,
    /// Fold a partition when the oldest of its changes is this old, as 90s, 10m, 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = patience)]
    fold_age: Option<Duration>,
}

impl FoldArgs {
    /// Returns the policy of a follower: what is not given has its default.
    pub(super) fn policy(self) -> FoldPolicy {
        let default = FoldPolicy::default();
        FoldPolicy { rows: self.fold_rows.unwrap_or(default.rows), age: self.fold_age.unwrap_or(default.age) }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
`follow` commits changes into an overlay, small files beside the tables, and folds a partition into the tables when many \
of its names have changed, or some a week ago. `fold` does so now: for everything, or for what is due by --fold-rows and \
--fold-age. It sends no requests. The tables then have the bytes of a new ingest, except for outcomes. Partitions are \
committed one by one: a stopped run resumes.

Examples:
  all-docs fold
  all-docs fold --fold-rows 5% --fold-age 24h   only partitions with many changes, or with old ones")]
pub(super) struct FoldCommandArgs {
    #[command(flatten)]
    due: FoldArgs,
    /// Which of the lake's origins: its name, or its URL [default: all of them]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN")]
    origin: Option<String>,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: FoldCommandArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let store = settings.open_lake_to_write().await?;
    let Some(info) = read_lake(&store).await? else { return Err(no_lake(settings.lake())) };
    // An option that is left out selects no partition. Without both, every partition is selected.
    let policy = match (args.due.fold_rows, args.due.fold_age) {
        (None, None) => FoldPolicy::EVERYTHING,
        (rows, age) => FoldPolicy { rows: rows.unwrap_or(f64::INFINITY), age: age.unwrap_or(Duration::MAX) },
    };
    let options = FoldOptions { origin: args.origin.as_deref().map(|text| find(text, &info)).transpose()?, policy };
    let progress = Arc::new(Progress::default());
    let meter = Meter::start(printer, Arc::clone(&progress));
    let result = Box::pin(fold(&store, &options, progress, stop)).await;
    drop(meter);
    let summary = result.doing(|| format!("folding the overlay of {}", store.location()))?;
    match args.json {
        true => printer.json(&WithUsage::new(&summary, &store))?,
        false => tell(printer, &summary),
    }
    Ok(if summary.interrupted { Code::Interrupted } else { Code::Done })
}

fn tell(printer: &Printer, summary: &FoldSummary) {
    let count = log::count;
    printer.note(&format!(
        "{} in {}: {} of {} partitions folded, with {} changed names; {} names are left in the overlay",
        if summary.interrupted { "interrupted" } else { "done" },
        log::duration(summary.elapsed),
        count(summary.partitions_folded),
        count(summary.partitions_total),
        count(summary.names_folded),
        count(summary.names_left),
    ));
    printer.note(&format!("  lake     {} (origins: {})", summary.lake, summary.origins.join(", ")));
    if summary.interrupted {
        printer.note("  the same command resumes where this one stopped");
    }
}

/// Parses a share: a percentage, or a number.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().ok().map(|number| number / unit);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "write a share as 5% or 0.05, at most 100%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_percentage_or_a_number() {
        assert_eq!([share("5%"), share("0.05"), share("100%")], [Ok(0.05), Ok(0.05), Ok(1.0)]);
        assert!(["", "%", "-1%", "101%", "2", "x"].iter().all(|text| share(text).is_err()));
    }
}
