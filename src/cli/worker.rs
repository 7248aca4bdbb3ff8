//! `all-docs worker`: turns arguments into a service that does work items, and shows its metrics. Not here: the service
//! (`worker`), and the work (`pipeline`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::ingest::read_pivots;
use super::log;
use super::metric_text::MetricText;
use super::origin;
use super::printer::Printer;
use super::queue_args::{Member, QueueArgs};
use super::registry_args::{Packuments, RegistryArgs, patience};
use super::settings::Settings;
use super::token::token;
use crate::diff::Selection;
use crate::error::{Error, Result};
use crate::lake::DEFAULT_ROWS_PER_PARTITION;
use crate::npm::Representation;
use crate::pipeline::{IngestOptions, ItemRunner, PartitionMode, RunnerOptions, read_lake};
use crate::worker::{Service, ServiceOptions};

/// The variable by which a platform names the port, as Cloud Run does.
const PORT: &str = "PORT";
/// The port where nothing names one.
const DEFAULT_PORT: u16 = 8080;
/// How long the end of the work may take beyond the last reply.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A worker does each work item while its sender waits. POST /work/partition, /work/packument and /work/partition-set take \
an item as JSON; docs/fleet.md describes items, results and statuses, and what can push them. GET /healthz, /readyz and \
/metrics tell of the worker. All workers of a fleet, and what hands out work, name the same lake: a bucket, or a folder that all \
machines see.

Examples:
  all-docs worker                                        on 127.0.0.1:8080, or on 0.0.0.0:$PORT
  all-docs worker --lake gs://bucket/npm --listen 0.0.0.0:8080 --items 4
  all-docs worker --queue nats://10.0.0.9 --lake gs://bucket/npm   items of a queue; it listens too if --listen is given
  curl -d '{\"payload\":{\"packageName\":\"react\"}}' http://127.0.0.1:8080/work/packument
  all-docs ingest --workers http://10.0.0.1:8080,http://10.0.0.2:8080")]
pub(super) struct WorkerArgs {
    /// The address to listen on [default: 0.0.0.0:$PORT where PORT is set, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "ALL_DOCS_LISTEN")]
    listen: Option<SocketAddr>,
    /// Items at once; above it the answer is 429 with Retry-After
    #[arg(long, value_name = "N", env = "ALL_DOCS_ITEMS", default_value = "2")]
    items: NonZeroUsize,
    /// How long the result of an item is kept: the same item gets it again. That of an item of a run is kept until the
    /// run ends
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = patience)]
    keep_results: Duration,
    /// The longest time for an item, as 9m; then it is handed back (503), and what it received stays. The headers
    /// Request-Timeout (seconds) and X-Deadline (a time) of a request may ask for less [default: none]
    #[arg(long, value_name = "DURATION", value_parser = patience)]
    deadline: Option<Duration>,
    /// The token that senders must have: Authorization: Bearer TOKEN [default: none is asked for]
    #[arg(long, value_name = "TOKEN", env = "ALL_DOCS_WORKER_TOKEN", hide_env_values = true)]
    #[arg(value_parser = token)]
    token: Option<String>,
    /// Which documents a partition item fetches
    #[arg(long, value_enum, default_value_t = Packuments::Full)]
    packuments: Packuments,
    /// The pivots of a new lake, for partition-set items that name none
    #[arg(long, value_name = "FILE", env = "ALL_DOCS_PIVOTS")]
    pivots: Option<std::path::PathBuf>,
    /// The number of rows per partition in a new lake [default: 10000]
    #[arg(long, value_name = "N", env = "ALL_DOCS_PARTITION_ROWS")]
    partition_rows: Option<NonZeroU64>,
    /// Accept that the registry no longer has many of the lake's names or documents
    #[arg(long)]
    accept_removals: bool,
    #[command(flatten)]
    queue: QueueArgs,
    /// How often an item of the queue may fail before it becomes a dead letter, which all-docs status --queue shows
    #[arg(long, value_name = "N", default_value = "3")]
    attempts: NonZeroU64,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(super) async fn run(
    args: WorkerArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let port = std::env::var(PORT).ok().filter(|port| !port.is_empty());
    let address = match args.listen {
        // With a queue it need not listen.
        None if args.queue.is_given() && port.is_none() => None,
        None => Some(default_address(port.as_deref())?),
        listen => listen,
    };
    let pivots = settings.pivots(args.pivots.as_deref()).map(read_pivots).transpose()?;
    let store = settings.open_lake_to_write().await?;
    // A lake of a newer version is refused here, and not at each item; there may be none yet.
    read_lake(&store).await?;
    let member = args.queue.join(settings.cafile(args.registry.cafile.as_deref())).await?;
    let fleet = member.as_ref().map(Member::fleet);
    let origin = origin::open_in_fleet(&args.registry, fleet, settings, printer, &store).await?;
    let rows = settings.partition_rows(args.partition_rows).unwrap_or(DEFAULT_ROWS_PER_PARTITION);
    let ingest = IngestOptions {
        pivots,
        partitions: PartitionMode::Derived { rows_per_partition: rows },
        representation: match args.packuments {
            Packuments::Full | Packuments::None => Representation::Full,
            Packuments::Abbreviated => Representation::Abbreviated,
        },
        selection: if args.packuments == Packuments::None { Selection::None } else { Selection::All },
        accept_removals: args.accept_removals,
        ..IngestOptions::new(store, origin.registry.clone(), origin.info.clone())
    };
    let runner = ItemRunner::new(RunnerOptions { ingest, keep_results: args.keep_results });
    let options = ServiceOptions {
        items: args.items.get(),
        token: args.token,
        deadline: args.deadline,
        metrics: Box::new(metrics),
    };
    let service = match address {
        Some(address) => Some(Service::listen(address, runner.clone(), options).await?),
        None => None,
    };
    let places =
        [service.as_ref().map(|service| format!("http://{}", service.address())), member.as_ref().map(Member::address)];
    printer.note(&format!(
        "a worker of {} in {} at {}, {} items at once",
        runner.origin(),
        settings.lake(),
        places.into_iter().flatten().collect::<Vec<String>>().join(" and "),
        args.items
    ));
    // The end of one way is the end of both.
    let stop = stop.child_token();
    let serve = async {
        let _ends = stop.clone().drop_guard();
        match service {
            Some(service) => service.run(stop.clone()).await,
            None => stop.cancelled().await,
        }
    };
    let consume = async {
        let Some(member) = &member else { return Ok(()) };
        let _ends = stop.clone().drop_guard();
        member.consume(printer, &runner, args.items.get(), args.attempts.get(), &stop).await
    };
    let ((), consumed) = tokio::join!(Box::pin(serve), Box::pin(consume));
    let ended = tokio::time::timeout(ENDS_WITHIN, runner.end()).await.unwrap_or(Ok(()));
    if let Some(member) = member {
        member.leave().await;
    }
    consumed.and(ended)?;
    let counts = runner.counts();
    printer.note(&format!(
        "stopped: {} items done, {} of them failed; {} were answered by a kept result, {} handed back, {} held by others",
        log::count(counts.succeeded + counts.failed),
        log::count(counts.failed),
        log::count(counts.kept),
        log::count(counts.again),
        log::count(counts.held),
    ));
    // It was asked to end, and did.
    Ok(Code::Done)
}

