//! `all-docs follow`: turns arguments into a follower, prints its rounds, and serves its metrics. Not here: the follower
//! (`pipeline`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::event_args::EventArgs;
use super::exit::Code;
use super::fold::FoldArgs;
use super::follow_metrics::serve;
use super::log;
use super::meter::Meter;
use super::origin;
use super::printer::Printer;
use super::registry_args::{RegistryArgs, patience};
use super::settings::Settings;
use super::usage::WithUsage;
use crate::error::{Doing, Error, Result};
use crate::npm::{Representation, Seq};
use crate::pipeline::{FollowMetrics, FollowOptions, FollowSummary, Progress, Round, follow};

/// The form of documents that a follower asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// The full packuments.
    Full,
    /// The smaller install-v1 form; columns that it cannot know are null.
    Abbreviated,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The lake must have been filled by all-docs ingest, which notes the registry's place in its feed before it lists the \
names. Following continues from there, and from the last round after that. It can be killed at any moment, and other \
commands may work on the lake meanwhile. One process follows an origin.

Examples:
  all-docs follow                                      the public npm registry, a round a minute, until Ctrl-C
  all-docs follow --interval 10s --metrics 127.0.0.1:9464
  all-docs follow --events - | jq 'select(.event == \"install_script_added\")'
  all-docs follow --once                               one round, for a timer; exit code 6 if a document is still to come
  all-docs follow --origin http://127.0.0.1:4873 --interval 1s   a sample registry, after an ingest from it
docs/follow.md describes what can go wrong with a feed, and what is done about it.")]
pub(super) struct FollowArgs {
    /// The time from the beginning of a round to that of the next, at least 1s
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = interval)]
    interval: Duration,
    /// Do one round and end; exit code 6 if the document of a change is still to come
    #[arg(long)]
    once: bool,
    /// Begin after this place of the feed, instead of where the lake says
    #[arg(long, value_name = "SEQ")]
    since: Option<String>,
    /// For how long the registry may insert rows behind a place that it has returned; so much of the feed is read again
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = patience)]
    window: Duration,
    /// The time between two listings of the registry, whose differences from the lake find what the feed has lost; at
    /// least 1m
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = reconcile)]
    reconcile: Duration,
    /// The form of documents to ask for
    #[arg(long, value_enum, default_value_t = Form::Full)]
    packuments: Form,
    /// Serve metrics in Prometheus' text form at http://ADDRESS/metrics, and /healthz
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    fold: FoldArgs,
    #[command(flatten)]
    events: EventArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Print each round that changed something, and the summary at the end, as JSON on standard output, one a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: FollowArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let store = settings.open_lake_to_write().await?;
    let origin = origin::open(&args.registry, settings, printer, &store).await?;
    if args.json && args.events.prints() {
        return Err(Error::input("--json and --events - both write to standard output")
            .hint("write the events to a file: --events-file FILE"));
    }
    let events = args.events.settings(&origin.registry, printer)?;
    let options = FollowOptions {
        events,
        representation: match args.packuments {
            Form::Full => Representation::Full,
            Form::Abbreviated => Representation::Abbreviated,
        },
        interval: args.interval,
        once: args.once,
        since: args.since.map(Seq::new),
        window: args.window,
        reconcile: args.reconcile,
        fold: args.fold.policy(),
        ..FollowOptions::new(store.clone(), origin.registry.clone())
    };
    let (metrics, progress) = (Arc::new(FollowMetrics::default()), Arc::new(Progress::default()));
    let _server = match args.metrics {
        Some(address) => {
            let served = serve(address, Arc::clone(&metrics), origin.registry.clone(), args.interval).await?;
            printer.note(&format!("metrics at http://{}/metrics", served.address()));
            Some(served)
        }
        None => None,
    };
    // In a log a line a round is enough.
    let meter =
        printer.shows_bars().then(|| Meter::start_asking(printer, Arc::clone(&progress), origin.registry.clone()));
    let tell = |round: &Round| match args.json {
        // The reader may be gone; the work continues.
        true => drop(printer.json_line(round)),
        false => tell(printer, round),
    };
    let result = Box::pin(follow(options, metrics, progress, stop, &tell)).await;
    drop(meter);
    let summary = result.doing(|| format!("following {} into {}", origin.info.replicate_url, settings.lake()))?;
    match args.json {
        true => printer.json_line(&WithUsage::new(&summary, &store))?,
        false => tell_end(printer, &summary),
    }
    Ok(match &summary {
        summary if summary.interrupted => Code::Interrupted,
        summary if args.once && summary.counts.lagging > 0 => Code::Incomplete,
        _ => Code::Done,
    })
}

/// Prints a round.
fn tell(printer: &Printer, round: &Round) {
    for note in &round.notes {
        printer.warn(note);
    }
    // A failure that ends the command is reported at its end.
    if let Some(error) = round.error.as_ref().filter(|_| round.goes_on) {
        printer.warn(&format!("the round failed, and the next one tries again: {error}"));
    }
    let count = log::count;
    let mut parts = Vec::new();
    if let Some(listing) = &round.listing {
        parts.push(format!("{} names listed, {} differ", count(listing.listed), count(listing.changes)));
    }
    if round.changes > 0 {
        parts.push(format!("{} changes", count(round.changes)));
    }
    if round.asked_again > 0 {
        parts.push(format!("{} documents asked for again", count(round.asked_again)));
    }
    if parts.is_empty() {
        return;
    }
    parts.push(format!("{} committed", count(round.committed)));
    if round.events > 0 {
        parts.push(format!("{} events", count(round.events)));
    }
    if round.lagging > 0 {
        parts.push(format!("{} lag behind", count(round.lagging)));
    }
    parts.push(format!("{} requests", count(round.requests)));
    let place = round.place.as_deref().unwrap_or("?");
    printer.note(&format!("{} at {place}: {}", round.began_at.get(..19).unwrap_or_default(), parts.join(", ")));
}

fn tell_end(printer: &Printer, summary: &FollowSummary) {
    let (counts, count) = (&summary.counts, log::count);
    printer.note(&format!(
        "{} after {}: {} rounds, {} changes, {} names committed, {} events, {} listings, {} requests",
        if summary.interrupted { "stopped" } else { "done" },
        log::duration(summary.elapsed),
        count(counts.rounds),
        count(counts.changes),
        count(counts.committed),
        count(counts.events),
        count(counts.listings),
        count(summary.requests),
    ));
    if counts.lagging > 0 {
        printer.warn(&format!(
            "the registry does not serve {} documents as announced yet; the next round asks again",
            count(counts.lagging)
        ));
    }
    printer.note(&format!(
        "  lake     {} (origin {}), the feed read up to {}",
        summary.lake,
        summary.origin,
        summary.place.as_deref().unwrap_or("?")
    ));
}

fn interval(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_secs(1), "1s")
}

fn reconcile(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_secs(60), "1m")
}

fn at_least(text: &str, least: Duration, shown: &str) -> Result<Duration, String> {
    let duration = patience(text)?;
    if duration >= least { Ok(duration) } else { Err(format!("the least is {shown}")) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_a_unit_and_a_least_value() {
        assert_eq!(interval("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(interval("10m").unwrap(), Duration::from_secs(600));
        assert_eq!(interval("1s").unwrap(), Duration::from_secs(1));
        assert_eq!(interval("500ms").unwrap_err(), "the least is 1s");
        assert!(interval("60").is_err());
        assert_eq!(reconcile("24h").unwrap(), Duration::from_secs(86_400));
        assert_eq!(reconcile("59s").unwrap_err(), "the least is 1m");
    }
}
