//! `all-docs copy`: brings a second lake to the state of a first one.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::lake_origin::find;
use super::log;
use super::meter::Meter;
use super::printer::Printer;
use super::settings::Settings;
use super::store_args::StoreArgs;
use super::usage::Report;
use super::verify::{describe, prove};
use crate::error::{Doing, Result};
use crate::pipeline::{CopyOptions, CopySummary, LakeProof, Progress, copy, read_lake};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The copy gets the same partitions with the same shards, byte for byte, and the views and reports in the lake's folder \
queries. A partition that the copy holds already, by the digests in its manifest, is skipped; one that SRC no longer \
holds is removed. Every shard is checked with its digest on the way. Partitions are committed one by one, so a reader of \
DST sees old or new rows, and a run that was stopped or killed resumes. SRC is only read, and may change meanwhile. \
Arrays come along: an object that the copy holds already is not written again, and the metadata that names the objects of \
an array comes last. Leases, staged data and the count of requests are not copied. Changes that an ingest or a follower made in DST are \
replaced; a DST that is being followed is refused.

--partition-rows N cuts the names anew. The shards are those of an ingest with --partition-rows N and the pivots of SRC, \
byte for byte. The partitions of DST then stay as they are: later runs with the same N bring them up to date.

Examples:
  all-docs copy lake /backup/lake
  all-docs copy lake /backup/lake --dry-run
  all-docs copy /backup/lake lake --origin npm --verify
  all-docs copy lake small-files --partition-rows 2000
  all-docs copy lake s3://my-lake/npm                                      then: query --lake s3://my-lake/npm
  all-docs copy s3://old/npm r2://new/npm --source-endpoint https://s3.example.com")]
pub(super) struct CopyArgs {
    /// The lake to copy: a folder or a URL, as for --lake
    #[arg(value_name = "SRC")]
    source: String,
    /// The place of the copy: empty, or a lake that an earlier copy made
    #[arg(value_name = "DST")]
    target: String,
    /// Which of the lake's origins: its name, or its URL [default: all of them]
    #[arg(long, value_name = "ORIGIN", env = "ALL_DOCS_ORIGIN")]
    origin: Option<String>,
    /// The server of the bucket of SRC, in place of --endpoint, which is then that of DST alone
    #[arg(long, value_name = "URL", env = "ALL_DOCS_SOURCE_ENDPOINT", help_heading = "Buckets")]
    source_endpoint: Option<String>,
    /// An option of the client of the bucket of SRC; repeatable. These replace all of --lake-option, which are then those
    /// of DST alone. ALL_DOCS_SOURCE_LAKE_OPTION holds one a line
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "ALL_DOCS_SOURCE_LAKE_OPTION",
        hide_env_values = true,
        value_delimiter = '\n',
        help_heading = "Buckets"
    )]
    source_lake_option: Vec<String>,
    /// Cut the names anew, into partitions of about this many rows
    #[arg(long, value_name = "N")]
    partition_rows: Option<NonZeroU64>,
    /// Print what would be copied, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Read all of the copy at the end, and check it as verify does
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// The summary as JSON.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    copy: &'a CopySummary,
    /// The result of `--verify`.
    proof: Option<LakeProof>,
    /// The use of the bucket of the lake that was copied; none on a local disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_store: Option<Report>,
    /// The use of the bucket of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Report>,
}

pub(super) async fn run(
    args: CopyArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let of_source =
        StoreArgs { endpoint: args.source_endpoint, lake_option: args.source_lake_option, ..StoreArgs::default() };
    let from = settings.open_store_by(&args.source, &of_source)?;
    let to = settings.open_store(&args.target)?;
    for store in [&from, &to] {
        store.check().await.doing(|| format!("reaching {}", store.location()))?;
    }
    let origin = match &args.origin {
        None => None,
        // Where there is no lake, the copy says so.
        Some(text) => read_lake(&from).await?.map(|info| find(text, &info)).transpose()?,
    };
    let options = CopyOptions { origin, rows_per_partition: args.partition_rows, dry_run: args.dry_run };
    let progress = Arc::new(Progress::default());
    let meter = Meter::start(printer, Arc::clone(&progress));
    let result = copy(&from, &to, &options, progress, stop.clone()).await;
    drop(meter);
    let summary = result?;
    if !args.json {
        tell(printer, &summary);
    }
    let proof = match args.verify && !summary.interrupted {
        true => Some(prove(&to, options.origin.as_deref(), false, printer, &stop).await?),
        false => None,
    };
    let is_sound = proof.as_ref().is_none_or(LakeProof::is_sound);
    if args.json {
        let (source_store, store) = (Report::of(&from), Report::of(&to));
        printer.json(&Summary { copy: &summary, proof, source_store, store })?;
    } else if let Some(proof) = proof {
        printer.result(&describe(&to, &proof))?;
    }
    Ok(match summary.interrupted {
        true => Code::Interrupted,
        false if !is_sound => Code::Lake,
        false => Code::Done,
    })
}

fn tell(printer: &Printer, summary: &CopySummary) {
    let CopySummary { partitions_total, partitions_copied, partitions_current, partitions_removed, .. } = summary;
    let count = log::count;
    let how = match (summary.dry_run, summary.interrupted) {
        (true, _) => "a copy would do this".to_owned(),
        (false, true) => format!("interrupted in {}", log::duration(summary.elapsed)),
        (false, false) => format!("done in {}", log::duration(summary.elapsed)),
    };
    printer.note(&format!(
        "{how}: {} of {} partitions copied; {} were there already",
        count(*partitions_copied),
        count(*partitions_total),
        count(*partitions_current),
    ));
    // A dry run does not know how many shards a cut will replace.
    if !summary.dry_run || summary.shards_copied > 0 {
        let (shards, bytes) = (count(summary.shards_copied), log::bytes(summary.bytes_copied));
        printer.note(&format!("  copied   {shards} shards, {bytes}"));
    }
    if *partitions_removed > 0 {
        printer.note(&format!(
            "  removed  {} partitions that {} does not hold",
            count(*partitions_removed),
            summary.source
        ));
    }
    if summary.array_objects_copied > 0 {
        let (objects, bytes) = (count(summary.array_objects_copied), log::bytes(summary.array_bytes_copied));
        printer.note(&format!("  arrays   {objects} objects, {bytes}"));
    }
    if summary.queries_copied > 0 {
        printer.note(&format!("  queries  {} views and reports", count(summary.queries_copied)));
    }
    if summary.commits_recovered > 0 {
        printer.note(&format!(
            "  {} commits that an earlier run left half done were completed first",
            count(summary.commits_recovered)
        ));
    }
    printer.note(&format!("  from     {}", summary.source));
    printer.note(&format!("  to       {} (origins: {})", summary.lake, summary.origins.join(", ")));
    if summary.interrupted {
        printer.note("  the same command resumes where this one stopped");
    }
}