/// Returns the address where none is given: for a platform that names the port, all addresses of the machine.
fn default_address(port: Option<&str>) -> Result<SocketAddr> {
    let (address, port) = match port.filter(|port| !port.is_empty()) {
        Some(port) => {
            let parsed = port.parse().map_err(|_| Error::input(format!("{PORT} is {port:?}, and no port")))?;
            (Ipv4Addr::UNSPECIFIED, parsed)
        }
        None => (Ipv4Addr::LOCALHOST, DEFAULT_PORT),
    };
    Ok(SocketAddr::new(IpAddr::V4(address), port))
}

/// Returns the metrics of a worker that does `busy` items now.
fn metrics(runner: &ItemRunner, busy: usize) -> String {
    let (counts, total) = (runner.counts(), runner.total());
    let mut text = MetricText::default();
    text.metric("gauge", "worker_items_in_progress", "Items in progress.", busy as f64);
    let ends = [
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
        ("kept", counts.kept),
        ("again", counts.again),
        ("held", counts.held),
        ("refused", counts.refused),
    ];
    let ends = ends.map(|(end, count)| (end, count as f64));
    text.labelled("counter", "worker_items_total", "Items by how they ended.", "end", &ends);
    text.counters(&[
        ("worker_partitions_total", "Partitions that were brought up to date, or were so.", total.partitions_done),
        ("worker_documents_total", "Documents received.", total.packuments_fresh),
        ("worker_document_bytes_total", "Bytes of documents, decoded.", total.document_bytes),
        ("worker_rows_total", "Rows written over all tables.", total.rows_written),
        ("worker_shard_bytes_total", "Bytes of shards written.", total.shard_bytes),
    ]);
    text.registry(runner.registry());
    text.into_text()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_names_the_port_and_else_only_this_machine_is_served() {
        assert_eq!(default_address(Some("9000")).unwrap().to_string(), "0.0.0.0:9000");
        for none in [None, Some("")] {
            assert_eq!(default_address(none).unwrap().to_string(), "127.0.0.1:8080");
        }
        assert!(default_address(Some("http")).is_err());
    }
}
