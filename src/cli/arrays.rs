//! `all-docs arrays`: builds the Zarr arrays that come from a lake's tables.

use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::lake_origin::find;
use super::log;
use super::printer::Printer;
use super::settings::Settings;
use super::usage::WithUsage;
use crate::error::{Doing, Result};
use crate::pipeline::{ArraysSummary, arrays, no_lake, read_lake};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command makes two Zarr arrays (version 3) beside the tables of an origin, without a request:

  releases.zarr           versions_published[package, month], from the table versions
  dependency_graph.zarr   who depends on whom, of the latest versions, in compressed sparse rows: out_indptr, out_indices
                          and out_kind, and the same with in_ for the other direction

package_index.parquet has the row of each package. A row never moves, and a package that is gone keeps it. A shard is \
written only if a value in it has changed. A graph that has changed is written beside the old one, and its group names it \
last; the attribute `generation` tells which one a reader has.

Examples:
  all-docs arrays
  python3 -c 'import xarray; print(xarray.open_zarr(\"lake/npm/releases.zarr\", create_default_indexes=False))'
  all-docs arrays --lake s3://my-lake/npm --json")]
pub(super) struct ArraysArgs {
    /// Which of the lake's origins: its name, or its URL [default: all of them]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN")]
    origin: Option<String>,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: ArraysArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let store = settings.open_lake_to_write().await?;
    let Some(info) = read_lake(&store).await? else { return Err(no_lake(settings.lake())) };
    let origin = args.origin.as_deref().map(|text| find(text, &info)).transpose()?;
    let built = arrays(&store, origin.as_deref(), stop).await;
    let summary = built.doing(|| format!("building the arrays of {}", store.location()))?;
    match args.json {
        true => printer.json(&WithUsage::new(&summary, &store))?,
        false => tell(printer, &summary),
    }
    Ok(if summary.interrupted { Code::Interrupted } else { Code::Done })
}

fn tell(printer: &Printer, summary: &ArraysSummary) {
    let count = log::count;
    let state = if summary.interrupted { "interrupted" } else { "done" };
    printer.note(&format!("{state} in {}", log::duration(summary.elapsed)));
    for built in &summary.origins {
        printer.note(&format!("  {}: {} packages", built.origin, count(built.packages)));
        printer.note(&format!(
            "    releases          {} versions, generation {}: {} objects written",
            count(built.versions),
            built.releases_generation,
            count(built.releases_shards_written)
        ));
        if built.versions_without_month > 0 {
            printer
                .note(&format!("    {} versions have no time within the months", count(built.versions_without_month)));
        }
        printer.note(&format!(
            "    dependency graph  {} edges between {} packages, {} of them outside the lake, generation {}: {} objects written",
            count(built.graph_edges),
            count(built.graph_nodes),
            count(built.graph_nodes_outside),
            built.graph_generation,
            count(built.graph_shards_written)
        ));
    }
}
