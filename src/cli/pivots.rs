//! `all-docs pivots`: makes keys that divide all names evenly, from a lake or by asking a registry for ranks.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::ValueEnum;

use super::exit::Code;
use super::lake_origin::{LakeArgs, LakeOrigin};
use super::log;
use super::origin;
use super::output_file;
use super::printer::Printer;
use super::registry_args::RegistryArgs;
use super::settings::Settings;
use crate::error::Result;
use crate::lake::{DEFAULT_ROWS_PER_PARTITION, PartSize, Pivots};
use crate::pipeline::{LakeRows, ask_for_pivots, lake_pivots, read_lake};
use crate::store::blocking;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The ranges between the pivots hold equally many names, to within one. The command reads them from the lake if it holds \
names of the origin. Otherwise it asks the registry how many names sort below some keys, a few requests a pivot.

Examples:
  all-docs pivots --count 26                                from the lake
  all-docs pivots --max-rows 10000 --ask --origin npm       by asking npm
  all-docs pivots --count 200 --format js --output pivots.js
  all-docs ingest --pivots pivots.js")]
pub(super) struct PivotsArgs {
    /// The number of ranges that the pivots make: one more than pivots
    #[arg(long, value_name = "N", conflicts_with = "max_rows")]
    count: Option<NonZeroU64>,
    /// The most names a range may have [default: 10000]
    #[arg(long, value_name = "M")]
    max_rows: Option<NonZeroU64>,
    /// json: an array; js: an ES module that exports `pivots`. Both begin and end with null, the open ends [default: json;
    /// js if --output ends in .js or .mjs]
    #[arg(long, value_enum)]
    format: Option<PivotsFormat>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ask the registry even if the lake holds its names
    #[arg(long)]
    ask: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// The format of a pivots file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PivotsFormat {
    Json,
    Js,
}

pub(super) async fn run(args: PivotsArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let size = match (args.count, args.max_rows) {
        (Some(count), _) => PartSize::Count(count),
        (None, most) => PartSize::MaxRows(most.unwrap_or(DEFAULT_ROWS_PER_PARTITION)),
    };
    let held = if args.ask { None } else { rows_of_lake(&args, settings).await? };
    let pivots = match held {
        Some(rows) => blocking("reading the lake's names", move || lake_pivots(&rows, size)).await?,
        None => ask(&args, size, settings, printer).await?,
    };
    let by_suffix = || match args.output.as_ref().and_then(|path| path.extension()).and_then(|suffix| suffix.to_str()) {
        Some("js" | "mjs") => PivotsFormat::Js,
        _ => PivotsFormat::Json,
    };
    let text = spell(&pivots, args.format.unwrap_or_else(by_suffix))?;
    match output_file::named(args.output.as_deref()) {
        Some(path) => output_file::write(path, text.as_bytes())?,
        None => printer.result(&text)?,
    }
    printer.note(&format!(
        "{} pivots, {} ranges",
        log::count(pivots.keys().len() as u64),
        log::count(pivots.range_count() as u64)
    ));
    Ok(Code::Done)
}

/// Returns the lake's names of the origin; `None` if it holds none, or is no lake.
async fn rows_of_lake(args: &PivotsArgs, settings: &Settings) -> Result<Option<LakeRows>> {
    let store = settings.open_lake()?;
    if read_lake(&store).await?.is_none_or(|info| info.origins.is_empty()) {
        return Ok(None);
    }
    let lake_args = LakeArgs { origin: args.registry.origin.clone() };
    let Ok(lake) = LakeOrigin::open(&lake_args, settings).await else { return Ok(None) };
    let rows = LakeRows::open(&lake.store, &lake.layout).await?;
    // Names of some partitions say nothing about the others.
    Ok(Some(rows).filter(|rows| rows.count() > 0 && rows.partitions_missing() == 0))
}

async fn ask(args: &PivotsArgs, size: PartSize, settings: &Settings, printer: &Printer) -> Result<Pivots> {
    let store = settings.open_lake()?;
    let mut registry = args.registry.clone();
    if settings.given_origin(registry.origin.as_deref()).is_none() {
        registry.origin = read_lake(&store).await?.map(|info| info.default_origin);
    }
    let origin = origin::open(&registry, settings, printer, &store).await?;
    let pivots = ask_for_pivots(&store, &origin.registry, size).await;
    printer.note(&format!(
        "{} requests to {}",
        log::count(origin.registry.statistics().requests),
        origin.info.replicate_url
    ));
    pivots
}

fn spell(pivots: &Pivots, format: PivotsFormat) -> Result<String> {
    let mut text = String::from(match format {
        PivotsFormat::Json => "[\n  null",
        PivotsFormat::Js => "export const pivots = [\n  null",
    });
    for key in pivots.keys() {
        text.push_str(",\n  ");
        text.push_str(&serde_json::Value::from(key.as_str()).to_string());
    }
    text.push_str(match format {
        PivotsFormat::Json => ",\n  null\n]\n",
        PivotsFormat::Js => ",\n  null\n];\n",
    });
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::script;

    #[test]
    fn what_is_written_is_read_again() {
        for keys in [&["@a/b", "m\"x", "\u{2028}"][..], &[]] {
            let pivots = Pivots::new(keys.iter().map(|&key| key.to_owned()).collect()).unwrap();
            for (format, name) in [(PivotsFormat::Json, "p.json"), (PivotsFormat::Js, "p.js")] {
                assert_eq!(script::read_pivots(&spell(&pivots, format).unwrap(), name).unwrap(), pivots);
            }
        }
    }
}
